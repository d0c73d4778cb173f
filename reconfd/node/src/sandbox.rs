//! Access to one pod's namespace: it is opened by its record and verified, read, changed, and closed. A
//! descriptor that stays open would keep a dead pod's links.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::IpAddr,
    path::Path,
};

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use sandbox_record::{
    Record,
    netns::{Netns, NetnsError, NetnsFolders},
};

use super::{
    ip_dump::{read_addresses, read_routes, read_rules},
    link_info::LinkInfo,
    links::{Route, address, device::peers, neighbour, route},
    netlink::{Changes, Error, Request, Socket, first_error, in_netns},
    networks::{self, KernelNetwork, NetworkFilter},
    procfs::{LinkSettings, Procfs},
    segments::{is_device, learned, tunnel_peers},
    watched_netns::{get_nsid, read_links},
};

/// Announcement of addresses.
mod announce;
pub use announce::Extent;

/// Why a pod's namespace cannot be entered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    #[error("the network namespace {0} is gone")]
    Gone(String),
    #[error("{0}")]
    Untrusted(String),
    #[error(transparent)]
    Kernel(#[from] Error),
}

/// A pod's namespace, open.
pub struct Sandbox {
    pub netns: Netns,
    /// Its nsid in the switch.
    pub in_switch: i32,
    /// Bound to the pod's namespace, independent of the thread.
    socket: Socket,
    /// Bound likewise. `None`: the kernel has no such family.
    ipv4: Option<LinkSettings>,
    ipv6: Option<LinkSettings>,
}

/// What is read of a pod beside its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub addresses: bool,
    pub routes: bool,
    pub rules: bool,
}

/// The state of a pod's namespace, as far as podconfig reads it.
#[derive(Clone, Debug, Default)]
pub struct NetnsState {
    pub links: HashMap<u32, LinkInfo>,
    pub addresses: Vec<address::PresentAddress>,
    /// The kernel has IPv6.
    pub has_ipv6: bool,
    /// Only ours, by ifindex.
    pub routes: Vec<(u32, Route)>,
    pub rules: BTreeSet<route::RoutingRule>,
}

/// Opens the namespace of a record, if it is still the recorded one.
pub fn open(folders: &NetnsFolders, record: &Record, boot_id: &str) -> Result<Netns, Unreachable> {
    let recorded = (record.boot_id.as_str(), record.cookie);
    open_recorded(folders, &record.netns, recorded, boot_id)
}

/// Opens the namespace at a path, if it is still the one with this cookie of this boot.
pub fn open_recorded(
    folders: &NetnsFolders,
    netns: &Path,
    (recorded_boot_id, cookie): (&str, u64),
    boot_id: &str,
) -> Result<Netns, Unreachable> {
    let path = netns.display().to_string();
    if recorded_boot_id != boot_id {
        return Err(Unreachable::Gone(format!(
            "{path} (recorded before the last boot)"
        )));
    }
    if matches!(netns.try_exists(), Ok(false)) {
        return Err(Unreachable::Gone(path));
    }
    let netns = folders.open(netns).map_err(not_opened)?;
    let identity = netns.identity();
    if identity.cookie != cookie || cookie == 0 {
        return Err(Unreachable::Gone(format!(
            "{path} (another namespace has its place)"
        )));
    }
    Ok(netns)
}

/// A transient error says nothing about the pod: its links and claims stay.
fn not_opened(error: NetnsError) -> Unreachable {
    match error.kind.transient() {
        None => Unreachable::Untrusted(error.to_string()),
        Some(errno) => Unreachable::Kernel(Error {
            op: "open the pod's network namespace".into(),
            errno,
            text: error.to_string(),
        }),
    }
}

