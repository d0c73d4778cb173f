//! Pure: what must change to make a present link the wanted one, in place and in order.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{
    HostNetns, Present, PresentDevice, Route, Veth, Want, address::PrefixRoute, settings::Setting,
};
use crate::node::link_info::Port;

/// The end that is in no pod.
mod host;
/// The end in the pod.
mod pod;
use host::host_side;
use pod::pod_side;

/// One change to a link that is there. Each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The host end goes to the other namespace; everything on the host side is set anew behind it.
    Move(HostNetns),
    /// The host end gets its own name back.
    RenameHost,
    /// Nothing passes until it is raised again.
    LowerHost,
    /// A sysctl of the host end.
    HostSetting(Setting, &'static str),
    /// Filters of others that are asked before ours, or in its place, go.
    ClearIngress,
    /// What the pod sends is filtered at the host end, before it is up or on a bridge.
    Ingress,
    /// The host end joins the bridge that the link names, or leaves the one that it is on.
    Join,
    /// The bridge port's flags, and the host end up.
    Port(Port),
    RaiseHost,
    /// The forwarding entry that makes a MAC address the port's.
    Pin([u8; 6]),
    /// Behind the change in the pod, which announces the new address: until then neighbours send to the old.
    Unpin([u8; 6]),
    HostMtu,
    /// The host end's own, which is not the pod's.
    HostMac([u8; 6]),
    AddHostAddress(IpNetwork),
    DeleteHostAddress(IpNetwork),
    AddHostRoute(Route),
    DeleteHostRoute(Route),
    Rename,
    PodMtu,
    PodMac([u8; 6]),
    Slaac(bool),
    /// IPv6 on for this link alone.
    Ipv6On,
    RaisePod,
    AddAddress(IpNetwork, PrefixRoute),
    DeleteAddress(IpNetwork),
    /// The link-local one of the link's MAC address, as the kernel would make it.
    AddLinkLocal(Ipv6Addr),
    AddRoute(Route),
    /// Makes sure of a route that an earlier edit may have taken along.
    KeepRoute(Route),
    DeleteRoute(Route),
    /// The link leads elsewhere: who answered behind it answers no more, or is another by that address.
    ForgetNeighbours,
    /// Of a tunnel that is in the pod.
    AddPeer(IpAddr),
    DeletePeer(IpAddr),
    /// Last: a mark that says "done" must be true.
    Mark,
}

impl Edit {
    /// Whether the bridge that the host end was on may be left without a port.
    pub fn leaves_bridge(&self) -> bool {
        matches!(self, Self::Move(_) | Self::Join)
    }

