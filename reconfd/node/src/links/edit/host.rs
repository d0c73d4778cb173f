//! Pure: the edits to the host end.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use super::{Edit, wanted_mac};
use crate::links::{
    HostEnd, HostSide, Present, Route, Veth, Want, bridge, ingress_filter::program, settings, veth,
};

pub(super) fn host_side(
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
    let is_on_bridge = veth.host_end != HostEnd::Routed;
    // A bridge without an ifindex does not exist yet.
    let joins = is_on_bridge && (moved || bridge_index.is_none() || host.master != bridge_index);
    let leaves = !is_on_bridge && host.master.is_some();
    hardened(host, want, veth, (moved, joins || leaves), edits);
    if host.mtu != want.host_mtu {
        edits.push(Edit::HostMtu);
    }
    let own = veth.host_end.own_mac(mac);
    if host.own_mac != own {
        edits.push(Edit::HostMac(own));
    }
    if !is_on_bridge {
        edits.extend(leaves.then_some(Edit::Join));
        if moved || leaves || !host.up {
            edits.push(Edit::RaiseHost);
        }
        let (gateways, routes) = (veth::gateways(&want.link), veth::host_routes(&want.link));
        routed(host, moved, (&gateways, &routes), edits);
        return;
    }
    routed(host, moved, (&[], &BTreeSet::new()), edits);
    edits.extend(joins.then_some(Edit::Join));
    let port = bridge::port(veth.learning);
    if joins || host.port != Some(port) || !host.up {
        edits.push(Edit::Port(port));
    }
    if joins || !host.pins.contains(&mac) {
        edits.push(Edit::Pin(mac));
    }
    // The kernel deletes the entries of a port that leaves its bridge.
    let strays = host.pins.iter().filter(|pin| !joins && **pin != mac);
    edits.extend(strays.copied().map(Edit::Unpin));
}

/// Sysctls and filter, before the host end gets another bridge. If its filter changes too, it is down in
/// between: neither filter is right for both places.
fn hardened(
    host: &HostSide,
    want: &Want,
    veth: &Veth,
    (moved, leads_elsewhere): (bool, bool),
    edits: &mut Vec<Edit>,
) {
    let program = program::of(veth, &want.link);
    let is_filtered = !moved && host.ingress == program;
    if leads_elsewhere && !moved && !is_filtered {
        edits.push(Edit::LowerHost);
    }
    let settings = settings::of(&veth.host_end).iter();
    let wrong = settings.filter(|(setting, value)| {
        let now = host.settings.get(setting);
        moved || now.is_some_and(|now| now != value)
    });
    edits.extend(wrong.map(|(setting, value)| Edit::HostSetting(*setting, value)));
    let is_shared = !moved && host.is_ingress_shared;
    edits.extend(is_shared.then_some(Edit::ClearIngress));
    edits.extend((is_shared || !is_filtered).then_some(Edit::Ingress));
}

/// Gateway addresses and routes. The kernel drops them when the host end is moved.
fn routed(
    host: &HostSide,
    moved: bool,
    (addresses, routes): (&[IpNetwork], &BTreeSet<Route>),
    edits: &mut Vec<Edit>,
) {
    let (no_routes, no_addresses) = (BTreeSet::new(), Vec::new());
    let (had_addresses, had_routes) = match moved {
        true => (&no_addresses, &no_routes),
        false => (&host.addresses, &host.routes),
    };
    let gone = had_routes.difference(routes).cloned();
    edits.extend(gone.map(Edit::DeleteHostRoute));
    let missing = |some: &[IpNetwork], others: &[IpNetwork]| {
        let missing = some.iter().filter(|one| !others.contains(one));
        missing.copied().collect::<Vec<_>>()
    };
    let coming = missing(addresses, had_addresses);
    edits.extend(coming.into_iter().map(Edit::AddHostAddress));
    let going = missing(had_addresses, addresses);
    edits.extend(going.into_iter().map(Edit::DeleteHostAddress));
    let missing = routes.difference(had_routes).cloned();
    edits.extend(missing.map(Edit::AddHostRoute));
}
