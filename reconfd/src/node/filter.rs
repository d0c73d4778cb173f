//! Only peers send into a tunnel: one nft table of this installation in the node's namespace.
//!
//! A vxlan device takes a frame from whoever reaches its UDP port. The table drops what does not come
//! from a peer, by the link that leads to the peers, if it is for this node or goes on to a peer.
//! Every change replaces the whole table in one transaction, so that there is no moment between two
//! tables; the table itself is the memory from which a later daemon goes on.
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

use crate::node::{
    event_socket::EventSocket,
    netlink::{Changes, Error, Socket},
};

use self::{
    layout::Layout,
    message::{SUBSYSTEM, replacement},
    state::State,
};

/// Attributes as nf_tables has them.
mod attribute;
/// What a rule is made of.
mod expression;
/// What the table must hold.
pub mod layout;
/// The table's netlink messages.
pub mod message;
/// What tables, chains and sets are called.
mod name;
/// The table as the kernel shows it.
mod reading;
/// Sources of frames, and the elements of a set.
mod source;
/// What the filter was told.
pub mod state;
#[cfg(test)]
mod tests;

/// At most a tenth of the time goes into looking at the table.
const TIMES_PAUSE: u32 = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tunnel {
    pub vni: u32,
    pub port: u16,
}

/// Who may send into a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFilter {
    /// The link of the node by which frames must come. Not one of a VRF: what comes by such a link is
    /// seen as of the VRF, and dropped.
    pub underlay: u32,
    /// From where, of one family or both. From nowhere, where there are none.
    pub sources: BTreeSet<IpNetwork>,
}

pub struct Filter {
    table: String,
    /// None where the kernel has no nf_tables.
    socket: Option<Socket>,
    /// How the kernel said so.
    lack: String,
    state: State,
    /// The generation at which the table was as it should be.
    seen: Option<u32>,
    /// Tells that some table of the namespace has changed.
    events: Option<EventSocket>,
    /// That was told, and not looked at yet.
    is_unsure: bool,
    /// Others may change their tables all the time: ours is not read more often than this.
    not_before: Option<Instant>,
}

impl Filter {
    /// Opens a socket in the calling thread's namespace and reads what an earlier daemon left, without
    /// changing it. A kernel without nf_tables is no error before something is to be guarded.
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

    /// Lets into the tunnel what the guard says, and nothing else. Sends nothing where this is so.
    pub fn set(&mut self, tunnel: Tunnel, peer_filter: PeerFilter) -> Result<(), Error> {
        self.set_all([(tunnel, peer_filter)])
    }

    /// The same for many tunnels, in one transaction.
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

    /// Closes a port of ours to what comes for this node by any other link than these, whatever its
    /// VNI; `None` opens it again. Guards alone cannot keep out the bursts of this node's own pods
    /// (`filter/layout.rs` says why), so every port is to be closed to all links but its tunnels'
    /// underlays and those by which tunnels of others on the same port are reached, if these are known.
    /// Lasts as long as there is a tunnel of ours on the port.
    pub fn close(&mut self, port: u16, links: Option<BTreeSet<u32>>) -> Result<(), Error> {
        let mut wanted = self.state.clone();
        match links {
            Some(links) => wanted.closed.insert(port, links),
            None => wanted.closed.remove(&port),
        };
        self.turn_into(wanted)
    }

    /// Guards no other tunnels any more. With the last one the table goes.
    pub fn retain(&mut self, keep: impl Fn(&Tunnel) -> bool) -> Result<(), Error> {
        let mut wanted = self.state.clone();
        wanted.tunnels.retain(|tunnel, _| keep(tunnel));
        self.turn_into(wanted)
    }

    /// What is guarded now; sources in the fewest networks that say the same.
    pub fn tunnels(&self) -> &BTreeMap<Tunnel, PeerFilter> {
        &self.state.tunnels
    }

    /// The ports that are closed, and the links by which they are reached.
    pub fn closed(&self) -> &BTreeMap<u16, BTreeSet<u32>> {
        &self.state.closed
    }

    /// Readable when some table of the namespace has changed.
    pub fn events(&self) -> Option<&EventSocket> {
        self.events.as_ref()
    }

    /// Looks at the table if some table of the namespace has changed; whether it was written again.
    pub fn verify_if_notified(&mut self) -> Result<bool, Error> {
        let events = self.events.iter_mut();
        for events in events {
            let told = events.drain(|_, _, _| self.is_unsure = true);
            self.is_unsure |= told.map_err(|e| Error::io("listen to nf_tables", &e))?;
        }
        let started = Instant::now();
        if !self.is_unsure || self.not_before.is_some_and(|at| at > started) {
            return Ok(false);
        }
        let written = self.verify();
        self.not_before = Some(Instant::now() + started.elapsed() * TIMES_PAUSE);
        written
    }

    /// Writes the table again if somebody changed it, and says whether. Costs one question while nobody
    /// changes any table of the namespace.
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
        // Before the table is read, or a change between is not told.
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

    /// Asks the kernel whether it has all that a table of ours is made of.
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
            // Said before; what was found wrong meanwhile, or may be, is looked at again.
            return match self.seen {
                Some(_) => Ok(()),
                None => self.verify().map(drop),
            };
        }
        self.write(wanted)
    }

    /// Replaces the table. A refused transaction leaves it as it was.
    fn write(&mut self, wanted: State) -> Result<(), Error> {
        let op = format!("write nft table {}", self.table);
        let Some(socket) = &mut self.socket else {
            return Err(Error {
                op,
                errno: Errno::EOPNOTSUPP,
                text: self.lack.clone(),
            });
        };
        let before = reading::generation(socket)?;
        let requests = replacement(&self.table, &Layout::of(&wanted));
        socket.transaction(&op, SUBSYSTEM, &requests)?;
        self.state = wanted;
        let after = reading::generation(socket).ok().flatten();
        // Only if nobody else changed anything meanwhile is it known how all is now.
        let alone = before.map(|before| before.wrapping_add(1)) == after;
        self.seen = after.filter(|_| alone);
        Ok(())
    }
}

/// How a kernel says that it does not have nf_tables, the table's family, or a part of its rules.
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
