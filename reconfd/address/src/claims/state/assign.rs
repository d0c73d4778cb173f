//! Pure: assigns held addresses to addresses and ranges, so that overlapping ranges get one each.

use std::{collections::BTreeSet, net::IpAddr};

use super::super::acquire::AddressOrRange;
use crate::range::Range;

/// The request is not satisfied.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    pub wanted: Vec<AddressOrRange>,
    /// The addresses that are held for it.
    pub there: BTreeSet<IpAddr>,
}

/// Returns one address for each range, in order, or what is missing. Addresses that were assigned before are
/// preferred.
pub fn find(
    held: &BTreeSet<IpAddr>,
    assigned: &BTreeSet<IpAddr>,
    addresses: &[IpAddr],
    ranges: &[Range],
) -> Result<Vec<IpAddr>, Missing> {
    let mut pool: Vec<IpAddr> = held
        .iter()
        .copied()
        .filter(|ip| !addresses.contains(ip))
        .collect();
    pool.sort_by_key(|address| (!assigned.contains(address), *address));
    let mut for_range: Vec<Option<usize>> = vec![None; ranges.len()];
    for at in 0..ranges.len() {
        let mut tried = vec![false; pool.len()];
        settle(at, ranges, &pool, &mut for_range, &mut tried);
    }
    let static_ones = addresses.iter().filter(|address| !held.contains(address));
    let mut missing: Vec<AddressOrRange> = static_ones
        .map(|address| AddressOrRange::Address(*address))
        .collect();
    let without = ranges
        .iter()
        .zip(&for_range)
        .filter(|(_, got)| got.is_none());
    missing.extend(without.map(|(range, _)| AddressOrRange::Range(range.clone())));
    let for_ranges = for_range.into_iter().flatten().map(|at| pool[at]);
    if missing.is_empty() {
        return Ok(for_ranges.collect());
    }
    let static_ones = addresses.iter().copied().filter(|ip| held.contains(ip));
    Err(Missing {
        wanted: missing,
        there: static_ones.chain(for_ranges).collect(),
    })
}

/// Augmenting path of bipartite matching: whether the range gets an address, possibly by moving another range to a
/// different one.
fn settle(
    range: usize,
    ranges: &[Range],
    pool: &[IpAddr],
    for_range: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for (at, address) in pool.iter().enumerate() {
        if tried[at] || !ranges[range].contains(*address) {
            continue;
        }
        tried[at] = true;
        let holder = for_range.iter().position(|got| *got == Some(at));
        if holder.is_none_or(|holder| settle(holder, ranges, pool, for_range, tried)) {
            for_range[range] = Some(at);
            return true;
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(cidr: &str) -> Range {
        Range::new(&serde_json::from_value(json!({"cidr": cidr})).unwrap()).unwrap()
    }

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ranges_that_overlap_each_get_one() {
        let ranges = [range("10.99.0.0/16"), range("10.99.0.0/24")];
        let held = ips(&["10.99.0.5", "10.99.7.7"]);
        let found = find(&held, &BTreeSet::new(), &[], &ranges).unwrap();
        assert_eq!(
            found,
            [
                "10.99.7.7".parse::<IpAddr>().unwrap(),
                "10.99.0.5".parse().unwrap()
            ]
        );
    }

    #[test]
    fn an_assigned_address_stays_and_a_static_one_is_not_shared() {
        let held = ips(&["10.99.0.1", "10.99.0.5", "10.99.0.9"]);
        let fixed: [IpAddr; 1] = ["10.99.0.1".parse().unwrap()];
        let assigned = ips(&["10.99.0.9"]);
        let found = find(&held, &assigned, &fixed, &[range("10.99.0.0/24")]).unwrap();
        assert_eq!(found, ["10.99.0.9".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let fixed: [IpAddr; 1] = ["10.99.0.1".parse().unwrap()];
        let ranges = [range("10.99.0.0/24")];
        let missing = find(&BTreeSet::new(), &BTreeSet::new(), &fixed, &ranges).unwrap_err();
        assert_eq!(
            missing.wanted,
            [
                AddressOrRange::Address(fixed[0]),
                AddressOrRange::Range(ranges[0].clone())
            ]
        );
    }
}
