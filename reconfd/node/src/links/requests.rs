//! Edits → netlink messages, pure: the requests of each edit, and of a new link after the message that
//! creates it.

use std::collections::BTreeSet;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::LinkUnspec;

use super::{
    GROUP, HostEnd, Link, Route, Veth, Want, address, bridge, device::peers, edit::Edit,
    ingress_filter, route, veth,
};
use crate::netlink::Request;

/// The requests of a new host end after its creation and its filter.
pub fn host_side_requests(want: &Want, veth: &Veth, index: u32, mac: [u8; 6]) -> Vec<Request> {
    let mut requests = vec![mark(index, want)];
    match veth.host_end {
        HostEnd::Bridge { .. } | HostEnd::HostBridge(_) | HostEnd::Segment(_) => {
            let port = bridge::port(veth.learning);
            requests.push(bridge::set_port(&want.host_name, index, port, true));
            requests.push(bridge::pin_mac(&want.host_name, index, mac));
        }
        HostEnd::Routed => {
            requests.push(raise(&want.host_name, index));
            requests.extend(
                veth::gateways(&want.link)
                    .into_iter()
                    .map(|a| address::add(index, a, address::PrefixRoute::Kernel)),
            );
            requests.extend(
                veth::host_routes(&want.link)
                    .iter()
                    .map(|r| route::add(index, r)),
            );
        }
    }
    requests
}

/// The ingress filter, set before the host end is up, so that nothing passes unfiltered.
pub fn ingress(want: &Want, veth: &Veth, index: u32) -> [Request; 2] {
    let program = ingress_filter::program::of(veth, &want.link);
    ingress_filter::attach(&want.host_name, index, &program)
}

/// The requests of a host-side edit; empty for pod-side edits.
pub fn host_edit(
    edit: &Edit,
    index: u32,
    (want, veth): (&Want, &Veth),
    bridge: Option<u32>,
) -> Vec<Request> {
    let name = &want.host_name;
    let set =
        |op: String, message| vec![Request::new(op, 0, RouteNetlinkMessage::SetLink(message))];
    match edit {
        Edit::ClearIngress => vec![ingress_filter::clear(name, index)],
        Edit::Ingress => ingress(want, veth, index).into(),
        Edit::Join => vec![bridge::join(name, index, bridge.unwrap_or_default())],
        Edit::Port(port) => vec![bridge::set_port(name, index, *port, true)],
        Edit::RaiseHost => vec![raise(name, index)],
        Edit::LowerHost => set(
            format!("lower {name}"),
            LinkUnspec::new_with_index(index).down().build(),
        ),
        Edit::Pin(mac) => vec![bridge::pin_mac(name, index, *mac)],
        Edit::Unpin(mac) => vec![bridge::unpin_mac(name, index, *mac)],
        Edit::HostMtu => set(
            format!("set the MTU of {name}"),
            LinkUnspec::new_with_index(index).mtu(want.host_mtu).build(),
        ),
        Edit::HostMac(mac) => set(
            format!("set the MAC address of {name}"),
            LinkUnspec::new_with_index(index)
                .address(mac.to_vec())
                .build(),
        ),
        Edit::AddHostAddress(a) => vec![address::add(index, *a, address::PrefixRoute::Kernel)],
        Edit::DeleteHostAddress(a) => vec![address::delete(index, *a)],
        Edit::AddHostRoute(r) => vec![route::add(index, r)],
        Edit::DeleteHostRoute(r) => vec![route::delete(index, r)],
        _ => Vec::new(),
    }
}

