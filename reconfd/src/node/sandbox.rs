//! A visit to one pod: its namespace opened by its record and proved, what is in it read, what must
//! change in it changed. Open, act, close: a descriptor that is kept would keep a dead pod's links.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::IpAddr,
};

use cni_plugin::{
    netns::{Netns, NetnsError, NetnsFolders},
    record::Record,
};
use netlink_packet_route::AddressFamily;
use nix::errno::Errno;

use super::{
    apply::first_error,
    link_info::LinkInfo,
    links::{Route, address, device::peers, neighbour, route},
    netlink::{Changes, Error, Request, Socket, in_netns},
    networks::{self, KernelNetwork, NetworkFilter},
    procfs::{LinkSettings, Procfs},
    segments::{ends_of_tunnel, is_device, learned},
    watched_netns::{ask_number, read_links},
};

/// Addresses announced on the wire.
mod announce;
pub use announce::Extent;

/// Why a pod can not be visited.
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
    /// Its number as the switch counts.
    pub in_switch: i32,
    /// Stays in the pod's namespace, whichever thread uses it.
    socket: Socket,
    /// So do these. `None`: the kernel has no such family.
    ipv4: Option<LinkSettings>,
    ipv6: Option<LinkSettings>,
}

/// How much of a pod is read beside its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub addresses: bool,
    pub routes: bool,
    pub rules: bool,
}

/// What is in a pod's namespace, as far as podconfig looks.
#[derive(Clone, Debug, Default)]
pub struct NetnsState {
    pub links: HashMap<u32, LinkInfo>,
    pub addresses: Vec<address::PresentAddress>,
    /// The kernel has IPv6.
    pub has_ipv6: bool,
    /// Ours alone, by the number of their link.
    pub routes: Vec<(u32, Route)>,
    pub rules: BTreeSet<route::RoutingRule>,
}

/// Opens the namespace that a record names, if it is still that one.
pub fn open(folders: &NetnsFolders, record: &Record, boot_id: &str) -> Result<Netns, Unreachable> {
    let path = record.netns.display().to_string();
    if record.boot_id != boot_id {
        return Err(Unreachable::Gone(format!(
            "{path} (recorded before the last boot)"
        )));
    }
    if matches!(record.netns.try_exists(), Ok(false)) {
        return Err(Unreachable::Gone(path));
    }
    let netns = folders.open(&record.netns).map_err(not_opened)?;
    let identity = netns.identity();
    if identity.cookie != record.cookie || record.cookie == 0 {
        return Err(Unreachable::Gone(format!(
            "{path} (another namespace has its place)"
        )));
    }
    Ok(netns)
}

/// A pod that only could not be looked at still has all of its links, and what they hold.
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
    /// One thread visits the namespace, brings back what stays there, and dies.
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
        let entered = brought.map_err(|e| Error {
            op: "enter the pod's network namespace".into(),
            errno: e.kind.transient().unwrap_or(Errno::EIO),
            text: e.to_string(),
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

    /// Reads the pod's links, and what else is asked for.
    pub fn read(&mut self, depth: Depth) -> Result<NetnsState, Error> {
        let socket = &mut self.socket;
        let mut inside = NetnsState {
            links: read_links(socket)?,
            has_ipv6: self.ipv6.is_some(),
            ..NetnsState::default()
        };
        // Whose a vlan or a vxlan is, its addresses tell as well.
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

    /// The networks that the pod has otherwise: by links that are not ours.
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

    /// The number that another namespace has in the pod's; `None`: no link leads there.
    pub fn number_of(&mut self, other: &Netns) -> Result<Option<i32>, Error> {
        ask_number(&mut self.socket, other)
    }

    /// A link of another namespace, by that one's number as the pod counts.
    pub fn link_in(&mut self, netns: i32, index: u32) -> Option<LinkInfo> {
        let op = "look at the other end of a link";
        let found = self
            .socket
            .get(op, &in_netns::get_link(netns, index), LinkInfo::read);
        found.ok().flatten()
    }

    /// The other ends of one of the pod's tunnels.
    pub fn peers(&mut self, index: u32) -> Result<BTreeSet<IpAddr>, Error> {
        ends_of_tunnel(&mut self.socket, index)
    }

    /// Forgets what the pod has learned of its neighbours on a link; what it has set itself stays.
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

    /// With a new end of a tunnel, what was learned to be behind the others may be behind it.
    pub fn forget_learned(&mut self, index: u32, name: &str) -> Result<(), Error> {
        let entries = learned(&mut self.socket, index)?.into_iter();
        let forget: Vec<Request> = entries.map(|entry| peers::forget(name, entry)).collect();
        first_error(self.socket.batch(&forget))
    }

    /// Sends a batch inside the pod, behind the settings of its links; one answer per request.
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

/// All addresses of the socket's namespace.
pub fn read_addresses(socket: &mut Socket) -> Result<Vec<address::PresentAddress>, Error> {
    socket.dump(
        "list addresses",
        &address::list(),
        |all: &mut Vec<_>, _, body| {
            all.extend(address::read(body));
        },
    )
}

/// Routes of ours in one family.
pub fn read_routes(socket: &mut Socket, family: AddressFamily) -> Result<Vec<(u32, Route)>, Error> {
    let found = socket.dump(
        "list routes",
        &route::list(family),
        |all: &mut Vec<_>, _, body| all.extend(route::read(body)),
    );
    no_such_family(found)
}

fn read_rules(
    socket: &mut Socket,
    family: AddressFamily,
) -> Result<Vec<route::RoutingRule>, Error> {
    let found = socket.dump(
        "list rules",
        &route::list_rules(family),
        |all: &mut Vec<_>, _, body| all.extend(route::read_rule(body)),
    );
    no_such_family(found)
}

/// A kernel without IPv6, or without rules, has none.
pub(super) fn no_such_family<T: Default>(found: Result<T, Error>) -> Result<T, Error> {
    match found {
        Err(Error {
            errno: Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP | Errno::ENOENT,
            ..
        }) => Ok(T::default()),
        found => found,
    }
}
