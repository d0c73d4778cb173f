//! Bridges in the switch and their ports ↔ netlink messages, pure.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Parseable};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{BridgeStpState, InfoBridgePort, InfoPortData, InfoPortKind, LinkMessage},
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::RouteType,
};
use rtnetlink::{LinkBridge, LinkUnspec};

use crate::node::{
    link_info::Port,
    netlink::{Body, Request},
};

/// So many addresses may be learned on a bridge, where the kernel can count them (Linux 6.7): who floods
/// it must not eat the node's memory, nor make its tables too long to read.
const MOST_LEARNED: u32 = 8192;

/// Makes a bridge under a number of the caller's choice. `alias` is for people. It sends multicast to
/// every port: snooping would believe a pod that plays the querier, and take the others' groups away.
pub fn create(name: &str, index: u32, alias: &str) -> Vec<Request> {
    let bridge = LinkBridge::new(name)
        .index(index)
        .stp_state(BridgeStpState::Disabled)
        .mcast_snooping(false)
        .fdb_max_learned(MOST_LEARNED)
        .build();
    let raise = LinkUnspec::new_with_index(index).alias(alias).up().build();
    vec![
        Request::new(
            format!("create bridge {name}"),
            NLM_F_CREATE | NLM_F_EXCL,
            RouteNetlinkMessage::NewLink(bridge),
        ),
        Request::new(
            format!("raise bridge {name}"),
            0,
            RouteNetlinkMessage::SetLink(raise),
        ),
    ]
}

/// What a port of ours must be: nothing is learned from a pod, nothing unknown goes to it, and what it
/// sends under another address than its own goes nowhere, on this node or beyond. So a pod can take no
/// other's traffic, unless a policy lets it have any address (`macs: Any`).
pub fn port(learning: bool) -> Port {
    Port {
        learning,
        flood: learning,
        locked: !learning,
    }
}

/// Sets a port's flags and raises it, if it shall be up, in this order: no frame passes before the flags hold.
pub fn set_port(name: &str, index: u32, port: Port, up: bool) -> Request {
    let flags = vec![
        InfoBridgePort::Learning(port.learning),
        InfoBridgePort::UnicastFlood(port.flood),
        InfoBridgePort::Locked(port.locked),
    ];
    let mut message = LinkUnspec::new_with_index(index)
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(InfoPortData::BridgePort(flags));
    if up {
        message = message.up();
    }
    let message = message.build();
    Request::new(
        format!("set bridge port {name}"),
        0,
        RouteNetlinkMessage::NewLink(message),
    )
}

/// Puts a link on a bridge.
pub fn join(name: &str, index: u32, bridge: u32) -> Request {
    let message: LinkMessage = LinkUnspec::new_with_index(index).controller(bridge).build();
    Request::new(
        format!("put {name} on its bridge"),
        0,
        RouteNetlinkMessage::SetLink(message),
    )
}

/// The forwarding entry that makes a MAC address the port's alone. Sticky: a frame that comes with that
/// address by a port that learns must not take the entry there.
pub fn pin_mac(name: &str, index: u32, mac: [u8; 6]) -> Request {
    let message = neighbour(index, mac);
    let op = format!("pin the MAC address of {name}");
    Request::new(
        op,
        NLM_F_CREATE | NLM_F_REPLACE,
        RouteNetlinkMessage::NewNeighbour(message),
    )
}

pub fn unpin_mac(name: &str, index: u32, mac: [u8; 6]) -> Request {
    let op = format!("release the MAC address of {name}");
    Request::deletion(op, RouteNetlinkMessage::DelNeighbour(neighbour(index, mac)))
}

fn neighbour(index: u32, mac: [u8; 6]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller | NeighbourFlags::Sticky;
    message.header.kind = RouteType::Unspec;
    message
        .attributes
        .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message
}

/// The request for the forwarding tables of all bridges.
pub fn list_macs() -> Body {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    Body::Route(RouteNetlinkMessage::GetNeighbour(message))
}

/// Port and MAC address of a pinned entry.
pub fn read_mac(body: &[u8]) -> Option<(u32, [u8; 6])> {
    let (index, mac, is_pinned) = read_entry(body)?;
    is_pinned.then_some((index, mac))
}

/// Port and MAC address of an entry, and whether it is pinned there.
pub fn read_entry(body: &[u8]) -> Option<(u32, [u8; 6], bool)> {
    let message = NeighbourMessage::parse(body).ok()?;
    let is_pinned = message.header.state == NeighbourState::Noarp;
    let mut attributes = message.attributes.into_iter();
    attributes.find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(mac) => {
            Some((message.header.ifindex, mac.try_into().ok()?, is_pinned))
        }
        _ => None,
    })
}
