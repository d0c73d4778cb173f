//! Pure: usage of the address ranges of PodConfigs. Claims of all installations count: an address is free only if
//! none has claimed it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use crds::{
    PodConfig,
    podconfig::{AddressUse, PodConfigStatus, RangeUse},
};

use address::range::Range;

/// Claimed addresses by routing domain.
#[derive(Debug, Default)]
pub struct ClaimedAddresses {
    by_name: HashMap<String, (String, IpAddr)>,
    by_domain: HashMap<String, BTreeSet<IpAddr>>,
}

/// A range of a link.
pub struct RequestedRange {
    link: String,
    domain: String,
    range: Range,
}

impl ClaimedAddresses {
    /// Updates a claim. Returns the address that was claimed or released.
    pub fn update(
        &mut self,
        name: &str,
        claim: Option<(String, IpAddr)>,
    ) -> Option<(String, IpAddr)> {
        match claim {
            Some(claim) if self.by_name.get(name) == Some(&claim) => None,
            Some(claim) => {
                let of_domain = self.by_domain.entry(claim.0.clone()).or_default();
                of_domain.insert(claim.1);
                self.by_name.insert(name.to_owned(), claim.clone());
                Some(claim)
            }
            None => {
                let claim = self.by_name.remove(name)?;
                let of_domain = self.by_domain.get_mut(&claim.0)?;
                of_domain.remove(&claim.1);
                if of_domain.is_empty() {
                    self.by_domain.remove(&claim.0);
                }
                Some(claim)
            }
        }
    }

    fn used(&self, domain: &str, range: &Range) -> usize {
        let (first, last) = range.bounds();
        let of_domain = self.by_domain.get(domain).into_iter();
        let between = of_domain.flat_map(|claimed| claimed.range(first..=last));
        between.filter(|address| range.contains(**address)).count()
    }
}

/// The ranges of a PodConfig. An invalid range is skipped.
pub fn requested(config: &PodConfig) -> Vec<RequestedRange> {
    let links = config.spec.links.iter();
    let ranges = links.flat_map(|link| link.ranges().iter().map(move |range| (link, range)));
    let requested = ranges.filter_map(|(link, range)| {
        Some(RequestedRange {
            link: link.name.clone(),
            domain: link.domain().to_owned(),
            range: Range::new(range).ok()?,
        })
    });
    requested.collect()
}

/// Whether one of the ranges contains this address.
pub fn contain(ranges: &[RequestedRange], (domain, address): &(String, IpAddr)) -> bool {
    ranges
        .iter()
        .any(|range| range.domain == *domain && range.range.contains(*address))
}

/// Sets the usage of the ranges in the status.
pub fn set_usage(
    ranges: &[RequestedRange],
    claimed: &ClaimedAddresses,
    status: &mut PodConfigStatus,
) {
    let uses = ranges.iter().map(|requested| {
        let used = claimed.used(&requested.domain, &requested.range);
        RangeUse {
            link: requested.link.clone(),
            domain: requested.domain.clone(),
            cidr: crds::Cidr::of(requested.range.cidr()),
            used: i64::try_from(used).unwrap_or(i64::MAX),
            free: requested
                .range
                .count()
                .saturating_sub(used as u128)
                .to_string(),
        }
    });
    status.ranges = uses.collect();
    let numbers = |number: fn(&RangeUse) -> String| {
        let numbers = status.ranges.iter().map(number);
        numbers.collect::<Vec<_>>().join(",")
    };
    status.addresses = AddressUse {
        used: numbers(|range| range.used.to_string()),
        free: numbers(|range| range.free.clone()),
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> PodConfig {
        let links = json!([{
            "name": "data0", "veth": {"bridge": "blue"},
            "ipam": {"ranges": [{"cidr": "10.7.0.0/24", "gateway": "10.7.0.1"}, {"cidr": "fd07::/64"}]},
        }]);
        let spec = json!({"podSelector": {}, "links": links});
        PodConfig::new("pool", serde_json::from_value(spec).unwrap())
    }

    fn claim(address: &str) -> Option<(String, IpAddr)> {
        Some(("cluster".into(), address.parse().unwrap()))
    }

    #[test]
    fn every_claim_in_a_range_counts_once() {
        let (mut claimed, ranges) = (ClaimedAddresses::default(), requested(&config()));
        for (name, address) in [
            ("a", "10.7.0.9"),
            ("b", "10.7.0.10"),
            ("c", "10.8.0.9"),
            ("d", "fd07::9"),
        ] {
            assert_eq!(claimed.update(name, claim(address)), claim(address));
            assert_eq!(claimed.update(name, claim(address)), None, "nothing new");
        }
        // Listed statically, never allocated from the range.
        claimed.update("e", claim("10.7.0.1"));
        claimed.update("f", Some(("other".into(), "10.7.0.11".parse().unwrap())));
        let mut status = PodConfigStatus::default();
        set_usage(&ranges, &claimed, &mut status);
        assert_eq!(status.addresses.used, "2,1");
        assert_eq!(status.addresses.free, "251,18446744073709551614");
        assert_eq!(claimed.update("a", None), claim("10.7.0.9"));
        assert_eq!(claimed.update("a", None), None);
        set_usage(&ranges, &claimed, &mut status);
        assert_eq!(
            (status.ranges[0].used, status.ranges[0].free.as_str()),
            (1, "252")
        );
    }

    #[test]
    fn an_address_affects_every_range_that_contains_it() {
        let ranges = requested(&config());
        assert!(contain(&ranges, &claim("10.7.0.9").unwrap()));
        assert!(!contain(&ranges, &claim("10.7.0.1").unwrap()));
        assert!(!contain(
            &ranges,
            &("other".into(), "10.7.0.9".parse().unwrap())
        ));
    }
}
