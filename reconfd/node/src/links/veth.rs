//! veth ↔ netlink messages, pure.

use std::{collections::BTreeSet, net::IpAddr, os::fd::RawFd};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoVeth},
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{
    GROUP, HostEnd, HostNetns, Link, LinkKind, Route, Veth, Want,
    address::PrefixRoute,
    gateway::{GATEWAY_V4, GATEWAY_V6},
    ownership_mark, route,
};
use crate::netlink::Request;

/// The two ends of a new veth pair.
pub struct Endpoints {
    pub host_index: u32,
    pub place: HostNetns,
    /// The bridge's ifindex.
    pub bridge: Option<u32>,
    pub pod_index: u32,
    pub pod_netns: RawFd,
    pub mac: [u8; 6],
}

/// Creates both ends in their namespaces with name, MTU, MAC address and group, in one message: a conflict at
/// either end leaves nothing behind.
pub fn create((want, veth): (&Want, &Veth), ends: &Endpoints) -> Request {
    let link = &want.link;
    let peer = LinkUnspec::new_with_name(&link.name)
        .index(ends.pod_index)
        .mtu(want.mtu)
        .address(ends.mac.to_vec())
        .link_group(GROUP)
        .setns_by_fd(ends.pod_netns)
        .build();
    let mut host = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(
        netlink_packet_route::link::InfoKind::Veth,
    )
    .name(want.host_name.clone())
    .index(ends.host_index)
    .mtu(want.host_mtu)
    .address(veth.host_end.own_mac(ends.mac).to_vec())
    .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    if ends.place == HostNetns::Node {
        host = host.link_group(GROUP);
    }
    if let Some(bridge) = ends.bridge {
        host = host.controller(bridge);
    }
    let op = format!("create veth {} (host end {})", link.name, want.host_name);
    Request::new(
        op,
        NLM_F_CREATE | NLM_F_EXCL,
        RouteNetlinkMessage::NewLink(host.build()),
    )
}

/// Whether the kernel creates the route to an address's network: behind a routed link only the gateway
/// answers.
pub fn prefix_route(kind: &LinkKind) -> PrefixRoute {
    match is_routed(kind) {
        true => PrefixRoute::Not,
        false => PrefixRoute::Kernel,
    }
}

fn is_routed(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Veth(veth) if veth.host_end == HostEnd::Routed)
}

/// The routes in the pod: the requested ones, and for a routed link the routes to the gateway and through it
/// to the addresses' networks.
pub fn pod_routes(link: &Link) -> BTreeSet<Route> {
    if !is_routed(&link.kind) {
        return link.routes.iter().cloned().map(route::plain).collect();
    }
    let plain = |to, via| Route {
        to,
        via,
        metric: None,
        table: None,
    };
    let mut routes = BTreeSet::new();
    for address in &link.addresses {
        let gateway = gateway(address);
        // An IPv6 gateway is link-local and needs no route.
        if address.is_ipv4() {
            // A unique metric: another routed link, or Calico's eth0, has the same gateway.
            let hash = ownership_mark::hashed_mac(&[link.name.as_bytes()]);
            let metric = u32::from_be_bytes([0, hash[1], hash[2], hash[3]]) | 1 << 24;
            routes.insert(Route {
                metric: Some(metric),
                ..plain(IpNetwork::from(gateway), None)
            });
        }
        if address.network() != address.broadcast() {
            let network = IpNetwork::new(address.network(), address.prefix());
            routes.extend(network.map(|network| plain(network, Some(gateway))));
        }
    }
    routes.extend(link.routes.iter().map(|requested| {
        let via = requested.via.or(Some(gateway(&requested.to)));
        route::plain(Route {
            via,
            ..requested.clone()
        })
    }));
    routes
}

/// The addresses on the host end of a routed link.
pub fn gateways(link: &Link) -> Vec<IpNetwork> {
    let v4 = link
        .addresses
        .iter()
        .any(IpNetwork::is_ipv4)
        .then(|| IpNetwork::new(GATEWAY_V4.into(), 32));
    let v6 = link
        .addresses
        .iter()
        .any(IpNetwork::is_ipv6)
        .then(|| IpNetwork::new(GATEWAY_V6.into(), 64));
    [v4, v6].into_iter().flatten().flatten().collect()
}

/// The node's routes to a pod behind a routed link.
pub fn host_routes(link: &Link) -> BTreeSet<Route> {
    let to = |address: &IpNetwork| Route {
        to: address.ip().into(),
        via: None,
        metric: None,
        table: None,
    };
    link.addresses.iter().map(to).collect()
}

fn gateway(network: &IpNetwork) -> IpAddr {
    if network.is_ipv4() {
        GATEWAY_V4.into()
    } else {
        GATEWAY_V6.into()
    }
}
