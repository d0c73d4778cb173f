//! Cache of our addresses and routes on host ends in the node's namespace. Read completely once and then
//! updated by events, because the kernel walks the whole routing table to find ours: on a node with BGP that
//! takes milliseconds.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;

use super::{
    ip_dump::{read_addresses, read_routes},
    links::{Route, address},
    netlink::{Error, Socket},
};

/// By ifindex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEndL3 {
    addresses: HashMap<u32, BTreeSet<IpNetwork>>,
    routes: HashMap<u32, BTreeSet<Route>>,
    /// Something may be gone without a notification: to be read again before use.
    pub is_stale: bool,
}

impl HostEndL3 {
    pub fn read(socket: &mut Socket) -> Result<Self, Error> {
        let mut host_end_l3 = Self::default();
        for address in read_addresses(socket)? {
            host_end_l3.add_address(&address);
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for (index, route) in read_routes(socket, family)? {
                host_end_l3.add_route(index, route);
            }
        }
        Ok(host_end_l3)
    }

    pub fn addresses(&self, index: u32) -> Vec<IpNetwork> {
        let of_link = self.addresses.get(&index).into_iter().flatten();
        of_link.copied().collect()
    }

    pub fn routes(&self, index: u32) -> BTreeSet<Route> {
        self.routes.get(&index).cloned().unwrap_or_default()
    }

    pub fn has(&self, index: u32) -> bool {
        self.addresses.contains_key(&index) || self.routes.contains_key(&index)
    }

    pub fn add_address(&mut self, address: &address::PresentAddress) {
        if address.ours {
            let of_link = self.addresses.entry(address.index).or_default();
            of_link.insert(address.network);
        }
    }

    /// Returns whether it was there.
    pub fn remove_address(&mut self, index: u32, network: &IpNetwork) -> bool {
        take(&mut self.addresses, index, network)
    }

    pub fn add_route(&mut self, index: u32, route: Route) {
        self.routes.entry(index).or_default().insert(route);
    }

    /// Whether it was there.
    pub fn remove_route(&mut self, index: u32, route: &Route) -> bool {
        take(&mut self.routes, index, route)
    }

    /// Removes the route that a new one has replaced, on any link: the kernel has one per network, metric and
    /// table. Returns the links that lost one.
    pub fn replaced(&mut self, by: &Route) -> Vec<u32> {
        let key = |route: &Route| (route.to, route.metric, route.table);
        let mut losers = Vec::new();
        for (index, routes) in &mut self.routes {
            let before = routes.len();
            routes.retain(|route| key(route) != key(by));
            losers.extend((routes.len() < before).then_some(*index));
        }
        self.routes.retain(|_, routes| !routes.is_empty());
        losers
    }

    /// The links that lack addresses or routes in `now`.
    pub fn lost(&self, now: &Self) -> Vec<u32> {
        let addresses = missing(&self.addresses, &now.addresses);
        addresses
            .chain(missing(&self.routes, &now.routes))
            .collect()
    }

    /// Removes all entries of a deleted link.
    pub fn forget(&mut self, index: u32) {
        self.addresses.remove(&index);
        self.routes.remove(&index);
    }
}

/// Removes one item of a link; returns whether it was there. A link without items has no entry.
fn take<T: Ord>(all: &mut HashMap<u32, BTreeSet<T>>, index: u32, item: &T) -> bool {
    let Entry::Occupied(mut of_link) = all.entry(index) else {
        return false;
    };
    let was_there = of_link.get_mut().remove(item);
    if of_link.get().is_empty() {
        of_link.remove();
    }
    was_there
}

/// The links that lack items that they had before.
fn missing<T: Ord>(
    before: &HashMap<u32, BTreeSet<T>>,
    now: &HashMap<u32, BTreeSet<T>>,
) -> impl Iterator<Item = u32> {
    let lost = before.iter().filter(|(index, all)| {
        let left = now.get(index);
        left.is_none_or(|left| !all.is_subset(left))
    });
    lost.map(|(index, _)| *index)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn to(network: &str, metric: Option<u32>) -> Route {
        Route {
            to: network.parse().unwrap(),
            via: None,
            metric,
            table: None,
        }
    }

    #[test]
    fn a_loss_is_reported_once_and_only_of_what_was_there() {
        let mut host_end_l3 = HostEndL3::default();
        host_end_l3.add_route(7, to("10.1.0.1/32", None));
        assert!(!host_end_l3.remove_route(8, &to("10.1.0.1/32", None)));
        assert!(host_end_l3.remove_route(7, &to("10.1.0.1/32", None)));
        assert!(!host_end_l3.remove_route(7, &to("10.1.0.1/32", None)));
    }

    #[test]
    fn a_loss_without_an_event_is_found_by_the_next_read() {
        let (mut before, mut now) = (HostEndL3::default(), HostEndL3::default());
        for index in [7, 8] {
            before.add_route(index, to("10.1.0.1/32", Some(index)));
        }
        now.add_route(8, to("10.1.0.1/32", Some(8)));
        now.add_route(9, to("10.1.0.1/32", Some(9)));
        assert_eq!(before.lost(&now), [7]);
    }

    #[test]
    fn a_route_replaces_one_of_the_same_network_metric_and_table() {
        let mut host_end_l3 = HostEndL3::default();
        host_end_l3.add_route(7, to("10.1.0.1/32", None));
        host_end_l3.add_route(8, to("10.1.0.2/32", None));
        host_end_l3.add_route(9, to("10.1.0.1/32", Some(5)));
        let mut by = to("10.1.0.1/32", None);
        by.via = Some("192.0.2.1".parse().unwrap());
        assert_eq!(host_end_l3.replaced(&by), [7]);
        assert!(host_end_l3.routes(7).is_empty());
        assert_eq!(host_end_l3.routes(8).len() + host_end_l3.routes(9).len(), 2);
    }
}
