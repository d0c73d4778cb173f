//! What segments are on and what belongs to them: devices in the switch, the other ends of tunnels, the
//! node's own addresses, and links of the node that somebody took away.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use super::{
    Machine,
    filter::{Filter, Tunnel},
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
    sandbox::read_addresses,
    watched_netns::WatchedNetns,
};

/// The other ends of tunnels, by the number of the device.
pub type Peers = HashMap<u32, BTreeSet<IpAddr>>;

pub fn is_device(row: &LinkInfo) -> bool {
    row.is_kind(VLAN) || row.is_kind(VXLAN)
}

impl Machine {
    pub(super) fn update_device(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        if let Some(row) = now.filter(|row| is_device(row)) {
            self.devices.insert(row.name.clone(), row.index);
        }
        if let (Some(row), None) = (before.filter(|row| is_device(row)), now) {
            self.peers.remove(&row.index);
            if self.devices.get(&row.name) == Some(&row.index) {
                self.devices.remove(&row.name);
            }
        }
    }

    /// A link that comes is no longer one that has left.
    pub(super) fn update_leaving(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        match (before, now) {
            (_, Some(row)) => self.moved.retain(|name| !row.is_called(name)),
            (Some(row), None) => {
                self.moved.remove(&row.name);
            }
            (None, None) => (),
        }
    }

    /// Remembers that a link has left for another namespace. Of links that somebody's link is on alone:
    /// with every pod that starts some leave.
    pub fn record_moved(&mut self, row: &LinkInfo) {
        self.moved.insert(row.name.clone());
        self.moved.extend(row.altnames.iter().cloned());
    }

    /// Whether a link of that name has left the node's namespace for another.
    pub fn has_moved(&self, name: &str) -> bool {
        self.moved.contains(name)
    }

    /// Bridges in the switch, and the namespaces that have them.
    pub fn segment_owners(&self) -> Vec<(String, String)> {
        let rows = self
            .switch
            .links
            .values()
            .filter(|row| row.is_kind("bridge"));
        let owned = rows.filter_map(|row| {
            let owner = bridge_owner(row.alias.as_deref()?, &self.installation)?;
            Some((row.name.clone(), owner.to_owned()))
        });
        owned.collect()
    }

    /// Devices in the switch that stand on none of the bridges that stay.
    pub fn idle_devices(&self, idle_bridges: &HashSet<u32>) -> Vec<(HostNetns, u32)> {
        let is_idle = |row: &&LinkInfo| {
            is_device(row)
                && row
                    .master
                    .is_none_or(|bridge| idle_bridges.contains(&bridge))
        };
        let idle = self.switch.links.values().filter(is_idle);
        idle.map(|row| (HostNetns::Switch, row.index)).collect()
    }

    /// A link of the node, not ours, that takes the same frames as a device with this data would.
    pub fn conflicting_device(&self, parent: u32, data: &LinkData) -> Option<&LinkInfo> {
        self.node.links.values().find(|row| {
            let same_parent = match data {
                LinkData::Vlan { .. } => row.peer == Some(parent) && row.peer_netns.is_none(),
                LinkData::Vxlan { .. } => true,
            };
            same_parent && row.data.is_some_and(|other| other.meets(data))
        })
    }

    /// The node's own addresses and the numbers of their links, as the kernel tells them, IPv4 first.
    pub fn own_addresses(&mut self) -> Result<&[(u32, IpAddr)], Error> {
        if self.own_addresses.is_none() {
            self.own_addresses = Some(self.read_own_addresses()?);
        }
        Ok(self.own_addresses.get_or_insert_default())
    }

    /// Those of one link of the node, by name or altname.
    pub fn addresses_of(&mut self, link: &str) -> Result<Vec<IpAddr>, Error> {
        let index = self.node.link_called(link).map(|row| row.index);
        let all = self.own_addresses()?.iter();
        let of_link = all.filter(|(on, _)| Some(*on) == index);
        Ok(of_link.map(|(_, address)| *address).collect())
    }

    /// Asks for the node's addresses again; whether they are others than before.
    pub fn own_addresses_differ(&mut self) -> Result<bool, Error> {
        let Some(before) = self.own_addresses.clone() else {
            // Nobody has asked yet.
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

    /// Devices whose parent is not in the node's namespace any more: a vlan goes on where its parent is.
    pub fn stray_devices(&self) -> Vec<(HostNetns, u32)> {
        let is_stray = |row: &&LinkInfo| match row.data {
            Some(LinkData::Vlan { .. }) => row
                .peer
                .is_none_or(|parent| !self.node.links.contains_key(&parent)),
            Some(LinkData::Vxlan { .. }) | None => false,
        };
        let stray = self.switch.links.values().filter(is_stray);
        stray.map(|row| (HostNetns::Switch, row.index)).collect()
    }

    /// The bridges that the devices among these links are on.
    pub fn bridges_of_devices(&self, links: &[(HostNetns, u32)]) -> BTreeSet<u32> {
        let in_switch = links
            .iter()
            .filter(|(place, _)| *place == HostNetns::Switch);
        let rows = in_switch.filter_map(|(_, index)| self.switch.links.get(index));
        rows.filter(|row| is_device(row))
            .filter_map(|row| row.master)
            .collect()
    }

    /// Looks for nf_tables again, where there were none; whether there are now.
    pub fn open_filter(&mut self) -> Result<bool, Error> {
        let filter = Filter::open(&self.installation, &self.changes)?;
        let is_available = filter.is_available();
        if is_available {
            self.filter = filter;
        }
        Ok(is_available)
    }

    /// The filter keeps what has a device, and what is claimed.
    pub fn retain_peer_filters(
        &mut self,
        is_claimed: impl Fn(u32, u16) -> bool,
        has_device: impl Fn(u32, u16) -> bool,
    ) -> Result<(), Error> {
        let there: HashSet<(u32, u16)> = self
            .switch
            .links
            .values()
            .filter_map(|row| match row.data {
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

    /// What comes for a port of ours by a link that no tunnel on it is on, is nobody's frame: a burst of
    /// this node's own pods could carry one for us behind one for nobody. Where somebody else has a
    /// tunnel on the port that may be on any link, all links stay open; and where ours does not come up,
    /// the port may be that of a service.
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
            let others = self.node.links.values().filter_map(|row| match row.data {
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

/// The other ends of the tunnels of a namespace.
pub fn read_peers(watched: &mut WatchedNetns) -> Result<Peers, Error> {
    peers_of(&mut watched.socket)
}

fn peers_of(socket: &mut Socket) -> Result<Peers, Error> {
    socket.dump(
        "list the ends of tunnels",
        &peers::list(),
        |all: &mut Peers, _, body| {
            if let Some(entry) = peers::read(body).filter(Entry::is_default) {
                all.entry(entry.index).or_default().insert(entry.peer);
            }
        },
    )
}

/// The other ends of one tunnel.
pub fn ends_of_tunnel(socket: &mut Socket, index: u32) -> Result<BTreeSet<IpAddr>, Error> {
    socket.dump(
        "list the ends of a tunnel",
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

/// What a tunnel has learned to be behind its ends.
pub fn learned(socket: &mut Socket, index: u32) -> Result<Vec<Entry>, Error> {
    socket.dump(
        "list what is behind the ends of a tunnel",
        &peers::list_of(index),
        |all: &mut Vec<Entry>, _, body| {
            let entry = peers::read_learned(body);
            all.extend(entry.filter(|entry| entry.index == index));
        },
    )
}