impl Sandbox {
    /// A short-lived thread enters the namespace and opens the socket and settings there.
    pub fn new(
        netns: Netns,
        in_switch: i32,
        procfs: &Procfs,
        changes: &Changes,
    ) -> Result<Self, Error> {
        let brought = netns.enter(|| {
            let settings = (procfs.link_settings("ipv4")?, procfs.link_settings("ipv6")?);
            Ok::<_, io::Error>((Socket::open(changes)?, settings))
        });
        let entered = brought.map_err(|e| {
            let errno = e.kind.transient().unwrap_or(Errno::EIO);
            Error::new("enter the pod's network namespace", errno, e.to_string())
        })?;
        let (socket, (ipv4, ipv6)) =
            entered.map_err(|e| Error::io("open a netlink socket in the pod", &e))?;
        Ok(Self {
            netns,
            in_switch,
            socket,
            ipv4,
            ipv6,
        })
    }

    /// Reads the pod's links, and what `depth` selects.
    pub fn read(&mut self, depth: Depth) -> Result<NetnsState, Error> {
        let socket = &mut self.socket;
        let mut inside = NetnsState {
            links: read_links(socket)?,
            has_ipv6: self.ipv6.is_some(),
            ..NetnsState::default()
        };
        // The ownership of a vlan or vxlan also depends on its addresses.
        if depth.addresses || inside.links.values().any(is_device) {
            inside.addresses = read_addresses(socket)?;
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            if depth.routes {
                inside.routes.extend(read_routes(socket, family)?);
            }
            if depth.rules {
                inside.rules.extend(read_rules(socket, family)?);
            }
        }
        socket.rest();
        Ok(inside)
    }

    /// The pod's networks on links that are not ours.
    pub fn networks(
        &mut self,
        links: &HashMap<u32, LinkInfo>,
        is_ours: impl Fn(u32) -> bool,
        matters: NetworkFilter,
    ) -> Result<Vec<KernelNetwork>, Error> {
        let found = networks::read(&mut self.socket, links, is_ours, matters);
        self.socket.rest();
        found
    }

    /// The nsid of another namespace in the pod's; `None`: it has none.
    pub fn nsid_of(&mut self, other: &Netns) -> Result<Option<i32>, Error> {
        get_nsid(&mut self.socket, other)
    }

    /// A link of another namespace, by the pod's nsid of it.
    pub fn link_in(&mut self, netns: i32, index: u32) -> Option<LinkInfo> {
        let op = "get the other end of a link";
        let found = self
            .socket
            .get(op, &in_netns::get_link(netns, index), LinkInfo::read);
        found.ok().flatten()
    }

    /// The peers of one of the pod's tunnels.
    pub fn peers(&mut self, index: u32) -> Result<BTreeSet<IpAddr>, Error> {
        tunnel_peers(&mut self.socket, index)
    }

    /// Deletes the learned neighbours of a link; static ones stay.
    pub fn forget_neighbours(&mut self, index: u32) -> Result<(), Error> {
        let list = neighbour::list();
        let learned = self
            .socket
            .dump("list neighbours", &list, |all: &mut Vec<_>, _, body| {
                all.extend(neighbour::read_learned(body, index));
            })?;
        let forget: Vec<Request> = learned.into_iter().map(neighbour::forget).collect();
        first_error(self.socket.batch(&forget))
    }

    /// With a new tunnel peer, learned entries of the other peers may be stale.
    pub fn forget_learned(&mut self, index: u32, name: &str) -> Result<(), Error> {
        let entries = learned(&mut self.socket, index)?.into_iter();
        let forget: Vec<Request> = entries.map(|entry| peers::forget(name, entry)).collect();
        first_error(self.socket.batch(&forget))
    }

    /// Applies link settings and then a batch of requests in the pod; returns one result per request.
    pub fn apply(
        &mut self,
        settings: &[(String, &str)],
        requests: &[Request],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        if let Some(folder) = &self.ipv6 {
            for (name, value) in settings {
                folder
                    .set(name, value)
                    .map_err(|e| Error::io(format!("set {name}"), &e))?;
            }
        }
        Ok(self.socket.batch(requests))
    }
}
