//! Table events of host ends: bridge ports, forwarding entries, tunnel peers, our routes and addresses on the
//! node. They update the cache and reveal drift: changes by this program are in the cache before their events
//! arrive.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_core::NlasIterator;

use crate::{
    Machine,
    event_socket::{
        RTM_DELADDR, RTM_DELNEIGH, RTM_DELQDISC, RTM_DELROUTE, RTM_DELTFILTER, RTM_NEWADDR,
        RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNETCONF, RTM_NEWROUTE, RTM_NEWTFILTER,
    },
    link_info::read_port,
    links::{HostNetns, address, bridge, device::peers, ingress_filter, route},
    netlink::Error,
    port::Port,
};

use super::KernelEvent;

const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_RP_FILTER: u16 = 3;
/// The index of `conf.all`, which applies to each link.
const OF_ALL: i32 = -1;
/// `struct netconfmsg`, padded.
const NETCONFMSG: usize = 4;

impl Machine {
    /// Processes the table events of both namespaces; returns whether events were lost.
    pub(super) fn drain_tables(&mut self, out: &mut Vec<KernelEvent>) -> Result<bool, Error> {
        let mut lost = false;
        let losers = std::mem::take(&mut self.losers).into_iter();
        out.extend(losers.map(|index| KernelEvent::Table {
            place: HostNetns::Node,
            index,
            what: "routes and addresses of the node",
        }));
        for place in [HostNetns::Switch, HostNetns::Node] {
            let mut events: Vec<(u16, Vec<u8>)> = Vec::new();
            // Only the last state of each link counts: a new one has the kernel's defaults for a moment.
            let mut ports: BTreeMap<u32, Port> = BTreeMap::new();
            let mut rp_filters: BTreeMap<i32, i32> = BTreeMap::new();
            let drained = self
                .host_netns_mut(place)
                .tables
                .drain(|_, kind, body| match kind {
                    RTM_NEWLINK => ports.extend(read_port(body)),
                    RTM_NEWNETCONF => rp_filters.extend(read_rp_filter(body)),
                    _ => events.push((kind, body.to_vec())),
                });
            lost |= drained.map_err(|e| Error::io("read table events", &e))?;
            let mut report = |index, what| out.push(KernelEvent::Table { place, index, what });
            for (index, port) in ports {
                if self.port_changed(place, index, port) {
                    report(index, "bridge port flags");
                }
            }
            for (index, value) in rp_filters {
                for (index, what) in self.rp_filter_changed(index, value) {
                    report(index, what);
                }
            }
            for (kind, body) in events {
                for (index, what) in self.take_in(place, kind, &body) {
                    report(index, what);
                }
            }
        }
        Ok(lost)
    }

    /// A host end that was down, if only for a moment, has lost its IPv4 routes without a notification.
    pub(super) fn was_lowered(&mut self, indexes: BTreeSet<u32>, out: &mut Vec<KernelEvent>) {
        let Some(host_end_l3) = &mut self.host_end_l3 else {
            return;
        };
        let mut lowered = indexes;
        lowered.retain(|index| host_end_l3.has(*index));
        host_end_l3.is_stale |= !lowered.is_empty();
        out.extend(lowered.into_iter().map(|index| KernelEvent::Table {
            place: HostNetns::Node,
            index,
            what: "state of the host end",
        }));
    }

    /// The links whose tables have drifted, and the kind of entry.
    fn take_in(&mut self, place: HostNetns, kind: u16, body: &[u8]) -> Vec<(u32, &'static str)> {
        match kind {
            RTM_NEWNEIGH | RTM_DELNEIGH => self.entry_changed(place, kind == RTM_NEWNEIGH, body),
            RTM_NEWADDR | RTM_DELADDR => self.address_changed(kind == RTM_NEWADDR, body),
            RTM_NEWROUTE => self.route_came(body),
            RTM_DELROUTE => self.route_went(body),
            RTM_NEWTFILTER | RTM_DELTFILTER | RTM_DELQDISC => {
                self.filter_changed(place, kind, body)
            }
            _ => Vec::new(),
        }
    }

    /// Whether the flags of a port have drifted. A port without known flags cannot drift.
    fn port_changed(&mut self, place: HostNetns, index: u32, port: Port) -> bool {
        let info = self.host_netns_mut(place).links.get_mut(&index);
        let before = info.and_then(|info| info.port.replace(port));
        before.is_some_and(|before| before != port)
    }

