//! Pure: the ordered in-place edits from a present link to the wanted one.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{
    HostNetns, Present, PresentDevice, Route, Veth, Want, address::PrefixRoute, settings::Setting,
};
use crate::port::Port;

/// The host end.
mod host;
/// The pod end.
mod pod;
use host::host_side;
use pod::pod_side;

/// One change to an existing link. All are idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Moves the host end to the other namespace; everything on the host side is set again afterwards.
    Move(HostNetns),
    /// Restores the host end's name.
    RenameHost,
    /// Sets the host end down until `RaiseHost`.
    LowerHost,
    /// A sysctl of the host end.
    HostSetting(Setting, &'static str),
    /// Removes filters of others that run before ours, or in its place.
    ClearIngress,
    /// Sets the ingress filter of the host end, before it is up or on a bridge.
    Ingress,
    /// The host end joins the link's bridge, or leaves its present one.
    Join,
    /// The bridge port's flags, and the host end up.
    Port(Port),
    RaiseHost,
    /// The forwarding entry that makes a MAC address the port's.
    Pin([u8; 6]),
    /// After the change in the pod, which announces the new address: until then neighbours send to the old
    /// one.
    Unpin([u8; 6]),
    HostMtu,
    /// The MAC address of the host end itself.
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
    /// The link-local address that the kernel derives from the MAC address.
    AddLinkLocal(Ipv6Addr),
    AddRoute(Route),
    /// Ensures a route that an earlier edit may have removed implicitly.
    KeepRoute(Route),
    DeleteRoute(Route),
    /// The link has another bridge or namespace: its neighbour entries are stale.
    ForgetNeighbours,
    /// Of a tunnel in the pod.
    AddPeer(IpAddr),
    DeletePeer(IpAddr),
    /// Last: the mark means that the link is complete.
    Mark,
}

impl Edit {
    /// Whether the bridge that the host end was on may be left without a port.
    pub fn leaves_bridge(&self) -> bool {
        matches!(self, Self::Move(_) | Self::Join)
    }

    /// The name of the change for logs and Events.
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

    /// Whether only tunnel peers change.
    pub fn is_of_ends(&self) -> bool {
        matches!(self, Self::AddPeer(_) | Self::DeletePeer(_))
    }

    fn leads_elsewhere(&self) -> bool {
        matches!(self, Self::Move(_) | Self::Join)
    }

    /// Whether it restricts traffic at the host end: such edits come before all others on that side.
    pub fn hardens(&self) -> bool {
        matches!(
            self,
            Self::LowerHost | Self::HostSetting(..) | Self::ClearIngress | Self::Ingress
        )
    }

    /// Whether neighbours may have stale entries for the link's addresses.
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

    /// Whether a host-side change comes after those in the pod: until then the host end stores the pod's
    /// previous MAC address. On a bridge that it joins, the host end's MAC address is set first.
    pub fn is_late(&self, all: &[Self]) -> bool {
        match self {
            Self::Unpin(_) => true,
            Self::HostMac(_) => !all.contains(&Self::Join),
            _ => false,
        }
    }

    /// Whether the change is on the pod side.
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

/// The edits from `present` to `want`, empty if nothing differs; `bridge` is the ifindex of the link's
/// bridge, if it exists. `None`: the link must be recreated.
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

/// The wanted MAC address of a device in the pod.
pub fn device_mac(present: &PresentDevice, want: &Want) -> [u8; 6] {
    let of_parent = want.device.as_ref().and_then(|device| device.parent_mac);
    let requested = want.link.mac.or(of_parent);
    requested.unwrap_or_else(|| want.mac(present.pod.mac))
}

/// The edits to a device that is in the pod.
pub fn device_edits(present: &PresentDevice, want: &Want) -> Vec<Edit> {
    let mut edits = Vec::new();
    pod_side(&present.pod, want, device_mac(present, want), &mut edits);
    if let Some(device) = &want.device {
        let (wanted, now) = (&device.peers, &present.peers);
        edits.extend(wanted.difference(now).copied().map(Edit::AddPeer));
        edits.extend(now.difference(wanted).copied().map(Edit::DeletePeer));
        // A device whose parent is down cannot be up, and has no routes.
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

/// The wanted MAC address of the link: the requested one, or its present one while that is one of its derived
/// ones.
fn wanted_mac(present: &Present, want: &Want) -> [u8; 6] {
    want.mac(present.host.mac)
}

#[cfg(test)]
mod tests;
