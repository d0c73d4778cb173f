//! Pure: the edits to the pod end.

use std::{collections::BTreeSet, net::IpAddr};

use ipnetwork::IpNetwork;

use super::Edit;
use crate::links::{
    PodSide, Route, Want,
    mac::{self, is_made_of},
    route, veth,
};

pub(super) fn pod_side(pod: &PodSide, want: &Want, mac: [u8; 6], edits: &mut Vec<Edit>) {
    let link = &want.link;
    let mut when = |needed: bool, edit: Edit| edits.extend(needed.then_some(edit));
    when(pod.name != link.name, Edit::Rename);
    when(pod.mtu != want.mtu, Edit::PodMtu);
    when(pod.mac != Some(mac), Edit::PodMac(mac));
    edits.extend(link_local(pod, mac));
    let mut when = |needed: bool, edit: Edit| edits.extend(needed.then_some(edit));
    let listens_wrongly = pod.slaac.is_some_and(|slaac| slaac != link.slaac);
    when(listens_wrongly, Edit::Slaac(link.slaac));
    when(pod.has_ipv6_off && link.speaks_ipv6(), Edit::Ipv6On);
    when(!pod.up, Edit::RaisePod);
    let routes: BTreeSet<Route> = veth::pod_routes(link)
        .into_iter()
        .map(route::plain)
        .collect();
    let obsolete = pod.routes.difference(&routes).cloned();
    let obsolete: Vec<Edit> = obsolete.map(Edit::DeleteRoute).collect();
    let gone = match has_other_prefix_routes(pod, want) {
        true => {
            // A route of ours to the network would conflict with the kernel's own.
            edits.extend(obsolete);
            all_addresses(pod, want, edits)
        }
        false => {
            let gone = addresses(pod, want, edits);
            edits.extend(obsolete);
            gone
        }
    };
    // With the last IPv4 address of a link the kernel drops all of its IPv4 routes; without promotion of
    // secondaries this may happen in between.
    let is_dropped = |route: &&Route| route.to.is_ipv4() && gone.iter().any(IpNetwork::is_ipv4);
    let kept = routes.intersection(&pod.routes).filter(is_dropped);
    let missing = routes.difference(&pod.routes);
    let mut coming: Vec<(&Route, Edit)> = missing
        .map(|route| (route, Edit::AddRoute(route.clone())))
        .chain(kept.map(|route| (route, Edit::KeepRoute(route.clone()))))
        .collect();
    // Routes to a gateway before routes through it.
    coming.sort_by_key(|(route, _)| route.via.is_some());
    edits.extend(coming.into_iter().map(|(_, edit)| edit));
}

/// Whether the link changes to or from routed. No kernel changes the prefix route flag of an existing IPv4
/// address.
fn has_other_prefix_routes(pod: &PodSide, want: &Want) -> bool {
    let wanted = veth::prefix_route(&want.link.kind);
    let mut ours = pod.addresses.iter().filter(|address| address.ours);
    ours.any(|address| address.prefix_route != wanted)
}

/// Replaces all addresses, in order; returns the deleted ones.
fn all_addresses(pod: &PodSide, want: &Want, edits: &mut Vec<Edit>) -> Vec<IpNetwork> {
    let ours = pod.addresses.iter().filter(|address| address.ours);
    let gone: Vec<IpNetwork> = ours.map(|address| address.network).collect();
    edits.extend(gone.iter().copied().map(Edit::DeleteAddress));
    let prefix_route = veth::prefix_route(&want.link.kind);
    let wanted = want.link.addresses.iter();
    edits.extend(wanted.map(|address| Edit::AddAddress(*address, prefix_route)));
    gone
}

/// Additions before deletions, so that the link always has an address. Returns the deleted ones.
fn addresses(pod: &PodSide, want: &Want, edits: &mut Vec<Edit>) -> Vec<IpNetwork> {
    let wanted = &want.link.addresses;
    let prefix_route = veth::prefix_route(&want.link.kind);
    let has = |network: &&IpNetwork| pod.addresses.iter().any(|a| a.network == **network);
    let coming = wanted.iter().filter(|address| !has(address));
    edits.extend(coming.map(|address| Edit::AddAddress(*address, prefix_route)));
    let gone = pod
        .addresses
        .iter()
        .filter(|a| a.ours && !wanted.contains(&a.network))
        .map(|a| a.network);
    let gone: Vec<IpNetwork> = gone.collect();
    edits.extend(gone.iter().copied().map(Edit::DeleteAddress));
    // Without promotion the kernel deletes secondaries with the primary of their subnet.
    let is_taken_along =
        |kept: &&IpNetwork| kept.is_ipv4() && gone.iter().any(|gone| same_subnet(gone, kept));
    let kept = wanted.iter().filter(is_taken_along);
    edits.extend(kept.map(|address| Edit::AddAddress(*address, prefix_route)));
    gone
}

/// Addresses that the kernel derived from the old MAC address are deleted, or they would conflict with those
/// of the MAC address's next owner. The link-local one is added for the new MAC address, the others come with
/// the next router advertisement.
fn link_local(pod: &PodSide, mac: [u8; 6]) -> Vec<Edit> {
    let Some(old) = pod.mac.filter(|old| *old != mac) else {
        return Vec::new();
    };
    let made = pod.addresses.iter();
    let made = made.filter(|address| !address.ours && is_made_of(address.network, old));
    let made: Vec<IpNetwork> = made.map(|address| address.network).collect();
    let old = IpAddr::V6(mac::link_local(old));
    let had_link_local = made.iter().any(|address| address.ip() == old);
    let comes = had_link_local.then(|| Edit::AddLinkLocal(mac::link_local(mac)));
    let gone = made.into_iter().map(Edit::DeleteAddress);
    gone.chain(comes).collect()
}

fn same_subnet(a: &IpNetwork, b: &IpNetwork) -> bool {
    (a.network(), a.prefix()) == (b.network(), b.prefix())
}
