//! Pure: what must change to make a present link the wanted one, in place and in order.

use std::{collections::BTreeSet, net::IpAddr};

use ipnetwork::IpNetwork;

use super::{
    HostEnd, Place, PodSide, Present, PresentDevice, Route, Veth, Want, address::PrefixRoute,
    bridge, route, veth,
};
use crate::node::row::Port;

/// One change to a link that is there. Each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The host end goes to the other namespace; everything on the host side is set anew behind it.
    Move(Place),
    /// The host end joins the bridge that the link names.
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
    RaisePod,
    AddAddress(IpNetwork, PrefixRoute),
    DeleteAddress(IpNetwork),
    AddRoute(Route),
    /// Makes sure of a route that an earlier edit may have taken along.
    KeepRoute(Route),
    DeleteRoute(Route),
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

    /// Whether the change is made on the pod's side.
    pub fn in_pod(&self) -> bool {
        use Edit as E;
        matches!(
            self,
            E::Rename
                | E::PodMtu
                | E::PodMac(_)
                | E::Slaac(_)
                | E::RaisePod
                | E::AddAddress(..)
                | E::DeleteAddress(_)
                | E::AddRoute(_)
                | E::KeepRoute(_)
                | E::DeleteRoute(_)
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

fn host_side(
    present: &Present,
    want: &Want,
    (veth, bridge_index): (&Veth, Option<u32>),
    edits: &mut Vec<Edit>,
) {
    let host = &present.host;
    let mac = wanted_mac(present, want);
    let moved = present.place != veth.host_end.place();
    if moved {
        edits.push(Edit::Move(veth.host_end.place()));
    }
    if host.mtu != want.host_mtu {
        edits.push(Edit::HostMtu);
    }
    if host.mac != mac {
        edits.push(Edit::HostMac(mac));
    }
    match &veth.host_end {
        HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Segment(_) => {
            // A bridge without a number is yet to be made.
            let joins = moved || bridge_index.is_none() || host.master != bridge_index;
            if joins {
                edits.push(Edit::Join);
            }
            let port = bridge::port(veth.learning);
            if joins || host.port != Some(port) || !host.up {
                edits.push(Edit::Port(port));
            }
            if joins || !host.pinned || host.mac != mac {
                let old = (!joins && host.mac != mac).then_some(host.mac);
                edits.push(Edit::Pin { old, new: mac });
            }
            routed(present, &[], &BTreeSet::new(), edits);
        }
        HostEnd::Routed => {
            if host.master.is_some() {
                edits.push(Edit::Join);
            }
            if moved || !host.up {
                edits.push(Edit::RaiseHost);
            }
            routed(
                present,
                &veth::gateways(&want.link),
                &veth::host_routes(&want.link),
                edits,
            );
        }
    }
}

fn routed(
    present: &Present,
    addresses: &[IpNetwork],
    routes: &BTreeSet<Route>,
    edits: &mut Vec<Edit>,
) {
    let host = &present.host;
    edits.extend(
        host.routes
            .difference(routes)
            .cloned()
            .map(Edit::DeleteHostRoute),
    );
    edits.extend(
        addresses
            .iter()
            .filter(|a| !host.addresses.contains(a))
            .copied()
            .map(Edit::AddHostAddress),
    );
    edits.extend(
        host.addresses
            .iter()
            .filter(|a| !addresses.contains(a))
            .copied()
            .map(Edit::DeleteHostAddress),
    );
    edits.extend(
        routes
            .difference(&host.routes)
            .cloned()
            .map(Edit::AddHostRoute),
    );
}

fn pod_side(pod: &PodSide, want: &Want, mac: [u8; 6], edits: &mut Vec<Edit>) {
    let link = &want.link;
    let mut when = |needed: bool, edit: Edit| edits.extend(needed.then_some(edit));
    when(pod.name != link.name, Edit::Rename);
    when(pod.mtu != want.mtu, Edit::PodMtu);
    when(pod.mac != Some(mac), Edit::PodMac(mac));
    let listens_wrongly = pod.slaac.is_some_and(|slaac| slaac != link.slaac);
    when(listens_wrongly, Edit::Slaac(link.slaac));
    when(!pod.up, Edit::RaisePod);
    // What comes, comes before what goes: an address that stays must never be alone with neither.
    let has = |network: &IpNetwork| pod.addresses.iter().any(|a| a.network == *network);
    let prefix_route = veth::prefix_route(&link.kind);
    edits.extend(
        link.addresses
            .iter()
            .filter(|a| !has(a))
            .map(|a| Edit::AddAddress(*a, prefix_route)),
    );
    let gone = pod
        .addresses
        .iter()
        .filter(|a| a.ours && !link.addresses.contains(&a.network))
        .map(|a| a.network);
    let gone: Vec<IpNetwork> = gone.collect();
    edits.extend(gone.iter().copied().map(Edit::DeleteAddress));
    // Where secondaries are not promoted, the kernel takes them away with the first of their subnet.
    let is_taken_along =
        |kept: &&IpNetwork| kept.is_ipv4() && gone.iter().any(|gone| same_subnet(gone, kept));
    let kept = link.addresses.iter().filter(is_taken_along);
    edits.extend(kept.map(|a| Edit::AddAddress(*a, prefix_route)));
    let routes: BTreeSet<Route> = veth::pod_routes(link)
        .into_iter()
        .map(route::plain)
        .collect();
    edits.extend(
        pod.routes
            .difference(&routes)
            .cloned()
            .map(Edit::DeleteRoute),
    );
    // With the last IPv4 address of a link the kernel drops all of its IPv4 routes, and where
    // secondaries are not promoted, that may be so for a moment.
    let is_dropped = |route: &&Route| route.to.is_ipv4() && gone.iter().any(IpNetwork::is_ipv4);
    let kept = routes.intersection(&pod.routes).filter(is_dropped);
    let missing = routes.difference(&pod.routes);
    let mut coming: Vec<(&Route, Edit)> = missing
        .map(|route| (route, Edit::AddRoute(route.clone())))
        .chain(kept.map(|route| (route, Edit::KeepRoute(route.clone()))))
        .collect();
    // Ways to a gateway before the ways through it.
    coming.sort_by_key(|(route, _)| route.via.is_some());
    edits.extend(coming.into_iter().map(|(_, edit)| edit));
}

fn same_subnet(a: &IpNetwork, b: &IpNetwork) -> bool {
    (a.network(), a.prefix()) == (b.network(), b.prefix())
}

#[cfg(test)]
mod tests;
