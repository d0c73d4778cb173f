//! Bridges in the switch and their ports ↔ netlink messages, pure.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Parseable};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{BridgeStpState, InfoBridgePort, InfoPortData, InfoPortKind, LinkMessage},
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::RouteType,
};
use rtnetlink::{LinkBridge, LinkUnspec};

use crate::{
    netlink::{Body, Request},
    port::Port,
};

/// Limit of learned addresses per bridge, where the kernel supports it (Linux 6.7), to bound memory and table
/// size under flooding.
const MOST_LEARNED: u32 = 8192;

/// Creates a bridge with the given ifindex. `alias` is for operators. Multicast is flooded to every port:
/// with snooping, a pod could act as querier and remove the others' groups.
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

/// The flags of a port of ours: nothing is learned from a pod, nothing unknown is flooded to it, and frames
/// from other addresses than its own are dropped. So a pod cannot receive another's traffic, unless a policy
/// allows any address (`macs: Any`).
pub fn port(learning: bool) -> Port {
    Port {
        learning,
        flood: learning,
        locked: !learning,
    }
}

/// Sets a port's flags, then raises it if it shall be up, so that no frame passes before the flags hold.
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

/// Adds a link to a bridge.
pub fn join(name: &str, index: u32, bridge: u32) -> Request {
    let message: LinkMessage = LinkUnspec::new_with_index(index).controller(bridge).build();
    Request::new(
        format!("put {name} on its bridge"),
        0,
        RouteNetlinkMessage::SetLink(message),
    )
}

/// The static forwarding entry of a port's MAC address. Sticky: frames with that address on a learning port
/// do not move the entry.
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

/// Dump request for the forwarding tables of all bridges.
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

/// Port and MAC address of an entry, and whether it is pinned.
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
