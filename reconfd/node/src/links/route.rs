//! Routes and rules ↔ netlink messages, pure. Ours carry our protocol number.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;

use super::{Route, gateway::GATEWAY_V4};
use crate::{
    event_socket::PROTOCOL,
    netlink::{Body, Request},
};

/// The kernel's default metric of IPv6 routes.
const IPV6_DEFAULT_METRIC: u32 = 1024;
/// Before the main table (32766), after the usual choices of administrators.
const RULE_PRIORITY: u32 = 30_000;

/// `from <address> lookup <table>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingRule {
    pub from: IpAddr,
    pub table: u32,
}

/// The canonical form of a route: the kernel's defaults are left out.
pub fn plain(mut route: Route) -> Route {
    let default = if route.to.is_ipv6() {
        IPV6_DEFAULT_METRIC
    } else {
        0
    };
    route.metric = route
        .metric
        .filter(|metric| *metric != default && *metric != 0);
    route.table = route
        .table
        .filter(|table| *table != u32::from(RouteHeader::RT_TABLE_MAIN));
    route
}

pub fn add(index: u32, route: &Route) -> Request {
    let op = format!("add {}", describe(route));
    Request::new(
        op,
        NLM_F_CREATE | NLM_F_EXCL,
        RouteNetlinkMessage::NewRoute(message(index, route)),
    )
}

/// Adds a route that may still exist.
pub fn keep(index: u32, route: &Route) -> Request {
    Request {
        ignorable: &[Errno::EEXIST],
        ..add(index, route)
    }
}

pub fn delete(index: u32, route: &Route) -> Request {
    let op = format!("delete {}", describe(route));
    Request::deletion(op, RouteNetlinkMessage::DelRoute(message(index, route)))
}

/// In the syntax of `ip route`.
pub fn describe(route: &Route) -> String {
    let mut text = format!("route {}", route.to);
    for (word, value) in [
        ("via", route.via.map(|v| v.to_string())),
        ("metric", route.metric.map(|v| v.to_string())),
        ("table", route.table.map(|v| v.to_string())),
    ] {
        if let Some(value) = value {
            text += &format!(" {word} {value}");
        }
    }
    text
}

fn message(index: u32, route: &Route) -> RouteMessage {
    let scope = match (route.to.is_ipv4(), route.via) {
        (true, None) => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .output_interface(index)
        .protocol(RouteProtocol::Other(PROTOCOL))
        .scope(scope);
    if route.via == Some(GATEWAY_V4.into()) {
        // Through this link, even if there is another route to the gateway's address.
        builder = builder.onlink();
    }
    if let Some(metric) = route.metric {
        builder = builder.priority(metric);
    }
    if let Some(table) = route.table {
        builder = builder.table_id(table);
    }
    let mut message = builder.build();
    message.header.address_family = family(&route.to);
    message.header.destination_prefix_length = route.to.prefix();
    message
        .attributes
        .push(RouteAttribute::Destination(route.to.network().into()));
    if let Some(via) = route.via {
        message.attributes.push(RouteAttribute::Gateway(via.into()));
    }
    message
}

fn family(network: &IpNetwork) -> AddressFamily {
    if network.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

/// Dump request for our routes in one family; the kernel skips all others, of which a pod with BGP may have
/// many.
pub fn list(family: AddressFamily) -> Body {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    Body::Route(RouteNetlinkMessage::GetRoute(message))
}

/// A route, ours or not.
pub struct FoundRoute {
    /// Carries our protocol number.
    pub is_ours: bool,
    /// The ifindex, if the route has a single link.
    pub index: Option<u32>,
    pub route: Route,
}

/// The ifindex and the route, if it is ours.
pub fn read(body: &[u8]) -> Option<(u32, Route)> {
    let found = read_any(body).filter(|found| found.is_ours)?;
    Some((found.index?, found.route))
}

pub fn read_any(body: &[u8]) -> Option<FoundRoute> {
    let message = RouteMessage::parse(body).ok()?;
    let header = &message.header;
    let is_ours =
        header.protocol == RouteProtocol::Other(PROTOCOL) && header.kind == RouteType::Unicast;
    let (mut index, mut to, mut via, mut metric, mut table) =
        (None, None, None, None, u32::from(header.table));
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Oif(number) => index = Some(number),
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Priority(number) => metric = Some(number),
            RouteAttribute::Table(number) => table = number,
            _ => (),
        }
    }
    let anything = match header.address_family {
        AddressFamily::Inet6 => IpAddr::from([0u16; 8]),
        _ => IpAddr::from([0u8; 4]),
    };
    let to = IpNetwork::new(to.unwrap_or(anything), header.destination_prefix_length).ok()?;
    Some(FoundRoute {
        is_ours,
        index,
        route: plain(Route {
            to,
            via,
            metric,
            table: Some(table),
        }),
    })
}

fn ip(address: RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(v4.into()),
        RouteAddress::Inet6(v6) => Some(v6.into()),
        _ => None,
    }
}

pub fn add_rule(rule: &RoutingRule) -> Request {
    let op = format!("add rule from {} lookup {}", rule.from, rule.table);
    Request::new(
        op,
        NLM_F_CREATE | NLM_F_EXCL,
        RouteNetlinkMessage::NewRule(rule_message(rule)),
    )
}

pub fn delete_rule(rule: &RoutingRule) -> Request {
    let op = format!("delete rule from {} lookup {}", rule.from, rule.table);
    Request::deletion(op, RouteNetlinkMessage::DelRule(rule_message(rule)))
}

fn rule_message(rule: &RoutingRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if rule.from.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    message.header.src_len = if rule.from.is_ipv4() { 32 } else { 128 };
    message.header.action = RuleAction::ToTable;
    message.header.table = u8::try_from(rule.table).unwrap_or_default();
    message.attributes.push(RuleAttribute::Source(rule.from));
    message.attributes.push(RuleAttribute::Table(rule.table));
    message
        .attributes
        .push(RuleAttribute::Priority(RULE_PRIORITY));
    message
        .attributes
        .push(RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    message
}

/// Dump request for all rules of one family.
pub fn list_rules(family: AddressFamily) -> Body {
    let mut message = RuleMessage::default();
    message.header.family = family;
    Body::Route(RouteNetlinkMessage::GetRule(message))
}

/// A rule of ours.
pub fn read_rule(body: &[u8]) -> Option<RoutingRule> {
    let message = RuleMessage::parse(body).ok()?;
    let (mut from, mut table, mut ours) = (None, u32::from(message.header.table), false);
    for attribute in message.attributes {
        match attribute {
            RuleAttribute::Source(ip) => from = Some(ip),
            RuleAttribute::Table(number) => table = number,
            RuleAttribute::Protocol(protocol) => ours = protocol == RouteProtocol::Other(PROTOCOL),
            _ => (),
        }
    }
    Some(RoutingRule {
        from: from.filter(|_| ours)?,
        table,
    })
}
