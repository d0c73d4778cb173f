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
    netlink::{Body, Request},
    row::Port,
};

const RTM_NEWMDB: u16 = 84;
const RTM_GETMDB: u16 = 86;
const MDBA_MDB: u16 = 1;
const MDBA_SET_ENTRY: u16 = 1;
const MDB_PERMANENT: u8 = 1;
const AF_BRIDGE: u8 = 7;
/// Where a bridge's own protocol (STP) speaks. A host-joined entry of the forwarding table takes
/// such frames to the bridge itself, which ignores them, and to no port.
const BPDU: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];

/// Makes a bridge under a number of the caller's choice. `alias` is for people.
pub fn create(name: &str, index: u32, alias: &str) -> Vec<Request> {
    let bridge = LinkBridge::new(name)
        .index(index)
        .stp_state(BridgeStpState::Disabled)
        .mcast_snooping(true)
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
        // Some kernels take no such entry before the bridge is up; it has no port yet.
        guard(name, index),
    ]
}

/// Keeps a pod's BPDU from the other ports.
pub fn guard(name: &str, index: u32) -> Request {
    let mut body = port_message(index);
    // `struct br_mdb_entry`: number, state, flags, vid, address (16 bytes), protocol, padding.
    let mut entry = index.to_ne_bytes().to_vec();
    entry.extend([MDB_PERMANENT, 0, 0, 0]);
    entry.extend(BPDU);
    entry.resize(28, 0);
    body.extend(((4 + entry.len()) as u16).to_ne_bytes());
    body.extend(MDBA_SET_ENTRY.to_ne_bytes());
    body.extend(entry);
    let deed = format!("keep bridge protocol frames to bridge {name}");
    Request::of_body(
        deed,
        NLM_F_CREATE | NLM_F_REPLACE,
        Body::Raw(RTM_NEWMDB, body),
    )
}

/// The question for the multicast tables of all bridges.
pub fn list_guards() -> Body {
    Body::Raw(RTM_GETMDB, port_message(0))
}

/// The number of the bridge, where this is a table that holds the guard.
pub fn read_guard(body: &[u8]) -> Vec<u32> {
    let index = body
        .get(4..8)
        .map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    let table = body.get(8..).unwrap_or_default();
    let guarded = netlink_packet_core::NlasIterator::new(table)
        .flatten()
        .any(|a| a.kind() == MDBA_MDB && a.value().windows(6).any(|window| window == BPDU));
    index.filter(|_| guarded).into_iter().collect()
}

/// `struct br_port_msg`: family, padding, number.
fn port_message(index: u32) -> Vec<u8> {
    let mut body = vec![AF_BRIDGE, 0, 0, 0];
    body.extend(index.to_ne_bytes());
    body
}

/// What a port of ours must be: nothing is learned from a pod and nothing unknown goes to it, so that
/// a pod can take no other's traffic, unless a policy lets it have any address (`macs: Any`).
pub fn port(learning: bool) -> Port {
    Port {
        learning,
        flood: learning,
    }
}

/// Sets a port's flags and raises it, in this order: no frame passes before the flags hold.
pub fn set_port(name: &str, index: u32, port: Port) -> Request {
    let flags = vec![
        InfoBridgePort::Learning(port.learning),
        InfoBridgePort::UnicastFlood(port.flood),
    ];
    let message = LinkUnspec::new_with_index(index)
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(InfoPortData::BridgePort(flags))
        .up()
        .build();
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

/// The forwarding entry that makes a MAC address the port's alone.
pub fn pin_mac(name: &str, index: u32, mac: [u8; 6]) -> Request {
    let message = neighbour(index, mac);
    let deed = format!("pin the MAC address of {name}");
    Request::new(
        deed,
        NLM_F_CREATE | NLM_F_REPLACE,
        RouteNetlinkMessage::NewNeighbour(message),
    )
}

pub fn unpin_mac(name: &str, index: u32, mac: [u8; 6]) -> Request {
    let deed = format!("release the MAC address of {name}");
    Request::deletion(
        deed,
        RouteNetlinkMessage::DelNeighbour(neighbour(index, mac)),
    )
}

fn neighbour(index: u32, mac: [u8; 6]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.header.kind = RouteType::Unspec;
    message
        .attributes
        .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message
}

/// The question for the forwarding tables of all bridges.
pub fn list_macs() -> Body {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    Body::Route(RouteNetlinkMessage::GetNeighbour(message))
}

/// Port and MAC address of a pinned entry.
pub fn read_mac(body: &[u8]) -> Option<(u32, [u8; 6])> {
    let message = NeighbourMessage::parse(body).ok()?;
    if message.header.state != NeighbourState::Noarp {
        return None;
    }
    message
        .attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(mac) => {
                Some((message.header.ifindex, mac.try_into().ok()?))
            }
            _ => None,
        })
}
