//! The peer filter of tunnels: one nft table of this installation in the node's namespace.
//!
//! A vxlan device accepts frames from every sender that reaches its UDP port. The table drops frames for this
//! node, or forwarded to a peer, that do not come from a peer by the link towards the peers. Every change
//! replaces the whole table in one transaction, so there is no gap; a restarted daemon restores its state
//! from the table.
//!
//! An operator sees (`nft list table inet podconfig-default`):
//!
//! ```text
//! table inet podconfig-default {
//!     comment "podconfig: who may send into a tunnel"
//!     set vni10042.port4789.if42.v4 {
//!         type ipv4_addr
//!         flags interval
//!         elements = { 192.0.2.11, 192.0.2.16/28 }
//!     }
//!
//!     set vni10042.port4789.if42.v6 {
//!         type ipv6_addr
//!         flags interval
//!         elements = { 2001:db8::/64 }
//!     }
//!
//!     set port4789.links {
//!         type iface_index
//!         elements = { "eth0" }
//!     }
//!
//!     chain forward {
//!         type filter hook forward priority raw; policy accept;
//!         udp dport 4789 jump port-4789
//!     }
//!
//!     chain input {
//!         type filter hook input priority 200; policy accept;
//!         udp dport 4789 jump port-4789
//!         udp dport 4789 iif != @port4789.links drop comment "comes by no link of this port"
//!         @th,0,32 >= 0x0 accept comment "its ports can be read"
//!         frag frag-off 0 drop comment "hides its ports in a later fragment"
//!     }
//!
//!     chain port-4789 {
//!         @th,96,24 0x273a goto vni10042.port4789
//!         @th,96,24 >= 0x0 return comment "of a VNI that is not ours"
//!         ip frag-off & 8192 != 0 ip daddr @vni10042.port4789.if42.v4 drop comment "hides its VNI"
//!         exthdr frag exists ip6 daddr @vni10042.port4789.if42.v6 drop comment "hides its VNI"
//!         oif != 0 return comment "only passes this node"
//!         exthdr frag exists drop comment "hides its VNI"
//!     }
//!
//!     chain vni10042.port4789 {
//!         iif "eth0" ip saddr @vni10042.port4789.if42.v4 accept
//!         iif "eth0" ip6 saddr @vni10042.port4789.if42.v6 accept
//!         oif != 0 ip daddr != @vni10042.port4789.if42.v4 accept comment "passes to no peer"
//!         oif != 0 ip6 daddr != @vni10042.port4789.if42.v6 accept comment "passes to no peer"
//!         drop
//!     }
//! }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use ipnetwork::IpNetwork;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::{
    event_socket::EventSocket,
    netlink::{Changes, Error, Socket},
};

use self::{
    layout::Layout,
    message::{SUBSYSTEM, replacement},
    state::State,
};

/// Attributes of nf_tables.
mod attribute;
/// Expressions of rules.
mod expression;
/// The table as the kernel has it.
mod found;
/// The wanted content of the table.
pub mod layout;
/// The table's netlink messages.
pub mod message;
/// Names of tables, chains and sets.
mod name;
/// Reads the table from the kernel.
mod reading;
/// Source networks and set elements.
mod source;
/// The desired state of the filter.
pub mod state;
#[cfg(test)]
mod tests;

/// At most a tenth of the time is spent on reading the table.
const TIMES_PAUSE: u32 = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tunnel {
    pub vni: u32,
    pub port: u16,
}

/// The allowed senders of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFilter {
    /// The link of the node by which frames must arrive. Not a member of a VRF: its frames have the VRF as
    /// input device and are dropped.
    pub underlay: u32,
    /// Allowed source networks of one or both families. Empty: none.
    pub sources: BTreeSet<IpNetwork>,
}

