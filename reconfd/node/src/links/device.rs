//! vlan and vxlan devices ↔ netlink messages, pure: shared devices in the switch and devices in a pod.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv6Addr},
    os::fd::RawFd,
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVlan, InfoVxlan, VlanProtocol},
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::GROUP;
use crate::{
    filter::Tunnel,
    link_info::LinkData,
    netlink::{Request, in_netns},
};

/// Tunnel peers ↔ messages.
pub mod peers;
/// The shared device of a segment in the switch.
pub mod shared;

/// The usual TTL of Linux.
const TTL: u8 = 64;
/// Limit of learned addresses per tunnel, to bound memory under flooding.
const MOST_LEARNED: u32 = 8192;
/// The encapsulation overhead: outer IP and UDP headers, VXLAN header, and inner Ethernet header.
const OVERHEAD_V4: u32 = 50;
const OVERHEAD_V6: u32 = 70;

pub const VLAN: &str = "vlan";
pub const VXLAN: &str = "vxlan";

/// A segment: a vlan or vxlan on a device of the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The bridge's name in the switch, computed from the segment's identity.
    pub name: String,
    /// The device of the node that carries it, by name or altname.
    pub parent: String,
    pub data: Data,
}

/// A device in the pod itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// On a device of the node, for this pod alone.
    Exclusive(Segment),
    /// On the link of the pod with this name; in another namespace the same name is another network.
    Inside {
        namespace: String,
        carrier: String,
        data: Data,
    },
}

/// The type and ids of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    /// The id in the 802.1Q tag.
    Vlan(u16),
    Vxlan(Vxlan),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vxlan {
    pub vni: u32,
    pub port: u16,
    pub remotes: Remotes,
}

/// The remote VTEPs of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remotes {
    Peers(BTreeSet<IpAddr>),
    Group(IpAddr),
    /// Discovered at run time, and so not part of the spec. The device has a fixed source address, the one
    /// that the peers accept; `None`: not determined yet, or missing.
    Discovered(Option<IpAddr>),
}

/// The parameters for creating a device.
pub struct Site<'a> {
    pub name: &'a str,
    pub index: u32,
    /// The parent's ifindex, in the sender's namespace.
    pub parent: u32,
    /// The namespace of the device; `None`: the sender's.
    pub netns: Option<RawFd>,
    pub mtu: u32,
    pub mac: Option<[u8; 6]>,
    /// The bridge's ifindex.
    pub bridge: Option<u32>,
    /// Whether it is in the project's link group: everywhere except in the switch.
    pub grouped: bool,
}

impl Segment {
    /// The device's name in the switch.
    pub fn device_name(&self) -> String {
        format!("pcd{}", self.name.get(3..).unwrap_or_default())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.data, self.parent)
    }
}

impl Device {
    pub fn data(&self) -> &Data {
        match self {
            Self::Exclusive(segment) => &segment.data,
            Self::Inside { data, .. } => data,
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vlan(id) => write!(f, "vlan {id}"),
            Self::Vxlan(Vxlan { vni, port, .. }) => write!(f, "vxlan {vni} port {port}"),
        }
    }
}

impl Data {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Vlan(_) => VLAN,
            Self::Vxlan(_) => VXLAN,
        }
    }

    /// The device's MTU on a parent of that MTU.
    pub fn mtu_on(&self, parent: u32) -> u32 {
        match self {
            Self::Vlan(_) => parent,
            Self::Vxlan(vxlan) if vxlan.remotes.is_ipv6() => parent.saturating_sub(OVERHEAD_V6),
            Self::Vxlan(_) => parent.saturating_sub(OVERHEAD_V4),
        }
    }

    /// As decoded from the kernel, on the parent with that ifindex.
    pub fn as_link_data(&self, parent: u32) -> LinkData {
        match self {
            Self::Vlan(id) => LinkData::Vlan { id: *id },
            Self::Vxlan(vxlan) => LinkData::Vxlan {
                vni: vxlan.vni,
                port: vxlan.port,
                underlay: Some(parent),
                group: match vxlan.remotes {
                    Remotes::Group(group) => Some(group),
                    Remotes::Peers(_) | Remotes::Discovered(_) => None,
                },
                own: vxlan.remotes.own(),
                takes_all: false,
            },
        }
    }

    /// The listed peers, without the VTEP's own addresses.
    pub fn peers(&self, own: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        match self {
            Self::Vxlan(vxlan) => vxlan.remotes.peers(own),
            Self::Vlan(_) => BTreeSet::new(),
        }
    }

    /// The tunnel, if its peers are discovered.
    pub fn found(&self) -> Option<Tunnel> {
        match self {
            Self::Vxlan(vxlan) if matches!(vxlan.remotes, Remotes::Discovered(_)) => {
                Some(vxlan.tunnel())
            }
            Self::Vxlan(_) | Self::Vlan(_) => None,
        }
    }

    /// The local VTEP address of a tunnel with discovered peers.
    pub fn own(&self) -> Option<IpAddr> {
        match self {
            Self::Vxlan(vxlan) => vxlan.remotes.own(),
            Self::Vlan(_) => None,
        }
    }

    /// Sets the local VTEP address of a tunnel with discovered peers.
    pub fn starts_at(&mut self, own: Option<IpAddr>) {
        if let Self::Vxlan(vxlan) = self
            && let Remotes::Discovered(end) = &mut vxlan.remotes
        {
            *end = own;
        }
    }

    /// Whether a device with these peers can have the wanted ones: its family is fixed.
    pub fn suits(&self, ends: &BTreeSet<IpAddr>) -> bool {
        match self {
            Self::Vxlan(vxlan) => ends
                .iter()
                .all(|end| end.is_ipv6() == vxlan.remotes.is_ipv6()),
            Self::Vlan(_) => true,
        }
    }

    fn info(&self, parent: u32) -> (InfoKind, InfoData) {
        match self {
            Self::Vlan(id) => {
                let data = vec![
                    InfoVlan::Id(*id),
                    InfoVlan::Protocol(VlanProtocol::Ieee8021Q),
                ];
                (InfoKind::Vlan, InfoData::Vlan(data))
            }
            Self::Vxlan(vxlan) => (InfoKind::Vxlan, InfoData::Vxlan(vxlan.info(parent))),
        }
    }
}