    /// What is changed, in words for logs and Events.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Move(_) => "namespace of the host end",
            Self::RenameHost => "name of the host end",
            Self::LowerHost | Self::RaiseHost => "state of the host end",
            Self::HostSetting(setting, _) => setting.name,
            Self::ClearIngress | Self::Ingress => "ingress filter",
            Self::ForgetNeighbours => "neighbours",
            Self::Join => "bridge membership",
            Self::Port(_) => "bridge port flags",
            Self::Pin { .. } | Self::Unpin(_) => "forwarding entry",
            Self::HostMtu => "MTU of the host end",
            Self::HostMac(_) => "MAC address of the host end",
            Self::AddHostAddress(_) | Self::DeleteHostAddress(_) => "gateway address",
            Self::AddHostRoute(_) | Self::DeleteHostRoute(_) => "route of the node",
            Self::Rename => "name",
            Self::PodMtu => "MTU",
            Self::PodMac(_) => "MAC address",
            Self::Slaac(_) => "router advertisements",
            Self::Ipv6On => "disable_ipv6",
            Self::RaisePod => "link down",
            Self::AddAddress(..) | Self::DeleteAddress(_) | Self::AddLinkLocal(_) => "address",
            Self::AddRoute(_) | Self::KeepRoute(_) | Self::DeleteRoute(_) => "route",
            Self::AddPeer(_) | Self::DeletePeer(_) => "tunnel peer",
            Self::Mark => "alias of the host end",
        }
    }

    /// Whether the link stays as it is, and only leads elsewhere.
    pub fn is_of_ends(&self) -> bool {
        matches!(self, Self::AddPeer(_) | Self::DeletePeer(_))
    }

    fn leads_elsewhere(&self) -> bool {
        matches!(self, Self::Move(_) | Self::Join)
    }

    /// Whether it says what may pass at the host end: such edits come before all others on that side.
    pub fn hardens(&self) -> bool {
        matches!(
            self,
            Self::LowerHost | Self::HostSetting(..) | Self::ClearIngress | Self::Ingress
        )
    }

    /// Whether the link's neighbours would look for it in another place than before, or did not find it.
    pub fn moves_addresses(&self) -> bool {
        use Edit as E;
        matches!(
            self,
            E::Move(_)
                | E::Join
                | E::Port(_)
                | E::RaiseHost
                | E::Pin(_)
                | E::PodMac(_)
                | E::RaisePod
                | E::AddAddress(..)
        )
    }

    /// Whether a change on the host side comes behind those in the pod: until it is done, the host end tells
    /// what the pod had before. On a bridge that it joins, the host end has its MAC address first.
    pub fn is_late(&self, all: &[Self]) -> bool {
        match self {
            Self::Unpin(_) => true,
            Self::HostMac(_) => !all.contains(&Self::Join),
            _ => false,
        }
    }

    /// Whether the change is made on the pod's side.
    pub fn in_pod(&self) -> bool {
        use Edit as E;
        matches!(
            self,
            E::Rename
                | E::PodMtu
                | E::PodMac(_)
                | E::Slaac(_)
                | E::Ipv6On
                | E::RaisePod
                | E::AddAddress(..)
                | E::DeleteAddress(_)
                | E::AddLinkLocal(_)
                | E::AddRoute(_)
                | E::KeepRoute(_)
                | E::DeleteRoute(_)
                | E::ForgetNeighbours
                | E::AddPeer(_)
                | E::DeletePeer(_)
        )
    }
}

/// The edits from `present` to `want`, none if all is right; `bridge` is the number of the bridge
/// that the link names, where there is one. `None`: it can not be mended, only made anew.
pub fn edits(
    present: &Present,
    want: &Want,
    veth: &Veth,
    bridge: Option<u32>,
) -> Option<Vec<Edit>> {
    let mut edits = Vec::new();
    if present.host.name != want.host_name {
        edits.push(Edit::RenameHost);
    }
    host_side(present, want, (veth, bridge), &mut edits);
    pod_side(
        present.pod.as_ref()?,
        want,
        wanted_mac(present, want),
        &mut edits,
    );
    if edits.iter().any(Edit::leads_elsewhere) {
        edits.push(Edit::ForgetNeighbours);
    }
    if !present.host.is_marked || present.mark.as_ref() != Some(&want.mark) {
        edits.push(Edit::Mark);
    }
    Some(edits)
}

/// The MAC address that a device in the pod shall have.
pub fn device_mac(present: &PresentDevice, want: &Want) -> [u8; 6] {
    let of_parent = want.device.as_ref().and_then(|device| device.parent_mac);
    let asked = want.link.mac.or(of_parent);
    asked.unwrap_or_else(|| want.mac(present.pod.mac))
}

/// The edits to a device that is in the pod.
pub fn device_edits(present: &PresentDevice, want: &Want) -> Vec<Edit> {
    let mut edits = Vec::new();
    pod_side(&present.pod, want, device_mac(present, want), &mut edits);
    if let Some(device) = &want.device {
        let (wanted, now) = (&device.peers, &present.peers);
        edits.extend(wanted.difference(now).copied().map(Edit::AddPeer));
        edits.extend(now.difference(wanted).copied().map(Edit::DeletePeer));
        // A device whose parent is down can not be up, and has no routes.
        let waits = |edit: &Edit| {
            matches!(
                edit,
                Edit::RaisePod | Edit::AddRoute(_) | Edit::KeepRoute(_)
            )
        };
        edits.retain(|edit| device.up || !waits(edit));
    }
    if present.mark.as_ref() != Some(&want.mark) {
        edits.push(Edit::Mark);
    }
    edits
}

/// The MAC address that the link shall have: the one it was made with, as long as it is its own, unless one
/// is asked for.
fn wanted_mac(present: &Present, want: &Want) -> [u8; 6] {
    want.mac(present.host.mac)
}

#[cfg(test)]
mod tests;
