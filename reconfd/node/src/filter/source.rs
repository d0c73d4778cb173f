//! Sources of frames: networks ↔ ranges of addresses ↔ the elements of a set. Pure.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnetwork::IpNetwork;

/// First and last address.
pub type AddressSpan = (u128, u128);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

/// An element of a set: a key, and whether a range ends before it (else one begins with it).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    pub key: Vec<u8>,
    pub is_end: bool,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    fn last(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }

    fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(number as u32).into(),
            Self::V6 => Ipv6Addr::from(number).into(),
        }
    }

    fn key(self, number: u128) -> Vec<u8> {
        match self {
            Self::V4 => (number as u32).to_be_bytes().into(),
            Self::V6 => number.to_be_bytes().into(),
        }
    }
}

/// The networks of one family as sorted ranges, merged if overlapping or adjacent: the kernel refuses
/// overlapping ones.
pub fn ranges(sources: &BTreeSet<IpNetwork>, family: Family) -> Vec<AddressSpan> {
    let of_family = |network: &&IpNetwork| Family::of(network.ip()) == family;
    merged(sources.iter().filter(of_family).map(range).collect())
}

pub fn merged(mut all: Vec<AddressSpan>) -> Vec<AddressSpan> {
    all.sort_unstable();
    let mut merged: Vec<AddressSpan> = Vec::with_capacity(all.len());
    for (first, last) in all {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn range(network: &IpNetwork) -> AddressSpan {
    let family = Family::of(network.ip());
    let first = match network.network() {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    };
    let free = family.bits() - network.prefix();
    (
        first,
        first | u128::MAX.checked_shr(128 - u32::from(free)).unwrap_or(0),
    )
}

/// The fewest networks that cover just these ranges.
pub fn networks(ranges: &[AddressSpan], family: Family) -> BTreeSet<IpNetwork> {
    let parts = ranges.iter().flat_map(|range| split(*range, family));
    parts.collect()
}

fn split((mut first, last): AddressSpan, family: Family) -> Vec<IpNetwork> {
    let mut found = Vec::new();
    loop {
        // The largest network that its alignment and the rest of the range allow.
        let room = (last - first).checked_add(1).map_or(128, u128::ilog2);
        let free = first.trailing_zeros().min(room).min(family.bits().into());
        let prefix = family.bits() - free as u8;
        found.extend(IpNetwork::new(family.address(first), prefix));
        let end = first | u128::MAX.checked_shr(128 - free).unwrap_or(0);
        if end >= last {
            return found;
        }
        first = end + 1;
    }
}

/// A range starts at one element and ends before another; a range up to the last address has no end element.
/// As in nft, an end element precedes the first range.
pub fn elements(ranges: &[AddressSpan], family: Family) -> BTreeSet<Element> {
    let element = |number, is_end| Element {
        key: family.key(number),
        is_end,
    };
    let before = ranges.first().filter(|(first, _)| *first > 0);
    let mut all: BTreeSet<Element> = before.map(|_| element(0, true)).into_iter().collect();
    for (first, last) in ranges {
        all.insert(element(*first, false));
        if *last < family.last() {
            all.insert(element(last + 1, true));
        }
    }
    all
}

/// The ranges of a set's elements.
pub fn read_ranges(elements: &BTreeSet<Element>, family: Family) -> Vec<AddressSpan> {
    let numbers = |is_end| -> BTreeSet<u128> {
        let wanted = elements.iter().filter(|element| element.is_end == is_end);
        wanted.map(|element| number(&element.key)).collect()
    };
    let ends = numbers(true);
    let range = |first: u128| {
        let end = ends.range(first..).find(|end| **end > first);
        (first, end.map_or(family.last(), |end| end - 1))
    };
    merged(numbers(false).into_iter().map(range).collect())
}

fn number(key: &[u8]) -> u128 {
    key.iter()
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}
