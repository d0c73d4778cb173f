//! The networks that a kernel knows in one namespace: addresses and routes of all tables, without
//! interpretation.

use std::{collections::HashMap, net::IpAddr};

use ipnetwork::IpNetwork;
use netlink_packet_core::Parseable as _;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
};
use nix::{
    errno::Errno,
    libc::{RTN_BLACKHOLE, RTN_PROHIBIT, RTN_UNICAST, RTN_UNREACHABLE},
};

use super::{
    event_socket::PROTOCOL,
    ip_dump::{no_such_family, read_addresses},
    link_info::LinkInfo,
    links::address,
    netlink::{Body, Error, Socket},
};

/// Watches the node's own networks.
mod watch;
pub use watch::{NetworkFilter, NetworkWatch, NetworksResult};

/// A pod with BGP may have more; such a table cannot be checked in time.
const MOST: usize = 20_000;

/// Offsets in `struct rtmsg`.
const PREFIX_LENGTH: usize = 1;
const ROUTE_PROTOCOL: usize = 5;
const ROUTE_TYPE: usize = 7;

/// The network of one address or route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelNetwork {
    /// For an address: the address with its prefix length.
    pub prefix: IpNetwork,
    pub by: By,
    /// The name of the link; empty for a route without one.
    pub link: String,
}

/// The source of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    Address,
    /// A route, with its protocol number.
    Route {
        has_gateway: bool,
        protocol: u8,
    },
    /// A blackhole, unreachable or prohibit route.
    Dead {
        protocol: u8,
    },
}

/// All relevant networks of the socket's namespace, except those on links of ours and default routes.
pub fn read(
    socket: &mut Socket,
    links: &HashMap<u32, LinkInfo>,
    is_ours: impl Fn(u32) -> bool,
    matters: impl Fn(&KernelNetwork) -> bool,
) -> Result<Vec<KernelNetwork>, Error> {
    let name = |index: u32| links.get(&index).map(|info| info.name.clone());
    let mut found = Vec::new();
    for address in read_addresses(socket)? {
        if !address.ours && !is_ours(address.index) {
            found.extend(of_address(&address, name(address.index)));
        }
    }
    let take = |(index, mut network): (Option<u32>, KernelNetwork)| {
        // A link that vanished or appeared during the read: the watch gets an event for it.
        network.link = match index {
            Some(index) => name(index)?,
            None => String::new(),
        };
        let is_others = !index.is_some_and(&is_ours);
        Some(network).filter(|network| is_others && matters(network))
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        found.extend(read_routes(socket, family, take)?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn of_address(address: &address::PresentAddress, link: Option<String>) -> Option<KernelNetwork> {
    Some(KernelNetwork {
        prefix: address.network,
        by: By::Address,
        link: link?,
    })
}

fn read_routes(
    socket: &mut Socket,
    family: AddressFamily,
    take: impl Fn((Option<u32>, KernelNetwork)) -> Option<KernelNetwork>,
) -> Result<Vec<KernelNetwork>, Error> {
    let op = "list the routes of a namespace";
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    let body = Body::Route(RouteNetlinkMessage::GetRoute(message));
    let found = socket.dump(op, &body, |routes: &mut Vec<KernelNetwork>, _, bytes| {
        if routes.len() <= MOST {
            routes.extend(of_route(bytes).and_then(&take));
        }
    });
    let found = no_such_family(found)?;
    match found.len() > MOST {
        true => {
            let text = format!("there are more than {MOST}");
            Err(Error::new(op, Errno::E2BIG, text))
        }
        false => Ok(found),
    }
}

/// The destination of a route and its ifindex. Most routes of a large table are skipped by the header alone.
fn of_route(body: &[u8]) -> Option<(Option<u32>, KernelNetwork)> {
    let header = |at: usize| body.get(at).copied().unwrap_or_default();
    let protocol = header(ROUTE_PROTOCOL);
    if header(PREFIX_LENGTH) == 0 || protocol == PROTOCOL {
        return None;
    }
    let is_dead = match header(ROUTE_TYPE) {
        RTN_UNICAST => false,
        RTN_BLACKHOLE | RTN_UNREACHABLE | RTN_PROHIBIT => true,
        _ => return None,
    };
    let message = RouteMessage::parse(body).ok()?;
    let (mut index, mut to, mut has_gateway) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(number) => index = Some(*number),
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => to = Some(IpAddr::V4(*ip)),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => to = Some(IpAddr::V6(*ip)),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => has_gateway = true,
            RouteAttribute::MultiPath(hops) => {
                has_gateway = true;
                index = index.or(hops.first().map(|hop| hop.interface_index));
            }
            _ => (),
        }
    }
    let network = KernelNetwork {
        prefix: IpNetwork::new(to?, header(PREFIX_LENGTH)).ok()?,
        by: match is_dead {
            true => By::Dead { protocol },
            false => By::Route {
                has_gateway,
                protocol,
            },
        },
        link: String::new(),
    };
    Some((index.filter(|_| !is_dead), network))
}
