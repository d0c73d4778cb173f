//! Pure: the addresses of a network that may be allocated. Arithmetic alone: a /8 or a /64 costs as much as a /24,
//! and each hole is skipped as a whole.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnetwork::IpNetwork;

/// The allocatable addresses: everything from the first to the last address, except the holes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    cidr: IpNetwork,
    first: u128,
    last: u128,
    /// Sorted, disjoint, and between the first and the last.
    holes: Arc<[Span]>,
}

/// The first and the last address, inclusive.
type Span = (u128, u128);

impl Range {
    pub fn new(range: &crds::podconfig::Range) -> Result<Self, String> {
        let cidr = range.cidr.network();
        check_members(range, cidr)?;
        let (lowest, highest) = (number(cidr.network()), number(cidr.broadcast()));
        let first = range.start.map_or(lowest, number);
        let last = range.end.map_or(highest, number);
        if first > last {
            let (start, end) = (address(cidr, first), address(cidr, last));
            return Err(format!(
                "the range {cidr} starts at {start}, after its end {end}"
            ));
        }
        let mut holes = unusable(cidr, lowest, highest);
        holes.extend(range.gateway.map(|gateway| alone(number(gateway))));
        holes.extend(range.exclude.iter().map(|hole| span(hole.network())));
        let usable = Self {
            cidr,
            first,
            last,
            holes: tidy(holes, first, last),
        };
        match usable.count() {
            0 => Err(format!(
                "the range {usable} has no usable address: its network, broadcast, gateway and excluded \
                 addresses are all of it"
            )),
            _ => Ok(usable),
        }
    }

    /// The network of the addresses.
    pub fn cidr(&self) -> IpNetwork {
        self.cidr
    }

    /// The first and the last address, allocatable or not.
    pub fn bounds(&self) -> (IpAddr, IpAddr) {
        (
            address(self.cidr, self.first),
            address(self.cidr, self.last),
        )
    }

    /// The number of allocatable addresses.
    pub fn count(&self) -> u128 {
        // A prefix length is at least 8, so that the sum can not overflow.
        let holes = self.holes.iter().map(|(start, end)| end - start + 1);
        (self.last - self.first).saturating_add(1) - holes.sum::<u128>()
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        let at = number(ip);
        ip.is_ipv4() == self.cidr.is_ipv4()
            && (self.first..=self.last).contains(&at)
            && !self.is_in_hole(at)
    }

    /// The allocatable address of this index, from 0.
    pub fn nth(&self, n: u128) -> Option<IpAddr> {
        if n >= self.count() {
            return None;
        }
        let mut at = self.first + n;
        for &(start, end) in self.holes.iter() {
            if start > at {
                break;
            }
            at += end - start + 1;
        }
        Some(address(self.cidr, at))
    }

    /// The range without the addresses of these networks.
    pub fn without(&self, others: impl IntoIterator<Item = IpNetwork>) -> Self {
        let of_family = |network: &IpNetwork| network.is_ipv4() == self.cidr.is_ipv4();
        let others = others.into_iter().filter(of_family).map(span);
        let holes = self.holes.iter().copied().chain(others).collect();
        Self {
            holes: tidy(holes, self.first, self.last),
            ..self.clone()
        }
    }

    /// The part of the range between these; `None` if it is empty.
    pub fn between(&self, lowest: IpAddr, highest: IpAddr) -> Option<Self> {
        let (first, last) = (
            self.first.max(number(lowest)),
            self.last.min(number(highest)),
        );
        (first <= last).then(|| Self {
            cidr: self.cidr,
            first,
            last,
            holes: tidy(self.holes.to_vec(), first, last),
        })
    }

    fn is_in_hole(&self, at: u128) -> bool {
        let behind = self.holes.partition_point(|&(start, _)| start <= at);
        let nearest = behind.checked_sub(1).map(|index| self.holes[index]);
        nearest.is_some_and(|(_, end)| at <= end)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.cidr)?;
        let whole = (number(self.cidr.network()), number(self.cidr.broadcast()));
        match (self.first, self.last) == whole {
            true => Ok(()),
            false => {
                let (first, last) = self.bounds();
                write!(out, " ({first} to {last})")
            }
        }
    }
}

/// The address as a number within its family.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address of this number in the family of `like`.
fn address(like: IpNetwork, number: u128) -> IpAddr {
    match like {
        // Only numbers between two addresses of the family get here.
        IpNetwork::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpNetwork::V6(_) => Ipv6Addr::from(number).into(),
    }
}

fn check_members(range: &crds::podconfig::Range, cidr: IpNetwork) -> Result<(), String> {
    let named = [
        ("starts at", range.start),
        ("ends at", range.end),
        ("has the gateway", range.gateway.filter(|ip| !is_local(*ip))),
    ];
    for (relation, ip) in named {
        let Some(ip) = ip else { continue };
        if ip.is_ipv4() != cidr.is_ipv4() {
            return Err(format!(
                "the range {cidr} {relation} {ip}, which is of the other address family"
            ));
        }
        if !cidr.contains(ip) {
            return Err(format!(
                "the range {cidr} {relation} {ip}, which is outside of it"
            ));
        }
    }
    let outside = range
        .exclude
        .iter()
        .find(|hole| !range.cidr.holds(hole.network()));
    match outside {
        Some(hole) => Err(format!(
            "the range {cidr} excludes {hole}, which is not inside of it"
        )),
        None => Ok(()),
    }
}

/// `fe80::1` is a common address of routers.
fn is_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The network's own address, and its broadcast address (RFC 4291 has an anycast address of the routers for the first
/// and none for the second). A point-to-point link has neither (RFC 3021, RFC 6164).
fn unusable(cidr: IpNetwork, lowest: u128, highest: u128) -> Vec<Span> {
    match (cidr, highest - lowest) {
        (_, 0 | 1) => Vec::new(),
        (IpNetwork::V4(_), _) => vec![alone(lowest), alone(highest)],
        (IpNetwork::V6(_), _) => vec![alone(lowest)],
    }
}

fn alone(at: u128) -> Span {
    (at, at)
}

fn span(network: IpNetwork) -> Span {
    (number(network.network()), number(network.broadcast()))
}

/// Sorts and merges the spans, and clips them to the bounds.
fn tidy(mut holes: Vec<Span>, first: u128, last: u128) -> Arc<[Span]> {
    holes.retain(|&(start, end)| start <= last && end >= first);
    holes.sort_unstable();
    let mut tidied: Vec<Span> = Vec::with_capacity(holes.len());
    for (start, end) in holes {
        let (start, end) = (start.max(first), end.min(last));
        match tidied.last_mut() {
            Some((_, before)) if start <= before.saturating_add(1) => *before = end.max(*before),
            _ => tidied.push((start, end)),
        }
    }
    tidied.into()
}

#[cfg(test)]
mod tests;