pub struct Filter {
    table: String,
    /// `None` if the kernel has no nf_tables.
    socket: Option<Socket>,
    /// The kernel's error for that.
    lack: String,
    state: State,
    /// The nft generation at which the table was verified.
    seen: Option<u32>,
    /// Notifications that some table of the namespace has changed.
    events: Option<EventSocket>,
    /// A change was notified and the table was not verified since.
    is_unsure: bool,
    /// Rate limit: other programs may change their tables continuously.
    not_before: Option<Instant>,
}

impl Filter {
    /// Opens a socket in the calling thread's namespace and reads the table of an earlier daemon, without
    /// changing it. A kernel without nf_tables is an error only when a filter is set.
    pub fn open(installation: &str, changes: &Changes) -> Result<Self, Error> {
        let mut filter = Self {
            table: name::table(installation),
            socket: None,
            lack: String::new(),
            state: State::default(),
            seen: None,
            events: None,
            is_unsure: false,
            not_before: None,
        };
        match filter.begin(changes) {
            Err(error) if is_lack(error.errno) => {
                (filter.socket, filter.events) = (None, None);
                filter.lack = format!("the kernel has no nf_tables: {error}");
            }
            begun => begun?,
        }
        Ok(filter)
    }

    pub fn is_available(&self) -> bool {
        self.socket.is_some()
    }

    /// Sets the peer filter of a tunnel. Sends nothing if it is set already.
    pub fn set(&mut self, tunnel: Tunnel, peer_filter: PeerFilter) -> Result<(), Error> {
        self.set_all([(tunnel, peer_filter)])
    }

    /// Sets the peer filters of many tunnels in one transaction.
    pub fn set_all(
        &mut self,
        peer_filters: impl IntoIterator<Item = (Tunnel, PeerFilter)>,
    ) -> Result<(), Error> {
        let normalized = peer_filters
            .into_iter()
            .map(|(tunnel, peer_filter)| (tunnel, peer_filter.normalized()));
        let mut wanted = self.state.clone();
        wanted.tunnels.extend(normalized);
        self.turn_into(wanted)
    }

    /// Closes a port of ours for packets to this node by links other than these, for all VNIs; `None` opens
    /// it again. Peer filters alone cannot stop bursts of this node's own pods (see `filter/layout.rs`), so
    /// every port is closed to all links except its tunnels' underlays and those of other tunnels on the same
    /// port, if these are known. In effect while a tunnel of ours uses the port.
    pub fn close(&mut self, port: u16, links: Option<BTreeSet<u32>>) -> Result<(), Error> {
        let mut wanted = self.state.clone();
        match links {
            Some(links) => wanted.closed.insert(port, links),
            None => wanted.closed.remove(&port),
        };
        self.turn_into(wanted)
    }

    /// Removes the filters of all other tunnels. The table is deleted with the last one.
    pub fn retain(&mut self, keep: impl Fn(&Tunnel) -> bool) -> Result<(), Error> {
        let mut wanted = self.state.clone();
        wanted.tunnels.retain(|tunnel, _| keep(tunnel));
        self.turn_into(wanted)
    }

    /// The current peer filters; sources are aggregated to the fewest networks.
    pub fn tunnels(&self) -> &BTreeMap<Tunnel, PeerFilter> {
        &self.state.tunnels
    }

    /// The closed ports and the links that may reach them.
    pub fn closed(&self) -> &BTreeMap<u16, BTreeSet<u32>> {
        &self.state.closed
    }

    /// Readable when some table of the namespace has changed.
    pub fn events(&self) -> Option<&EventSocket> {
        self.events.as_ref()
    }

    /// Verifies the table if some table of the namespace has changed; returns whether it was rewritten.
    pub fn verify_if_notified(&mut self) -> Result<bool, Error> {
        let events = self.events.iter_mut();
        for events in events {
            let drained = events.drain(|_, _, _| self.is_unsure = true);
            self.is_unsure |= drained.map_err(|e| Error::io("read nf_tables notifications", &e))?;
        }
        let started = Instant::now();
        if !self.is_unsure || self.not_before.is_some_and(|at| at > started) {
            return Ok(false);
        }
        let written = self.verify();
        self.not_before = Some(Instant::now() + started.elapsed() * TIMES_PAUSE);
        written
    }