    /// An entry of a bridge's forwarding table, or a tunnel peer.
    fn entry_changed(
        &mut self,
        place: HostNetns,
        is_there: bool,
        body: &[u8],
    ) -> Vec<(u32, &'static str)> {
        if let Some(entry) = peers::read(body) {
            if place == HostNetns::Node || !entry.is_default() {
                return Vec::new();
            }
            let is_device = self.devices.values().any(|index| *index == entry.index);
            let differs = match is_there {
                true if is_device => self
                    .peers
                    .entry(entry.index)
                    .or_default()
                    .insert(entry.peer),
                true => false,
                false => {
                    let ends = self.peers.get_mut(&entry.index);
                    ends.is_some_and(|ends| ends.remove(&entry.peer))
                }
            };
            return differs
                .then_some((entry.index, "ends of a tunnel"))
                .into_iter()
                .collect();
        }
        let Some((index, mac, is_pinned)) = bridge::read_entry(body) else {
            return Vec::new();
        };
        let mut differing = Vec::new();
        if is_there {
            // An entry that moved to another port of the bridge is notified only with the new port.
            let master = |index| {
                self.host_netns(place)
                    .links
                    .get(&index)
                    .and_then(|info| info.master)
            };
            let moved = self.pinned.iter().filter(|(at, other, address)| {
                (*at, *address) == (place, mac)
                    && *other != index
                    && master(*other) == master(index)
            });
            differing = moved.map(|(_, index, _)| *index).collect();
        }
        match is_there && is_pinned {
            true => drop(self.pinned.insert((place, index, mac))),
            false => differing.push(index),
        }
        differing.retain(|index| self.pinned.remove(&(place, *index, mac)));
        differing
            .into_iter()
            .map(|index| (index, "forwarding entry"))
            .collect()
    }

    fn address_changed(&mut self, is_there: bool, body: &[u8]) -> Vec<(u32, &'static str)> {
        let (Some(address), Some(host_end_l3)) = (address::read(body), &mut self.host_end_l3)
        else {
            return Vec::new();
        };
        if is_there {
            host_end_l3.add_address(&address);
            return Vec::new();
        }
        if !host_end_l3.remove_address(address.index, &address.network) {
            return Vec::new();
        }
        // With the last IPv4 address of a link the kernel drops its IPv4 routes without a notification.
        host_end_l3.is_stale = true;
        vec![(address.index, "gateway address")]
    }

    fn route_came(&mut self, body: &[u8]) -> Vec<(u32, &'static str)> {
        let (Some(found), Some(host_end_l3)) = (route::read_any(body), &mut self.host_end_l3)
        else {
            return Vec::new();
        };
        match (found.is_ours, found.index) {
            (true, Some(index)) => {
                host_end_l3.add_route(index, found.route);
                Vec::new()
            }
            // Accepted by the socket filter because it replaces another route.
            _ => {
                let replaced = host_end_l3.replaced(&found.route);
                replaced
                    .into_iter()
                    .map(|index| (index, "route of the node"))
                    .collect()
            }
        }
    }

    fn route_went(&mut self, body: &[u8]) -> Vec<(u32, &'static str)> {
        let (Some((index, route)), Some(host_end_l3)) = (route::read(body), &mut self.host_end_l3)
        else {
            return Vec::new();
        };
        let was_there = host_end_l3.remove_route(index, &route);
        was_there
            .then_some((index, "route of the node"))
            .into_iter()
            .collect()
    }

    /// Later filters cannot bypass ours; this program deletes a filter only with its link.
    fn filter_changed(
        &mut self,
        place: HostNetns,
        kind: u16,
        body: &[u8],
    ) -> Vec<(u32, &'static str)> {
        let Some(at) = ingress_filter::Location::read(body) else {
            return Vec::new();
        };
        let concerns_ours = match kind {
            RTM_DELQDISC => at.is_ingress_qdisc(),
            RTM_NEWTFILTER if at.is_own() => !self.expected_filters.remove(&(place, at.index)),
            _ => at.is_of_own_priority(),
        };
        concerns_ours
            .then_some((at.index, "ingress filter"))
            .into_iter()
            .collect()
    }

    /// The host ends whose `rp_filter` has drifted.
    fn rp_filter_changed(&self, index: i32, value: i32) -> Vec<(u32, &'static str)> {
        let on_node = self.ownership.all();
        let on_node = on_node
            .filter(|(place, _)| *place == HostNetns::Node)
            .map(|(_, index)| index);
        match (index, u32::try_from(index)) {
            (OF_ALL, _) => on_node.map(|index| (index, "conf.all.rp_filter")).collect(),
            // The wanted value.
            (_, Ok(_)) if value == 1 => Vec::new(),
            (_, Ok(index)) => on_node
                .filter(|other| *other == index)
                .map(|index| (index, "rp_filter"))
                .collect(),
            (_, Err(_)) => Vec::new(),
        }
    }
}

/// The ifindex and its `rp_filter`: the only sysctl of ours that the kernel notifies.
fn read_rp_filter(body: &[u8]) -> Option<(i32, i32)> {
    let attributes = || NlasIterator::new(body.get(NETCONFMSG..).unwrap_or_default()).flatten();
    let number = |kind: u16| {
        let attribute = attributes().find(|attribute| attribute.kind() == kind)?;
        Some(i32::from_ne_bytes(attribute.value().try_into().ok()?))
    };
    Some((number(NETCONFA_IFINDEX)?, number(NETCONFA_RP_FILTER)?))
}
