//! Pure: splits a span of addresses into the fewest networks that cover it exactly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// The networks, in order; empty if the last address is before the first, or of another family.
pub fn networks(first: IpAddr, last: IpAddr) -> Vec<IpNetwork> {
    let (from, to, bits) = match (first.to_canonical(), last.to_canonical()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (u128::from(first.to_bits()), u128::from(last.to_bits()), 32)
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
        _ => return Vec::new(),
    };
    let mut networks = Vec::new();
    let mut next = (from <= to).then_some(from);
    while let Some(at) = next {
        let size = largest(at, to, bits);
        networks.extend(network(at, bits, size));
        // The last address of a family has no successor.
        let end = at | ones(size);
        next = (end < to).then(|| end + 1);
    }
    networks
}

/// The host bits of the largest network that starts here and ends within the span.
fn largest(at: u128, to: u128, bits: u32) -> u32 {
    let aligned = at.trailing_zeros().min(bits);
    let fits = |size: &u32| at | ones(*size) <= to;
    (0..=aligned).rev().find(fits).unwrap_or_default()
}

fn ones(size: u32) -> u128 {
    1u128.checked_shl(size).map_or(u128::MAX, |past| past - 1)
}

fn network(at: u128, bits: u32, size: u32) -> Option<IpNetwork> {
    let address = match bits {
        32 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(at).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(at)),
    };
    IpNetwork::new(address, u8::try_from(bits - size).ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(first: &str, last: &str) -> Vec<String> {
        let networks = networks(first.parse().unwrap(), last.parse().unwrap());
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_range_is_the_fewest_networks() {
        assert_eq!(
            spelled("192.168.10.5", "192.168.10.17"),
            [
                "192.168.10.5/32",
                "192.168.10.6/31",
                "192.168.10.8/29",
                "192.168.10.16/31"
            ]
        );
        assert_eq!(spelled("10.0.0.0", "10.0.0.255"), ["10.0.0.0/24"]);
        assert_eq!(spelled("10.0.0.7", "10.0.0.7"), ["10.0.0.7/32"]);
        assert_eq!(spelled("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(spelled("::ffff:10.0.0.0", "10.0.0.1"), ["10.0.0.0/31"]);
    }

    #[test]
    fn the_largest_range_costs_no_more_than_a_small_one() {
        let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(spelled("::", most), ["::/0"]);
        let worst = networks(
            "::1".parse().unwrap(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe".parse().unwrap(),
        );
        assert_eq!(worst.len(), 254);
    }

    #[test]
    fn what_is_no_range_has_no_networks() {
        assert!(spelled("10.0.0.2", "10.0.0.1").is_empty());
        assert!(spelled("10.0.0.2", "fd00::1").is_empty());
    }

    fn bounds(network: &IpNetwork) -> (u128, u128) {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        (number(network.network()), number(network.broadcast()))
    }

    /// One after the other without a gap, from the first to the last; and no two neighbours are one network.
    fn is_exact(networks: &[IpNetwork], first: u128, last: u128) -> bool {
        let mut next = Some(first);
        let mut end = None;
        let is_gapless = networks.iter().map(bounds).all(|(from, to)| {
            let follows = next == Some(from);
            (next, end) = (to.checked_add(1), Some(to));
            follows
        });
        let is_mergeable = |pair: &[IpNetwork]| {
            let (one, two) = (pair[0], pair[1]);
            let wider = IpNetwork::new(one.network(), one.prefix().saturating_sub(1)).unwrap();
            one.prefix() == two.prefix() && wider.network() == one.network()
        };
        is_gapless && end == Some(last) && !networks.windows(2).any(is_mergeable)
    }

    proptest! {
        #[test]
        fn every_address_between_and_no_other_ipv4(a in any::<u32>(), b in any::<u32>()) {
            let (first, last) = (a.min(b), a.max(b));
            let found = networks(Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into());
            prop_assert!(is_exact(&found, first.into(), last.into()), "{found:?}");
            prop_assert!(found.len() <= 62);
        }

        #[test]
        fn every_address_between_and_no_other_ipv6(a in any::<u128>(), length in any::<u128>(), shift in 0u32..128) {
            // Not among the mapped ones, which are IPv4.
            let first = a | 1 << 127;
            let last = first.saturating_add(length >> shift);
            let found = networks(Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into());
            prop_assert!(is_exact(&found, first, last), "{found:?}");
            prop_assert!(found.len() <= 254);
        }
    }
}