    /// Rewrites the table if it was changed; returns whether. Costs one request while no table of the
    /// namespace changes.
    pub fn verify(&mut self) -> Result<bool, Error> {
        self.is_unsure = false;
        let Some(socket) = &mut self.socket else {
            return Ok(false);
        };
        let now = reading::generation(socket)?;
        if self.seen.is_some() && now == self.seen {
            return Ok(false);
        }
        let found = reading::read(socket, &self.table)?;
        if Layout::of(&self.state).is(found.as_ref()) {
            self.seen = now;
            return Ok(false);
        }
        self.write(self.state.clone())?;
        Ok(true)
    }
}

impl Filter {
    fn begin(&mut self, changes: &Changes) -> Result<(), Error> {
        let op = || format!("open nft table {}", self.table);
        // Opened before the table is read, so that no change is missed.
        let events = EventSocket::of_nftables().map_err(|error| Error::io(op(), &error))?;
        self.events = Some(events);
        let socket = Socket::open_for(NETLINK_NETFILTER, changes)
            .map_err(|error| Error::io(op(), &error))?;
        let socket = self.socket.insert(socket);
        let now = reading::generation(socket)?;
        let found = reading::read(socket, &self.table)?;
        let Some(found) = found else {
            self.seen = now;
            return self.dry_run();
        };
        self.state = State::of(&found);
        let is_right = Layout::of(&self.state).is(Some(&found));
        self.seen = now.filter(|_| is_right);
        Ok(())
    }

    /// Checks by a dry run whether the kernel supports all parts of our table.
    fn dry_run(&mut self) -> Result<(), Error> {
        let tunnel = Tunnel { vni: 1, port: 4789 };
        let everywhere = ["0.0.0.0/0", "::/0"];
        let peer_filter = PeerFilter {
            underlay: 1,
            sources: everywhere.iter().flat_map(|all| all.parse()).collect(),
        };
        let example = State {
            tunnels: [(tunnel, peer_filter)].into(),
            closed: [(tunnel.port, [1].into())].into(),
        };
        let requests = replacement(&self.table, &Layout::of(&example));
        let op = format!("try nft table {}", self.table);
        match &mut self.socket {
            Some(socket) => socket.dry_run(&op, SUBSYSTEM, &requests),
            None => Ok(()),
        }
    }

    fn turn_into(&mut self, mut wanted: State) -> Result<(), Error> {
        wanted.forget_unused();
        if wanted == self.state {
            // No change; the table is only verified if it is in doubt.
            return match self.seen {
                Some(_) => Ok(()),
                None => self.verify().map(drop),
            };
        }
        self.write(wanted)
    }

    /// Replaces the table. A refused transaction changes nothing.
    fn write(&mut self, wanted: State) -> Result<(), Error> {
        let op = format!("write nft table {}", self.table);
        let Some(socket) = &mut self.socket else {
            return Err(Error::new(op, Errno::EOPNOTSUPP, &*self.lack));
        };
        let before = reading::generation(socket)?;
        let requests = replacement(&self.table, &Layout::of(&wanted));
        socket.transaction(&op, SUBSYSTEM, &requests)?;
        self.state = wanted;
        let after = reading::generation(socket).ok().flatten();
        // The table is known only if there was no concurrent change by others.
        let alone = before.map(|before| before.wrapping_add(1)) == after;
        self.seen = after.filter(|_| alone);
        Ok(())
    }
}

/// The errnos of a kernel without nf_tables, the table's family, or an expression of its rules.
fn is_lack(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EOPNOTSUPP
            | Errno::EINVAL
            | Errno::ENOENT
            | Errno::EPROTONOSUPPORT
            | Errno::EAFNOSUPPORT
    )
}
