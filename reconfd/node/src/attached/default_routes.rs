//! Default routes of a pod's main table: read, replaced by one through a link, and put back as the kernel wrote them.

use std::{io, net::IpAddr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{Emitable as _, NLM_F_CREATE, NLM_F_EXCL, Parseable as _};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType},
};

use super::AttachedLinks;
use crate::{
    event_socket::PROTOCOL,
    ip_dump::no_such_family,
    links::{Route, route},
    netlink::{Body, Error, Request},
};

/// Before all that routers advertise, whose routes the kernel sets again whenever one does.
const IPV6_METRIC: u32 = 1;

/// A default route, as it can be set again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute(RouteMessage);

impl DefaultRoute {
    /// What the kernel lists, without what it adds; `None`: it is none, or an advertised one, which comes and goes with its
    /// router.
    fn listed(body: &[u8]) -> Option<Self> {
        let mut message = RouteMessage::parse(body).ok()?;
        let header = &mut message.header;
        let is_default = header.destination_prefix_length == 0
            && header.kind == RouteType::Unicast
            && header.protocol != RouteProtocol::Ra
            && !header.flags.contains(RouteFlags::Cloned);
        header.flags &= RouteFlags::Onlink;
        let attributes = &mut message.attributes;
        let is_by_id = attributes
            .iter()
            .any(|attribute| matches!(attribute, RouteAttribute::NhId(_)));
        attributes.retain(|attribute| match attribute {
            RouteAttribute::CacheInfo(_)
            | RouteAttribute::Expires(_)
            | RouteAttribute::MulticastExpires(_) => false,
            // A nexthop object says all of this; both are refused.
            RouteAttribute::Oif(_)
            | RouteAttribute::Gateway(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::MultiPath(_) => !is_by_id,
            _ => true,
        });
        (is_default && Self(message.clone()).table() == u32::from(RouteHeader::RT_TABLE_MAIN))
            .then_some(Self(message))
    }

    /// The bytes of a route that was stored.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::listed(bytes)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.buffer_len()];
        self.0.emit(&mut bytes);
        bytes
    }

    /// Whether podconfig has set it.
    pub fn is_ours(&self) -> bool {
        self.0.header.protocol == RouteProtocol::Other(PROTOCOL)
    }

    pub fn is_ipv6(&self) -> bool {
        self.0.header.address_family == AddressFamily::Inet6
    }

    /// The ifindex, if it leads through a single link.
    pub fn index(&self) -> Option<u32> {
        let mut all = self.0.attributes.iter();
        all.find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        })
    }

    /// Whether podconfig has set it through this link to this gateway.
    pub fn is(&self, index: u32, gateway: IpAddr) -> bool {
        let via = RouteAttribute::Gateway(gateway.into());
        self.is_ours() && self.index() == Some(index) && self.0.attributes.contains(&via)
    }

    fn table(&self) -> u32 {
        let mut all = self.0.attributes.iter();
        let table = all.find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        table.unwrap_or(self.0.header.table.into())
    }
}

impl AttachedLinks {
    /// The default routes of both families.
    pub fn default_routes(&mut self) -> Result<Vec<DefaultRoute>, Error> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.header.table = RouteHeader::RT_TABLE_MAIN;
            let list = Body::Route(RouteNetlinkMessage::GetRoute(message));
            let found = self
                .socket
                .dump("list routes", &list, |found: &mut Vec<_>, _, body| {
                    found.extend(DefaultRoute::listed(body));
                });
            all.extend(no_such_family(found)?);
        }
        Ok(all)
    }

    /// A default route of ours through a link.
    pub fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), Error> {
        let anything = match gateway {
            IpAddr::V4(_) => IpAddr::from([0u8; 4]),
            IpAddr::V6(_) => IpAddr::from([0u16; 8]),
        };
        let invalid = |error| Error::io("add default route", &io::Error::other(error));
        let to = IpNetwork::new(anything, 0).map_err(invalid)?;
        let route = Route {
            to,
            via: Some(gateway),
            metric: gateway.is_ipv6().then_some(IPV6_METRIC),
            table: None,
        };
        self.socket.change(route::add(index, &route))
    }

    pub fn delete_default_route(&mut self, route: &DefaultRoute) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRoute(route.0.clone());
        self.socket
            .change(Request::deletion("delete default route", message))
    }

    /// Sets a route again that was deleted.
    pub fn restore_default_route(&mut self, route: &DefaultRoute) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(route.0.clone());
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.socket.change(Request::repeatable(
            "restore default route",
            flags,
            Body::Route(message),
        ))
    }
}
