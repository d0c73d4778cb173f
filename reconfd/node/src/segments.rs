//! Segments on the node: devices in the switch, tunnel peers, the node's own addresses, and links of the node
//! that were moved to another namespace.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use super::{
    Machine,
    filter::{Filter, Tunnel},
    ip_dump::read_addresses,
    link_info::{LinkData, LinkInfo},
    links::{
        HostNetns,
        device::{
            VLAN, VXLAN,
            peers::{self, Entry},
        },
        ownership_mark::bridge_owner,
    },
    netlink::{Error, Socket},
    watched_netns::WatchedNetns,
};

/// Tunnel peers, by ifindex of the device.
pub type Peers = HashMap<u32, BTreeSet<IpAddr>>;

pub fn is_device(info: &LinkInfo) -> bool {
    info.is_kind(VLAN) || info.is_kind(VXLAN)
}

impl Machine {
    pub(super) fn update_device(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        if let Some(info) = now.filter(|info| is_device(info)) {
            self.devices.insert(info.name.clone(), info.index);
        }
        if let (Some(info), None) = (before.filter(|info| is_device(info)), now) {
            self.peers.remove(&info.index);
            if self.devices.get(&info.name) == Some(&info.index) {
                self.devices.remove(&info.name);
            }
        }
    }

    /// A link that appears is not a moved one any more.
    pub(super) fn update_leaving(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        match (before, now) {
            (_, Some(info)) => self.moved.retain(|name| !info.is_called(name)),
            (Some(info), None) => {
                self.moved.remove(&info.name);
            }
            (None, None) => (),
        }
    }

    /// Records that a link was moved to another namespace. Only for parents of our links: with every pod that
    /// starts, some links are moved.
    pub fn record_moved(&mut self, info: &LinkInfo) {
        self.moved.insert(info.name.clone());
        self.moved.extend(info.altnames.iter().cloned());
    }

    /// Whether a link of that name was moved from the node's namespace.
    pub fn has_moved(&self, name: &str) -> bool {
        self.moved.contains(name)
    }

    /// Bridges in the switch, and the namespaces that own them.
    pub fn segment_owners(&self) -> Vec<(String, String)> {
        let infos = self
            .switch
            .links
            .values()
            .filter(|info| info.is_kind("bridge"));
        let owned = infos.filter_map(|info| {
            let owner = bridge_owner(info.alias.as_deref()?, &self.installation)?;
            Some((info.name.clone(), owner.to_owned()))
        });
        owned.collect()
    }

    /// Whether a segment's bridge has ports beside its device.
    pub fn has_ports(&self, bridge: &str) -> bool {
        let bridge = self.bridge_index(bridge);
        let mut links = self.switch.links.values();
        bridge.is_some() && links.any(|info| info.master == bridge && !is_device(info))
    }

    /// Devices in the switch that are on no remaining bridge.
    pub fn idle_devices(&self, idle_bridges: &HashSet<u32>) -> Vec<(HostNetns, u32)> {
        let is_idle = |info: &&LinkInfo| {
            is_device(info)
                && info
                    .master
                    .is_none_or(|bridge| idle_bridges.contains(&bridge))
        };
        let idle = self.switch.links.values().filter(is_idle);
        idle.map(|info| (HostNetns::Switch, info.index)).collect()
    }

    /// A link of the node, not ours, that receives the same frames as a device with this data.
    pub fn conflicting_device(&self, parent: u32, data: &LinkData) -> Option<&LinkInfo> {
        self.node.links.values().find(|info| {
            let same_parent = match data {
                LinkData::Vlan { .. } => info.peer == Some(parent) && info.peer_netns.is_none(),
                LinkData::Vxlan { .. } => true,
            };
            same_parent && info.data.is_some_and(|other| other.meets(data))
        })
    }

    /// The node's own addresses and their ifindexes, in the kernel's order, IPv4 first.
    pub fn own_addresses(&mut self) -> Result<&[(u32, IpAddr)], Error> {
        if self.own_addresses.is_none() {
            self.own_addresses = Some(self.read_own_addresses()?);
        }
        Ok(self.own_addresses.get_or_insert_default())
    }

    /// The addresses of one link of the node, by name or altname.
    pub fn addresses_of(&mut self, link: &str) -> Result<Vec<IpAddr>, Error> {
        let index = self.node.link_called(link).map(|info| info.index);
        let all = self.own_addresses()?.iter();
        let of_link = all.filter(|(on, _)| Some(*on) == index);
        Ok(of_link.map(|(_, address)| *address).collect())
    }

    /// Reads the node's addresses again; returns whether they have changed.
    pub fn own_addresses_differ(&mut self) -> Result<bool, Error> {
        let Some(before) = self.own_addresses.clone() else {
            // Not in use yet.
            return Ok(false);
        };
        let now = self.read_own_addresses()?;
        let differ = before != now;
        self.own_addresses = Some(now);
        Ok(differ)
    }

    fn read_own_addresses(&mut self) -> Result<Vec<(u32, IpAddr)>, Error> {
        let addresses = read_addresses(&mut self.node.socket)?;
        let addresses = addresses.iter().map(|a| (a.index, a.network.ip()));
        let mut addresses: Vec<(u32, IpAddr)> = addresses.collect();
        addresses.sort_by_key(|(_, address)| address.is_ipv6());
        Ok(addresses)
    }

