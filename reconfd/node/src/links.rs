//! Links: one type for wanted and present links, so that planning is equality and set difference. Everything
//! in this folder is pure: links ↔ netlink messages.

/// Addresses ↔ messages.
pub mod address;
/// Bridges in the switch and their ports ↔ messages.
pub mod bridge;
/// vlan and vxlan ↔ messages.
pub mod device;
/// The edits from a present link to the wanted one.
pub mod edit;
/// The gateway addresses of routed links.
pub mod gateway;
/// The tc ingress filter of a host end.
pub mod ingress_filter;
/// The kinds of links, and where their other ends are.
pub mod kind;
/// Derived MAC addresses.
pub mod mac;
/// A pod's neighbours ↔ messages.
pub mod neighbour;
/// The ownership mark.
pub mod ownership_mark;
/// Edits → messages.
pub mod requests;
/// Routes and rules ↔ messages.
pub mod route;
/// The sysctls of a host end.
pub mod settings;
/// veth ↔ messages.
pub mod veth;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnetwork::IpNetwork;

pub use device::{Device, Segment};
use ingress_filter::program::Instruction;
pub use kind::{HostEnd, HostNetns, LinkKind, VETH, Veth};
pub use ownership_mark::OwnershipMark;
use settings::Setting;

use super::{filter::PeerFilter, port::Port};

/// The link group of everything of ours outside of the switch ("pcfg").
pub const GROUP: u32 = 0x7063_6667;

/// One network interface of a pod, wanted or present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface name in the pod.
    pub name: String,
    pub kind: LinkKind,
    /// Bytes; `None`: the maximum of the parent device.
    pub mtu: Option<u32>,
    /// `None`: derived from the link's addresses or name.
    pub mac: Option<[u8; 6]>,
    /// In the order of the object: the MAC address of a new link is derived from the first IPv4 one.
    pub addresses: Vec<IpNetwork>,
    pub routes: BTreeSet<Route>,
    /// Whether router advertisements are accepted.
    pub slaac: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    pub to: IpNetwork,
    pub via: Option<IpAddr>,
    pub metric: Option<u32>,
    /// `None`: main.
    pub table: Option<u32>,
}

/// A wanted link, with its owner and the name of its host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub link: Link,
    /// The candidates for its MAC address, if none is requested.
    pub derived: mac::Derived,
    pub mark: OwnershipMark,
    pub host_name: String,
    /// The host end's MTU: on a bridge of the node the bridge's own, or a small port would pull down
    /// the MTU of the whole bridge.
    pub host_mtu: u32,
    /// Bytes: of the link, or of the parent device.
    pub mtu: u32,
    /// The policy for a vlan or vxlan.
    pub policy: Option<DevicePolicy>,
    /// The wanted vlan or vxlan device, after its parent was found.
    pub device: Option<WantDevice>,
}

/// The policy for a vlan or vxlan, independent of its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePolicy {
    /// The parent may be a port of a bridge or a bond.
    pub on_port: bool,
    /// The tunnel may exist without a peer filter.
    pub unfiltered: bool,
    /// Other pods of the node use the segment as well, with their own rules.
    pub is_shared: bool,
    /// The peers of a tunnel on a link of the pod, without the pod's own addresses.
    pub peers: BTreeSet<IpAddr>,
}

/// A wanted vlan or vxlan device, with its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantDevice {
    /// The parent's ifindex, on the node or in the pod.
    pub parent: u32,
    /// The MAC address of the parent, if the device uses it.
    pub parent_mac: Option<[u8; 6]>,
    pub mtu: u32,
    /// The parent is up, so the device may be up.
    pub up: bool,
    /// The namespace that has the segment.
    pub owner: String,
    /// The peers, without the node's own addresses.
    pub peers: BTreeSet<IpAddr>,
    /// The peer filter of the tunnel; `None`: not needed or not available.
    pub peer_filter: Option<PeerFilter>,
}

/// A vlan or a vxlan of ours in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentDevice {
    /// `None`: the mark was removed, or the device is incomplete.
    pub mark: Option<OwnershipMark>,
    pub pod: PodSide,
    pub peers: BTreeSet<IpAddr>,
}

/// A present link of ours, both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// From the host end's alias; `None`: the link is incomplete.
    pub mark: Option<OwnershipMark>,
    pub place: HostNetns,
    pub host: HostSide,
    /// `None`: the other end is not in the pod any more.
    pub pod: Option<PodSide>,
}

/// The end that a tenant cannot change, and so the trusted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    pub index: u32,
    pub name: String,
    /// Whether its alias is still its ownership mark.
    pub is_marked: bool,
    pub up: bool,
    pub mtu: u32,
    pub own_mac: [u8; 6],
    /// The assigned MAC address of the pod end: derived from the host end's own, or, if all host ends have
    /// the same one, from the bridge's forwarding table. `None`: the entry was removed.
    pub mac: Option<[u8; 6]>,
    /// The bridge's ifindex.
    pub master: Option<u32>,
    pub port: Option<Port>,
    /// The static entries of the bridge's forwarding table for this port.
    pub pins: BTreeSet<[u8; 6]>,
    /// The program of its tc ingress filter; empty where there is none.
    pub ingress: Vec<Instruction>,
    /// Whether other filters run as early as ours, and so could accept what ours drops.
    pub is_ingress_shared: bool,
    /// In the node's namespace: its sysctls, if the kernel has them.
    pub settings: BTreeMap<Setting, String>,
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
    /// `None`: the link has no IPv6, because of its MTU or the kernel.
    pub slaac: Option<bool>,
    /// IPv6 is disabled by sysctl, for this link or for all links of the pod.
    pub has_ipv6_off: bool,
    pub addresses: Vec<address::PresentAddress>,
    pub routes: BTreeSet<Route>,
}

impl Link {
    /// Whether it needs IPv6, which is then enabled on this link even if it is disabled for the pod.
    pub fn speaks_ipv6(&self) -> bool {
        let mut routes = self.routes.iter();
        self.slaac
            || self.addresses.iter().any(IpNetwork::is_ipv6)
            || routes.any(|route| route.to.is_ipv6())
    }
}

impl Want {
    /// The wanted MAC address; `now`: the present one, if the link exists.
    pub fn mac(&self, now: Option<[u8; 6]>) -> [u8; 6] {
        let own = || now.map_or(self.derived.first(), |now| self.derived.after(now));
        self.link.mac.unwrap_or_else(own)
    }
}