impl Vxlan {
    /// The key of its peer filter.
    pub fn tunnel(&self) -> Tunnel {
        Tunnel {
            vni: self.vni,
            port: self.port,
        }
    }

    fn info(&self, parent: u32) -> Vec<InfoVxlan> {
        let mut info = vec![
            InfoVxlan::Id(self.vni),
            InfoVxlan::Link(parent),
            InfoVxlan::Port(self.port),
            InfoVxlan::Ttl(TTL),
            InfoVxlan::Learning(true),
            InfoVxlan::Limit(MOST_LEARNED),
            // UDP checksums in both families, so that corruption is detected.
            InfoVxlan::UDPCsum(true),
            InfoVxlan::UDPZeroCsumTX(false),
            InfoVxlan::UDPZeroCsumRX(false),
        ];
        match self.remotes {
            Remotes::Group(IpAddr::V4(group)) => info.push(InfoVxlan::Group(group)),
            Remotes::Group(IpAddr::V6(group)) => info.push(InfoVxlan::Group6(group)),
            // Sets only the family.
            Remotes::Peers(_) if self.remotes.is_ipv6() => {
                info.push(InfoVxlan::Group6(Ipv6Addr::UNSPECIFIED));
            }
            Remotes::Discovered(Some(IpAddr::V4(own))) => info.push(InfoVxlan::Local(own)),
            Remotes::Discovered(Some(IpAddr::V6(own))) => info.push(InfoVxlan::Local6(own)),
            Remotes::Peers(_) | Remotes::Discovered(None) => (),
        }
        info
    }
}

impl Remotes {
    pub fn is_ipv6(&self) -> bool {
        match self {
            Self::Peers(peers) => peers.first().is_some_and(IpAddr::is_ipv6),
            Self::Group(group) => group.is_ipv6(),
            Self::Discovered(own) => own.is_some_and(|own| own.is_ipv6()),
        }
    }

    /// The local VTEP address, if it is fixed.
    pub fn own(&self) -> Option<IpAddr> {
        match self {
            Self::Discovered(own) => *own,
            Self::Peers(_) | Self::Group(_) => None,
        }
    }

    /// The listed peers, without the node's own addresses.
    pub fn peers(&self, own: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        match self {
            Self::Peers(peers) => peers.difference(own).copied().collect(),
            Self::Group(_) | Self::Discovered(_) => BTreeSet::new(),
        }
    }
}

/// Creates the device directly in its namespace with name, MTU, MAC address, group and bridge, in one
/// message.
pub fn create(data: &Data, site: &Site<'_>) -> Request {
    let (kind, info) = data.info(site.parent);
    let mut device = LinkMessageBuilder::<()>::new_with_info_kind(kind)
        .name(site.name.to_owned())
        .index(site.index)
        .mtu(site.mtu)
        .set_info_data(info);
    // A vxlan has its underlay in IFLA_INFO_DATA.
    if let Data::Vlan(_) = data {
        device = device.link(site.parent);
    }
    if let Some(mac) = site.mac {
        device = device.address(mac.to_vec());
    }
    if let Some(netns) = site.netns {
        device = device.setns_by_fd(netns);
    }
    if let Some(bridge) = site.bridge {
        device = device.controller(bridge);
    }
    if site.grouped {
        device = device.link_group(GROUP);
    }
    Request::new(
        format!("create {data} ({})", site.name),
        NLM_F_CREATE | NLM_F_EXCL,
        RouteNetlinkMessage::NewLink(device.build()),
    )
}

pub fn delete(name: &str, index: u32) -> Request {
    let device = LinkUnspec::new_with_index(index).build();
    Request::deletion(
        format!("delete {name}"),
        RouteNetlinkMessage::DelLink(device),
    )
}

/// Deletes a device in another namespace, by nsid.
pub fn delete_in(netns: i32, index: u32) -> Request {
    let op = format!("delete link number {index} in namespace {netns} by the pod's nsid");
    Request::of_body(op, 0, in_netns::delete_link(netns, index))
}
