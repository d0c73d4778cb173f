//! The data of a vlan or vxlan: the ids that identify it in the kernel.

use std::net::IpAddr;

use netlink_packet_core::NlasIterator;

const IFLA_VLAN_ID: u16 = 1;
const IFLA_VLAN_PROTOCOL: u16 = 5;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_GROUP: u16 = 2;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_GROUP6: u16 = 16;
const IFLA_VXLAN_LOCAL6: u16 = 17;
const IFLA_VXLAN_COLLECT_METADATA: u16 = 25;
const ETH_P_8021Q: u16 = 0x8100;

/// The identity of a device in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkData {
    Vlan {
        id: u16,
    },
    Vxlan {
        vni: u32,
        port: u16,
        /// The ifindex of the underlay, in the namespace where the device was created.
        underlay: Option<u32>,
        /// The default destination: a group, or one peer.
        group: Option<IpAddr>,
        /// The source address, if it is not left to routing.
        own: Option<IpAddr>,
        /// Accepts all VNIs that no other device has on its port (`external`).
        takes_all: bool,
    },
}

impl LinkData {
    /// `None` for every other kind, and for a vlan that is not 802.1Q's.
    pub fn read(kind: Option<&str>, data: &[u8]) -> Option<Self> {
        match kind? {
            "vlan" => vlan(data),
            "vxlan" => Some(vxlan(data)),
            _ => None,
        }
    }

    /// Whether both receive the same frames on one parent or one node.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vlan { id }, Self::Vlan { id: other }) => id == other,
            (
                Self::Vxlan {
                    vni,
                    port,
                    takes_all,
                    ..
                },
                Self::Vxlan {
                    vni: other,
                    port: other_port,
                    takes_all: other_takes_all,
                    ..
                },
            ) => port == other_port && (vni == other || *takes_all || *other_takes_all),
            _ => false,
        }
    }
}

fn vlan(data: &[u8]) -> Option<LinkData> {
    let (mut id, mut protocol) = (None, ETH_P_8021Q);
    for attribute in NlasIterator::new(data).flatten() {
        let value = attribute.value();
        match attribute.kind() {
            IFLA_VLAN_ID => id = value.try_into().ok().map(u16::from_ne_bytes),
            IFLA_VLAN_PROTOCOL => protocol = u16::from_be_bytes(value.try_into().ok()?),
            _ => (),
        }
    }
    (protocol == ETH_P_8021Q).then_some(LinkData::Vlan { id: id? })
}

fn vxlan(data: &[u8]) -> LinkData {
    let (mut vni, mut port, mut underlay, mut takes_all) = (0, 0, None, false);
    let (mut group, mut own) = (None, None);
    for attribute in NlasIterator::new(data).flatten() {
        let value = attribute.value();
        let number = || value.try_into().ok().map(u32::from_ne_bytes);
        match attribute.kind() {
            IFLA_VXLAN_ID => vni = number().unwrap_or_default(),
            IFLA_VXLAN_LINK => underlay = number(),
            IFLA_VXLAN_PORT => {
                port = value.try_into().map(u16::from_be_bytes).unwrap_or_default();
            }
            IFLA_VXLAN_GROUP | IFLA_VXLAN_GROUP6 => group = address(value),
            IFLA_VXLAN_LOCAL | IFLA_VXLAN_LOCAL6 => own = address(value),
            IFLA_VXLAN_COLLECT_METADATA => takes_all = value.first() == Some(&1),
            _ => (),
        }
    }
    LinkData::Vxlan {
        vni,
        port,
        underlay,
        group,
        own,
        takes_all,
    }
}

/// `None`: missing or unspecified.
fn address(value: &[u8]) -> Option<IpAddr> {
    let address = match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
    };
    address.filter(|address| !address.is_unspecified())
}