    /// Devices whose parent is not in the node's namespace any more: a vlan follows its parent.
    pub fn stray_devices(&self) -> Vec<(HostNetns, u32)> {
        let is_stray = |info: &&LinkInfo| match info.data {
            Some(LinkData::Vlan { .. }) => info
                .peer
                .is_none_or(|parent| !self.node.links.contains_key(&parent)),
            Some(LinkData::Vxlan { .. }) | None => false,
        };
        let stray = self.switch.links.values().filter(is_stray);
        stray.map(|info| (HostNetns::Switch, info.index)).collect()
    }

    /// The bridges of the devices among these links.
    pub fn bridges_of_devices(&self, links: &[(HostNetns, u32)]) -> BTreeSet<u32> {
        let in_switch = links
            .iter()
            .filter(|(place, _)| *place == HostNetns::Switch);
        let infos = in_switch.filter_map(|(_, index)| self.switch.links.get(index));
        infos
            .filter(|info| is_device(info))
            .filter_map(|info| info.master)
            .collect()
    }

    /// Opens the filter again if nf_tables was missing; returns whether it is available.
    pub fn open_filter(&mut self) -> Result<bool, Error> {
        let filter = Filter::open(&self.installation, &self.changes)?;
        let is_available = filter.is_available();
        if is_available {
            self.filter = filter;
        }
        Ok(is_available)
    }

    /// Keeps the peer filters of tunnels that have a device or are claimed.
    pub fn retain_peer_filters(
        &mut self,
        is_claimed: impl Fn(u32, u16) -> bool,
        has_device: impl Fn(u32, u16) -> bool,
    ) -> Result<(), Error> {
        let there: HashSet<(u32, u16)> = self
            .switch
            .links
            .values()
            .filter_map(|info| match info.data {
                Some(LinkData::Vxlan { vni, port, .. }) => Some((vni, port)),
                _ => None,
            })
            .collect();
        self.filter.retain(|tunnel| {
            there.contains(&(tunnel.vni, tunnel.port)) || is_claimed(tunnel.vni, tunnel.port)
        })?;
        self.close_ports(|tunnel| {
            there.contains(&(tunnel.vni, tunnel.port)) || has_device(tunnel.vni, tunnel.port)
        })
    }

    /// Closes ports to links that no tunnel uses: a burst from this node's own pods could carry a frame for
    /// us behind one with an unused VNI. If another program's tunnel on the port may use any link, all links
    /// stay open; if our device does not exist, the port may belong to a service.
    fn close_ports(&mut self, stands: impl Fn(&Tunnel) -> bool) -> Result<(), Error> {
        let mut links: HashMap<u16, BTreeSet<u32>> = HashMap::new();
        let tunnels = self.filter.tunnels().iter();
        for (tunnel, peer_filter) in tunnels.filter(|(tunnel, _)| stands(tunnel)) {
            links
                .entry(tunnel.port)
                .or_default()
                .insert(peer_filter.underlay);
        }
        let closed: Vec<u16> = self.filter.closed().keys().copied().collect();
        for port in closed.into_iter().filter(|port| !links.contains_key(port)) {
            self.filter.close(port, None)?;
        }
        for (port, mut ours) in links {
            let others = self.node.links.values().filter_map(|info| match info.data {
                Some(LinkData::Vxlan {
                    port: other,
                    underlay,
                    ..
                }) if other == port => Some(underlay),
                _ => None,
            });
            let others: Option<BTreeSet<u32>> = others.collect();
            let open = others.map(|others| {
                ours.extend(others);
                ours
            });
            self.filter.close(port, open)?;
        }
        Ok(())
    }
}

/// The peers of all tunnels of a namespace.
pub fn read_peers(watched: &mut WatchedNetns) -> Result<Peers, Error> {
    peers_of(&mut watched.socket)
}

fn peers_of(socket: &mut Socket) -> Result<Peers, Error> {
    socket.dump(
        "list tunnel peers",
        &peers::list(),
        |all: &mut Peers, _, body| {
            if let Some(entry) = peers::read(body).filter(Entry::is_default) {
                all.entry(entry.index).or_default().insert(entry.peer);
            }
        },
    )
}

/// The peers of one tunnel.
pub fn tunnel_peers(socket: &mut Socket, index: u32) -> Result<BTreeSet<IpAddr>, Error> {
    socket.dump(
        "list the peers of a tunnel",
        &peers::list_of(index),
        |all: &mut BTreeSet<IpAddr>, _, body| {
            let entry = peers::read(body).filter(Entry::is_default);
            all.extend(
                entry
                    .filter(|entry| entry.index == index)
                    .map(|entry| entry.peer),
            );
        },
    )
}

/// The learned entries of a tunnel.
pub fn learned(socket: &mut Socket, index: u32) -> Result<Vec<Entry>, Error> {
    socket.dump(
        "list learned entries of a tunnel",
        &peers::list_of(index),
        |all: &mut Vec<Entry>, _, body| {
            let entry = peers::read_learned(body);
            all.extend(entry.filter(|entry| entry.index == index));
        },
    )
}