/// The requests of a pod-side edit; empty for host-side edits.
pub fn pod_edit(edit: &Edit, index: u32, want: &Want) -> Vec<Request> {
    let name = &want.link.name;
    let link = || LinkUnspec::new_with_index(index);
    let set =
        |op: String, message| vec![Request::new(op, 0, RouteNetlinkMessage::SetLink(message))];
    match edit {
        Edit::Rename => set(
            format!("rename the link to {name}"),
            link().name(name.clone()).build(),
        ),
        Edit::PodMtu => set(
            format!("set the MTU of {name}"),
            link().mtu(want.mtu).build(),
        ),
        Edit::PodMac(mac) => set(
            format!("set the MAC address of {name}"),
            link().address(mac.to_vec()).build(),
        ),
        Edit::RaisePod => vec![raise(name, index)],
        Edit::AddAddress(network, prefix_route) => {
            vec![address::add(index, *network, *prefix_route)]
        }
        Edit::DeleteAddress(network) => vec![address::delete(index, *network)],
        Edit::AddLinkLocal(address) => vec![address::add_link_local(index, *address)],
        Edit::AddRoute(r) => vec![route::add(index, r)],
        Edit::KeepRoute(r) => vec![route::keep(index, r)],
        Edit::DeleteRoute(r) => vec![route::delete(index, r)],
        Edit::AddPeer(peer) => vec![peers::add(name, index, *peer)],
        Edit::DeletePeer(peer) => vec![peers::delete(name, index, *peer)],
        _ => Vec::new(),
    }
}

/// Sets the ownership mark and the link group of a device in the pod.
pub fn device_mark(index: u32, want: &Want) -> Request {
    let mark = LinkUnspec::new_with_index(index)
        .alias(want.mark.to_string())
        .link_group(GROUP)
        .build();
    Request::new(
        format!("mark {}", want.link.name),
        0,
        RouteNetlinkMessage::SetLink(mark),
    )
}

/// The requests in the pod after a link's creation: tunnel peers, up, addresses, routes.
pub fn pod_side_requests(want: &Want, index: u32) -> Vec<Request> {
    let (link, device) = (&want.link, want.device.as_ref());
    let in_pod = device.filter(|_| link.kind.is_device());
    let ends = in_pod.into_iter().flat_map(|device| &device.peers);
    let mut requests: Vec<Request> = ends
        .map(|peer| peers::add(&link.name, index, *peer))
        .collect();
    let is_up = in_pod.is_none_or(|device| device.up);
    if is_up {
        requests.push(raise(&link.name, index));
    }
    let prefix_route = veth::prefix_route(&link.kind);
    let addresses = link.addresses.iter();
    requests.extend(addresses.map(|network| address::add(index, *network, prefix_route)));
    let routes = veth::pod_routes(link);
    let routes = if is_up { routes } else { BTreeSet::new() };
    requests.extend(in_order(&routes).into_iter().map(|r| route::add(index, r)));
    requests
}

/// Sets the ownership mark, which also means that the link is complete.
pub fn mark(index: u32, want: &Want) -> Request {
    let alias = LinkUnspec::new_with_index(index)
        .alias(want.mark.to_string())
        .build();
    Request::new(
        format!("mark {}", want.host_name),
        0,
        RouteNetlinkMessage::SetLink(alias),
    )
}

pub fn raise(name: &str, index: u32) -> Request {
    let up = LinkUnspec::new_with_index(index).up().build();
    Request::new(format!("raise {name}"), 0, RouteNetlinkMessage::SetLink(up))
}

/// Routes to a gateway before routes through it.
pub fn in_order(routes: &BTreeSet<Route>) -> Vec<&Route> {
    let (direct, through): (Vec<_>, Vec<_>) = routes.iter().partition(|r| r.via.is_none());
    direct.into_iter().chain(through).collect()
}

/// The IPv6 sysctls of a link in the pod: router advertisements, and IPv6 itself, which the pod's defaults
/// may disable. IPv6 last: it comes up with the others.
pub fn settings(name: &str, link: &Link) -> Vec<(String, &'static str)> {
    let mut settings = slaac(name, link.slaac);
    settings.extend(link.speaks_ipv6().then(|| ipv6_on(name)));
    settings
}

/// The sysctls for accepting router advertisements.
pub fn slaac(name: &str, accept: bool) -> Vec<(String, &'static str)> {
    let value = if accept { "1" } else { "0" };
    ["accept_ra", "autoconf"]
        .map(|setting| (format!("{name}/{setting}"), value))
        .into()
}

pub fn ipv6_on(name: &str) -> (String, &'static str) {
    (format!("{name}/disable_ipv6"), "0")
}
