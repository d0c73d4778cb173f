//! Links: one type for what is wanted and what is present, so that a plan is equality and set
//! difference. Everything in this folder is pure: links ↔ netlink messages.

/// Addresses ↔ messages.
pub mod address;
/// Bridges in the switch and their ports ↔ messages.
pub mod bridge;
/// What must change to make a present link the wanted one.
pub mod edit;
/// Whose a link is.
pub mod mark;
/// Edits → messages.
pub mod requests;
/// Routes and rules ↔ messages.
pub mod route;
/// veth ↔ messages.
pub mod veth;
/// What a pod may not say to a bridge of the node.
pub mod wall;

use std::{collections::BTreeSet, net::IpAddr};

use ipnetwork::IpNetwork;

pub use mark::Mark;

use super::row::Port;

/// The link group of everything of ours outside of the switch ("pcfg").
pub const GROUP: u32 = 0x7063_6667;

/// One network interface of a pod, wanted or present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface name in the pod.
    pub name: String,
    pub kind: Kind,
    /// Bytes.
    pub mtu: u32,
    /// `None`: derived from the first address when the link is made, and kept ever after.
    pub mac: Option<[u8; 6]>,
    /// In the order of the object: the first IPv4 one gives the MAC address.
    pub addresses: Vec<IpNetwork>,
    pub routes: BTreeSet<Route>,
    /// Whether router advertisements are taken.
    pub slaac: bool,
}

/// What the kernel and people call a veth; every link that has a host end is one.
pub const VETH: &str = "veth";

/// The closed set of link kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Veth(Veth),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    pub host_end: HostEnd,
    /// Whether the bridge learns addresses behind this link (`macs: Any`).
    pub learning: bool,
}

/// Where the end that is not in the pod is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostEnd {
    /// On a bridge in the switch; the name on the node and what it stands for, `<namespace>/<bridge>`.
    Bridge { name: String, stands_for: String },
    /// On a bridge of the node, by name or altname.
    HostBridge(String),
    /// In the node's namespace, with the gateway addresses on it.
    Routed,
}

/// The two namespaces that a host end can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Switch,
    Node,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    pub to: IpNetwork,
    pub via: Option<IpAddr>,
    pub metric: Option<u32>,
    /// `None`: main.
    pub table: Option<u32>,
}

/// A link that is to be, with its owner and the name of its host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub link: Link,
    pub mark: Mark,
    pub host_name: String,
    /// The host end's MTU: on a bridge of the node the bridge's own, or a small port would pull down
    /// the MTU of the whole bridge.
    pub host_mtu: u32,
}

/// A link of ours as the kernel has it, both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// From the host end's alias; `None`: the link is half made.
    pub mark: Option<Mark>,
    pub place: Place,
    pub host: HostSide,
    /// `None`: the other end is not in the pod any more.
    pub pod: Option<PodSide>,
}

/// The end that a tenant can not reach, and so the one that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    pub index: u32,
    pub name: String,
    pub up: bool,
    pub mtu: u32,
    /// The pod end's MAC address, as it was given: the host end's own tells it.
    pub mac: [u8; 6],
    /// The bridge's number.
    pub master: Option<u32>,
    pub port: Option<Port>,
    /// Whether the bridge's forwarding table has the MAC address for this port.
    pub pinned: bool,
    /// Routed: gateway addresses on it, and routes to the pod through it.
    pub addresses: Vec<IpNetwork>,
    pub routes: BTreeSet<Route>,
}

/// The end that a tenant may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSide {
    pub index: u32,
    pub name: String,
    pub up: bool,
    pub mtu: u32,
    pub mac: Option<[u8; 6]>,
    /// `None`: the link speaks no IPv6, because of its MTU or because the kernel has none.
    pub slaac: Option<bool>,
    pub addresses: Vec<address::Present>,
    pub routes: BTreeSet<Route>,
}

impl Kind {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 1] = [VETH];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Veth(_) => VETH,
        }
    }

    pub fn place(&self) -> Place {
        match self {
            Self::Veth(veth) => match veth.host_end {
                HostEnd::Bridge { .. } => Place::Switch,
                HostEnd::HostBridge(_) | HostEnd::Routed => Place::Node,
            },
        }
    }
}

impl Link {
    /// `0a:58` and the first IPv4 address; else `0a` and a hash of the first IPv6 one; else of the
    /// link's own place in the world. An address that comes back with another MAC address is dead to
    /// its neighbours for half a minute.
    pub fn derived_mac(&self, namespace: &str, pod: &str) -> [u8; 6] {
        let first = |v4: bool| {
            self.addresses
                .iter()
                .map(|a| a.ip())
                .find(|ip| ip.is_ipv4() == v4)
        };
        match first(true).or(first(false)) {
            Some(IpAddr::V4(v4)) => {
                let [a, b, c, d] = v4.octets();
                [0x0a, 0x58, a, b, c, d]
            }
            Some(IpAddr::V6(v6)) => mark::hashed_mac(&[&v6.octets()]),
            None => self.own_mac(namespace, pod),
        }
    }

    /// A MAC address that no other link in the world is likely to have.
    pub fn own_mac(&self, namespace: &str, pod: &str) -> [u8; 6] {
        mark::hashed_mac(&[namespace.as_bytes(), pod.as_bytes(), self.name.as_bytes()])
    }
}
