//! Pure: derived MAC addresses of links that request none.
//!
//! MAC addresses are unique per segment, across nodes. Nodes share only the address claims, so a MAC address
//! is derived from an IP address and follows its claim: a link uses one derived from an address that it
//! holds, and drops it before the claim is released.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{Link, ownership_mark};

pub type Mac = [u8; 6];

/// The prefix of MAC addresses derived from IPv4 addresses, and of no others.
const OF_IPV4: [u8; 2] = [0x0a, 0x58];

/// The derived MAC addresses of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// From each of its addresses, IPv4 before IPv6.
    pub of_addresses: Vec<Mac>,
    /// From the link's namespace, pod and name, which are unique.
    pub of_link: Mac,
}

impl Derived {
    /// `domain`: the domain in which the addresses are unique, if it is not the default one.
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

    /// The MAC address of a new link: a recreated pod with the same addresses gets it again.
    pub fn first(&self) -> Mac {
        self.of_addresses.first().copied().unwrap_or(self.of_link)
    }

    /// The MAC address of a link that has `now`: unchanged if it is one of the derived ones, to avoid
    /// needless announcements.
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
        // Links of several domains with equal addresses may be on one segment.
        (IpAddr::V4(v4), Some(domain)) => hashed(&[b"domain", domain.as_bytes(), &v4.octets()]),
        (IpAddr::V6(v6), Some(domain)) => hashed(&[b"domain", domain.as_bytes(), &v6.octets()]),
    }
}

/// A hash that never collides with the MAC address of an IPv4 address.
fn hashed(parts: &[&[u8]]) -> Mac {
    let mut mac = ownership_mark::hashed_mac(parts);
    if mac[..2] == OF_IPV4 {
        mac[1] ^= 0x80;
    }
    mac
}

/// The IPv4 address of the default domain from which a MAC address is derived.
pub fn address_of(mac: Mac) -> Option<Ipv4Addr> {
    let [first, second, a, b, c, d] = mac;
    ([first, second] == OF_IPV4).then(|| Ipv4Addr::new(a, b, c, d))
}

/// The interface id that the kernel derives from a MAC address (EUI-64).
pub fn interface_id([a, b, c, d, e, f]: Mac) -> [u8; 8] {
    [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

/// The link-local address that the kernel derives from a MAC address.
pub fn link_local(mac: Mac) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&interface_id(mac));
    octets.into()
}

/// Whether the address has the interface id of the MAC address.
pub fn is_made_of(address: IpNetwork, mac: Mac) -> bool {
    match address {
        IpNetwork::V6(v6) => v6.prefix() == 64 && v6.ip().octets()[8..] == interface_id(mac),
        IpNetwork::V4(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
