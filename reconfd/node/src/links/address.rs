//! Addresses of a link ↔ netlink messages, pure. They must go through a socket of the link's own
//! namespace: the kernel ignores a target namespace here and hits the sender's link of that ifindex.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{
        AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
        AddressScope,
    },
};

use crate::{
    event_socket::PROTOCOL,
    netlink::{Body, Request},
};

/// The prefix length of link-local addresses.
const LINK_LOCAL_LENGTH: u8 = 64;

/// A present address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentAddress {
    /// The link's ifindex.
    pub index: u32,
    pub network: IpNetwork,
    /// Carries our protocol number: added by this project and not by the pod.
    pub ours: bool,
    pub prefix_route: PrefixRoute,
}

/// Whether the kernel creates the route to the address's network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixRoute {
    #[default]
    Kernel,
    /// The node answers for the network: the pod must not resolve its addresses on the link.
    Not,
}

pub fn add(index: u32, network: IpNetwork, prefix_route: PrefixRoute) -> Request {
    let mut message = message(index, network);
    // No duplicate address detection: it would keep the address unusable for more than a second.
    let mut flags = AddressFlags::Permanent | AddressFlags::Nodad;
    if prefix_route == PrefixRoute::Not {
        flags |= AddressFlags::Noprefixroute;
    }
    message.header.flags = AddressHeaderFlags::Permanent | AddressHeaderFlags::Nodad;
    message.attributes.push(AddressAttribute::Flags(flags));
    message
        .attributes
        .push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
    if let IpNetwork::V4(v4) = network
        && v4.prefix() < 31
    {
        message
            .attributes
            .push(AddressAttribute::Broadcast(v4.broadcast()));
    }
    Request::new(
        format!("add address {network}"),
        NLM_F_CREATE | NLM_F_REPLACE,
        RouteNetlinkMessage::NewAddress(message),
    )
}

/// A link-local address as the kernel creates it, without our protocol number.
pub fn add_link_local(index: u32, address: Ipv6Addr) -> Request {
    let network = IpNetwork::new(address.into(), LINK_LOCAL_LENGTH);
    let network = network.unwrap_or_else(|_| IpAddr::from(address).into());
    let mut message = message(index, network);
    message.header.scope = AddressScope::Link;
    message.header.flags = AddressHeaderFlags::Permanent | AddressHeaderFlags::Nodad;
    let protocol = AddressProtocol::LinkLocal;
    message
        .attributes
        .push(AddressAttribute::Protocol(protocol));
    Request::new(
        format!("add address {network}"),
        NLM_F_CREATE | NLM_F_REPLACE,
        RouteNetlinkMessage::NewAddress(message),
    )
}

pub fn delete(index: u32, network: IpNetwork) -> Request {
    let message = message(index, network);
    Request::deletion(
        format!("delete address {network}"),
        RouteNetlinkMessage::DelAddress(message),
    )
}

fn message(index: u32, network: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if network.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    message.header.prefix_len = network.prefix();
    message.header.scope = match network.ip() {
        IpAddr::V4(v4) if v4.is_link_local() => AddressScope::Link,
        _ => AddressScope::Universe,
    };
    message.header.index = index;
    message
        .attributes
        .push(AddressAttribute::Local(network.ip()));
    message
        .attributes
        .push(AddressAttribute::Address(network.ip()));
    message
}

/// Dump request for all addresses of a namespace.
pub fn list() -> Body {
    Body::Route(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
}

/// Decodes a message payload.
pub fn read(body: &[u8]) -> Option<PresentAddress> {
    let message = AddressMessage::parse(body).ok()?;
    let (mut local, mut address, mut ours) = (None, None, false);
    let mut prefix_route = PrefixRoute::Kernel;
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Address(ip) => address = Some(ip),
            AddressAttribute::Protocol(AddressProtocol::Other(number)) => ours = number == PROTOCOL,
            AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Noprefixroute) => {
                prefix_route = PrefixRoute::Not;
            }
            _ => (),
        }
    }
    let network = IpNetwork::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some(PresentAddress {
        index: message.header.index,
        network,
        ours,
        prefix_route,
    })
}
