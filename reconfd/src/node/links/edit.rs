//! Pure: what must change to make a present link the wanted one, in place and in order.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{
    Place, Present, PresentDevice, Route, Veth, Want, address::PrefixRoute, settings::Setting,
};
use crate::node::row::Port;

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
    Move(Place),
    /// Nothing passes until it is raised again.
    LowerHost,
    /// A sysctl of the host end.
    HostSetting(Setting, &'static str),
    /// What the pod sends is filtered at the host end, before it is up or on a bridge.
    Ingress,
    /// The host end joins the bridge that the link names, or leaves the one that it is on.
    Join,
    /// The bridge port's flags, and the host end up.
    Port(Port),
    RaiseHost,
    /// The forwarding entry: the address that goes, if one does, and the one that comes.
    Pin {
        old: Option<[u8; 6]>,
        new: [u8; 6],
    },
    HostMtu,
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
            Self::LowerHost | Self::HostSetting(..) | Self::Ingress
        )
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
    if present.mark.as_ref() != Some(&want.mark) {
        edits.push(Edit::Mark);
    }
    Some(edits)
}

/// The edits to a device that is in the pod.
pub fn device_edits(present: &PresentDevice, want: &Want) -> Vec<Edit> {
    let mut edits = Vec::new();
    // Nobody but the pod has seen which address it was given: it keeps what it has.
    let mac = want.link.mac.or(present.pod.mac).unwrap_or_default();
    pod_side(&present.pod, want, mac, &mut edits);
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

/// The MAC address that the link shall have: the one it was made with, unless one is asked for.
fn wanted_mac(present: &Present, want: &Want) -> [u8; 6] {
    want.link.mac.unwrap_or(present.host.mac)
}

#[cfg(test)]
mod tests;
