//! A link decoded from rtnetlink: the few attributes that podconfig uses.
//!
//! Decoded by hand from the attribute list: a burst of 200 pods causes thousands of link events, and the
//! typed message parses forty attributes of each.

use netlink_packet_core::{NlaBuffer, NlasIterator};
use nix::libc::{
    IFLA_ADDRESS, IFLA_AF_SPEC, IFLA_ALT_IFNAME, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME,
    IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA, IFLA_INFO_SLAVE_KIND, IFLA_LINK,
    IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_NEW_IFINDEX, IFLA_NEW_NETNSID,
    IFLA_PROP_LIST, IFLA_PROTINFO,
};

use super::{links::OwnershipMark, port::Port};

/// The data of a vlan or vxlan.
mod data;
pub use data::LinkData;

const IFLA_BRPORT_STATE: u16 = 1;
const BR_STATE_FORWARDING: u8 = 3;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_LOCKED: u16 = 39;
const AF_INET6: u16 = 10;
const IFLA_INET6_CONF: u16 = 2;
/// Indexes in the array of IPv6 settings.
const DEVCONF_ACCEPT_RA: usize = 3;
const DEVCONF_DISABLE_IPV6: usize = 26;
const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;
const HEADER: usize = 16;

/// A link in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    pub index: u32,
    pub name: String,
    pub altnames: Vec<String>,
    pub up: bool,
    /// IFF_RUNNING: the link has a carrier and can send.
    pub running: bool,
    pub mtu: u32,
    pub mac: Option<[u8; 6]>,
    pub group: u32,
    pub alias: Option<String>,
    /// The other end's index, for a veth; the parent's, for a vlan.
    pub peer: Option<u32>,
    /// The nsid of the other end's namespace; `None`: this namespace.
    pub peer_netns: Option<i32>,
    pub master: Option<u32>,
    /// The master is a VRF.
    pub in_vrf: bool,
    pub kind: Option<String>,
    /// For a vlan or a vxlan.
    pub data: Option<LinkData>,
    /// For a bridge port: its flags.
    pub port: Option<Port>,
    /// For a bridge port: it is in forwarding state.
    pub forwarding: bool,
    /// Of a link that was moved to another namespace: its nsid and the ifindex there.
    pub left_for: Option<(i32, u32)>,
    /// The sysctl; 0 ignores router advertisements.
    pub accept_ra: Option<i32>,
    /// The sysctl.
    pub disable_ipv6: Option<i32>,
}

impl LinkInfo {
    /// Decodes the payload of RTM_NEWLINK or RTM_DELLINK.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let flags = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let mut info = Self {
            index: u32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
            up: flags & IFF_UP != 0,
            running: flags & IFF_RUNNING != 0,
            ..Self::default()
        };
        for attribute in NlasIterator::new(&bytes[HEADER..]).flatten() {
            info.take(&attribute);
        }
        Some(info)
    }

    fn take(&mut self, attribute: &NlaBuffer<&[u8]>) {
        let value = attribute.value();
        match attribute.kind() {
            IFLA_ADDRESS => self.mac = value.try_into().ok(),
            IFLA_IFNAME => self.name = text(value),
            IFLA_MTU => self.mtu = number(value).unwrap_or_default(),
            IFLA_LINK => self.peer = number(value),
            IFLA_MASTER => self.master = number(value),
            IFLA_IFALIAS => self.alias = Some(text(value)),
            IFLA_GROUP => self.group = number(value).unwrap_or_default(),
            IFLA_LINK_NETNSID => self.peer_netns = number(value).map(u32::cast_signed),
            IFLA_PROP_LIST => {
                let names = NlasIterator::new(value)
                    .flatten()
                    .filter(|a| a.kind() == IFLA_ALT_IFNAME);
                self.altnames = names.map(|a| text(a.value())).collect();
            }
            IFLA_AF_SPEC => {
                self.accept_ra = ipv6_setting(value, DEVCONF_ACCEPT_RA);
                self.disable_ipv6 = ipv6_setting(value, DEVCONF_DISABLE_IPV6);
            }
            IFLA_LINKINFO => self.take_info(value),
            IFLA_NEW_NETNSID => {
                let there = number(value).map(u32::cast_signed);
                self.left_for = there.map(|netns| (netns, self.index));
            }
            IFLA_NEW_IFINDEX => {
                let index = number(value).unwrap_or(self.index);
                self.left_for = self.left_for.map(|(netns, _)| (netns, index));
            }
            _ => (),
        }
    }

    /// The kernel sends the kind before its data.
    fn take_info(&mut self, info: &[u8]) {
        for attribute in NlasIterator::new(info).flatten() {
            let value = attribute.value();
            match attribute.kind() {
                IFLA_INFO_KIND => self.kind = Some(text(value)),
                IFLA_INFO_DATA => self.data = LinkData::read(self.kind.as_deref(), value),
                IFLA_INFO_SLAVE_KIND => self.in_vrf = text(value) == "vrf",
                IFLA_INFO_SLAVE_DATA => {
                    self.port = Some(port(value));
                    self.forwarding = is_forwarding(value);
                }
                _ => (),
            }
        }
    }

    /// The ownership mark in its alias, if there is one.
    pub fn mark(&self) -> Option<OwnershipMark> {
        self.alias.as_deref()?.parse().ok()
    }

    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Whether its frames belong to a master, such as a bridge or a bond.
    pub fn is_port(&self) -> bool {
        self.master.is_some() && !self.in_vrf
    }

    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.altnames.iter().any(|altname| altname == name)
    }
}

/// The port of an AF_BRIDGE message, and its flags.
pub fn read_port(bytes: &[u8]) -> Option<(u32, Port)> {
    let header = bytes.first_chunk::<HEADER>()?;
    let index = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let mut attributes = NlasIterator::new(&bytes[HEADER..]).flatten();
    let flags = attributes.find(|attribute| attribute.kind() == IFLA_PROTINFO)?;
    Some((index, port(flags.value())))
}

fn port(value: &[u8]) -> Port {
    let mut port = Port::default();
    for attribute in NlasIterator::new(value).flatten() {
        let on = attribute.value().first() == Some(&1);
        match attribute.kind() {
            IFLA_BRPORT_LEARNING => port.learning = on,
            IFLA_BRPORT_UNICAST_FLOOD => port.flood = on,
            IFLA_BRPORT_LOCKED => port.locked = on,
            _ => (),
        }
    }
    port
}

fn is_forwarding(port: &[u8]) -> bool {
    let mut attributes = NlasIterator::new(port).flatten();
    let state = attributes.find(|attribute| attribute.kind() == IFLA_BRPORT_STATE);
    state.is_some_and(|state| state.value().first() == Some(&BR_STATE_FORWARDING))
}

fn ipv6_setting(families: &[u8], place: usize) -> Option<i32> {
    let family = NlasIterator::new(families)
        .flatten()
        .find(|a| a.kind() == AF_INET6)?;
    let conf = NlasIterator::new(family.value())
        .flatten()
        .find(|a| a.kind() == IFLA_INET6_CONF)?;
    let setting = conf.value().chunks_exact(4).nth(place)?;
    Some(i32::from_ne_bytes(setting.try_into().ok()?))
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_end_matches('\0')
        .to_owned()
}
