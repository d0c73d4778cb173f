//! Pure: the MAC address of a link for which none is asked.
//!
//! No two links of a segment may have the same one, wherever their pods are. Across nodes nothing is shared
//! but the claims to addresses, so a MAC address is the property of an address and follows its claim: a
//! link has one that is derived from an address that it holds, and loses it before the claim is given back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{Link, ownership_mark};

pub type Mac = [u8; 6];

/// What the MAC address of an IPv4 address begins with, and no other of ours.
const OF_IPV4: [u8; 2] = [0x0a, 0x58];

/// The MAC addresses that are a link's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// From each of its addresses, IPv4 before IPv6.
    pub of_addresses: Vec<Mac>,
    /// From the link's namespace, pod and name, which no other link has.
    pub of_link: Mac,
}

impl Derived {
    /// `domain`: inside which the addresses are the link's alone, where it is not the common one.
    pub fn of(link: &Link, (namespace, pod): (&str, &str), domain: Option<&str>) -> Self {
        let name = &link.name;
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = link
            .addresses
            .iter()
            .map(IpNetwork::ip)
            .partition(IpAddr::is_ipv4);
        let addresses = v4.into_iter().chain(v6);
        Self {
            of_addresses: addresses.map(|ip| of_address(ip, domain)).collect(),
            of_link: hashed(&[namespace.as_bytes(), pod.as_bytes(), name.as_bytes()]),
        }
    }

    /// The one that a new link gets: a pod that comes back with its addresses has it again.
    pub fn first(&self) -> Mac {
        self.of_addresses.first().copied().unwrap_or(self.of_link)
    }

    /// The one that a link is to have that has `now`: the same, as long as it is the link's own, so that
    /// nothing is announced without need.
    pub fn after(&self, now: Mac) -> Mac {
        match now == self.of_link || self.of_addresses.contains(&now) {
            true => now,
            false => self.first(),
        }
    }
}

fn of_address(ip: IpAddr, domain: Option<&str>) -> Mac {
    match (ip, domain) {
        (IpAddr::V4(v4), None) => {
            let [a, b, c, d] = v4.octets();
            [OF_IPV4[0], OF_IPV4[1], a, b, c, d]
        }
        (IpAddr::V6(v6), None) => hashed(&[&v6.octets()]),
        // Links of several domains may be on one segment, with equal addresses.
        (IpAddr::V4(v4), Some(domain)) => hashed(&[b"domain", domain.as_bytes(), &v4.octets()]),
        (IpAddr::V6(v6), Some(domain)) => hashed(&[b"domain", domain.as_bytes(), &v6.octets()]),
    }
}

/// A hash that is never like the MAC address of an IPv4 address.
fn hashed(parts: &[&[u8]]) -> Mac {
    let mut mac = ownership_mark::hashed_mac(parts);
    if mac[..2] == OF_IPV4 {
        mac[1] ^= 0x80;
    }
    mac
}

/// The IPv4 address of the common domain that a MAC address belongs to.
pub fn address_of(mac: Mac) -> Option<Ipv4Addr> {
    let [first, second, a, b, c, d] = mac;
    ([first, second] == OF_IPV4).then(|| Ipv4Addr::new(a, b, c, d))
}

/// The last half of the IPv6 addresses that a kernel makes of a MAC address (EUI-64).
pub fn interface_id([a, b, c, d, e, f]: Mac) -> [u8; 8] {
    [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

/// The link-local address that a kernel makes of it.
pub fn link_local(mac: Mac) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&interface_id(mac));
    octets.into()
}

/// Whether a kernel has made the address of the MAC address.
pub fn is_made_of(address: IpNetwork, mac: Mac) -> bool {
    match address {
        IpNetwork::V6(v6) => v6.prefix() == 64 && v6.ip().octets()[8..] == interface_id(mac),
        IpNetwork::V4(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
