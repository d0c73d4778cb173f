//! Links: one type for what is wanted and what is present, so that a plan is equality and set
//! difference. Everything in this folder is pure: links ↔ netlink messages.

/// Addresses ↔ messages.
pub mod address;
/// Bridges in the switch and their ports ↔ messages.
pub mod bridge;
/// vlan and vxlan ↔ messages.
pub mod device;
/// What must change to make a present link the wanted one.
pub mod edit;
/// What a pod may not send: the tc ingress filter of a host end.
pub mod ingress_filter;
/// The kinds of links, and where their other ends are.
pub mod kind;
/// The MAC addresses that are a link's own.
pub mod mac;
/// A pod's neighbours ↔ messages.
pub mod neighbour;
/// Whose a link is.
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

use super::{filter::PeerFilter, link_info::Port};

/// The link group of everything of ours outside of the switch ("pcfg").
pub const GROUP: u32 = 0x7063_6667;

/// One network interface of a pod, wanted or present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface name in the pod.
    pub name: String,
    pub kind: LinkKind,
    /// Bytes; `None`: what the device below can carry.
    pub mtu: Option<u32>,
    /// `None`: one that is the link's own by what it holds.
    pub mac: Option<[u8; 6]>,
    /// In the order of the object: the first IPv4 one gives a new link its MAC address.
    pub addresses: Vec<IpNetwork>,
    pub routes: BTreeSet<Route>,
    /// Whether router advertisements are taken.
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

/// A link that is to be, with its owner and the name of its host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub link: Link,
    /// The MAC addresses of which it has one, where none is asked for.
    pub derived: mac::Derived,
    pub mark: OwnershipMark,
    pub host_name: String,
    /// The host end's MTU: on a bridge of the node the bridge's own, or a small port would pull down
    /// the MTU of the whole bridge.
    pub host_mtu: u32,
    /// Bytes: what the link says, or the device below it.
    pub mtu: u32,
    /// What is known of a vlan or a vxlan before its surroundings are looked at.
    pub policy: Option<DevicePolicy>,
    /// What it needs of a vlan or a vxlan, once they were.
    pub device: Option<WantDevice>,
}

/// What is decided about a vlan or a vxlan, whatever it stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePolicy {
    /// The namespace that has the segment.
    pub owner: String,
    /// The parent may be a port of a bridge or a bond.
    pub on_port: bool,
    /// The tunnel may be there without a filter.
    pub unfiltered: bool,
    /// Other pods of the node have the segment as well, and rules of their own.
    pub is_shared: bool,
    /// The other ends, without the addresses of the end itself.
    pub peers: BTreeSet<IpAddr>,
    /// Where frames of a tunnel may come from whose ends are not written down one by one.
    pub sources: Vec<IpNetwork>,
}

/// A vlan or a vxlan that is to be, with its surroundings as they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantDevice {
    /// The parent's number, on the node or in the pod.
    pub parent: u32,
    /// The MAC address of a parent whose own the device has.
    pub parent_mac: Option<[u8; 6]>,
    pub mtu: u32,
    /// The parent is up, and so may the device be.
    pub up: bool,
    /// The namespace that has the segment.
    pub owner: String,
    /// The other ends, without the node's own addresses.
    pub peers: BTreeSet<IpAddr>,
    /// Who may send into the tunnel; `None`: no filter is needed, or none is to be had.
    pub peer_filter: Option<PeerFilter>,
}

/// A vlan or a vxlan of ours in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentDevice {
    /// `None`: somebody stripped it, or the device is half made.
    pub mark: Option<OwnershipMark>,
    pub pod: PodSide,
    pub peers: BTreeSet<IpAddr>,
}

/// A link of ours as the kernel has it, both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// From the host end's alias; `None`: the link is half made.
    pub mark: Option<OwnershipMark>,
    pub place: HostNetns,
    pub host: HostSide,
    /// `None`: the other end is not in the pod any more.
    pub pod: Option<PodSide>,
}

/// The end that a tenant can not reach, and so the one that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    pub index: u32,
    pub name: String,
    /// Whether its alias is the mark that it was given.
    pub is_marked: bool,
    pub up: bool,
    pub mtu: u32,
    pub own_mac: [u8; 6],
    /// The pod end's MAC address, as it was given: the host end's own tells it, and where all of these are
    /// one, the bridge's forwarding table. `None`: somebody took it from there.
    pub mac: Option<[u8; 6]>,
    /// The bridge's number.
    pub master: Option<u32>,
    pub port: Option<Port>,
    /// The MAC addresses that the bridge's forwarding table has for this port for good.
    pub pins: BTreeSet<[u8; 6]>,
    /// The program of its tc ingress filter; empty where there is none.
    pub ingress: Vec<Instruction>,
    /// Whether other filters are asked as early as ours, and so could pass what ours drops.
    pub is_ingress_shared: bool,
    /// In the node's namespace: its sysctls, as far as the kernel has them.
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
    /// `None`: the link speaks no IPv6, because of its MTU or because the kernel has none.
    pub slaac: Option<bool>,
    /// Somebody has switched IPv6 off: for this link, or for all of the pod's.
    pub has_ipv6_off: bool,
    pub addresses: Vec<address::PresentAddress>,
    pub routes: BTreeSet<Route>,
}

impl Link {
    /// Whether it needs IPv6: what a pod has switched off for all of its links is switched on for this one.
    pub fn speaks_ipv6(&self) -> bool {
        let mut routes = self.routes.iter();
        self.slaac
            || self.addresses.iter().any(IpNetwork::is_ipv6)
            || routes.any(|route| route.to.is_ipv6())
    }
}

impl Want {
    /// The MAC address that the link is to have; `now`: the one that it has, if it is there.
    pub fn mac(&self, now: Option<[u8; 6]>) -> [u8; 6] {
        let own = || now.map_or(self.derived.first(), |now| self.derived.after(now));
        self.link.mac.unwrap_or_else(own)
    }
}
