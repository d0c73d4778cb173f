//! Pure: how full the ranges of PodConfigs are. Every claim counts, whoever made it: an address is free for
//! nobody or for everybody.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use crds::{
    PodConfig,
    podconfig::{AddressUse, PodConfigStatus, RangeUse},
};

use crate::address::range::Range;

/// Addresses that are claimed, by routing domain.
#[derive(Debug, Default)]
pub struct Taken {
    by_name: HashMap<String, (String, IpAddr)>,
    by_domain: HashMap<String, BTreeSet<IpAddr>>,
}

/// A range of a link, as it is asked for.
pub struct Asked {
    link: String,
    domain: String,
    range: Range,
}

impl Taken {
    /// Takes down a claim of this name, or that it is gone; the address that is claimed or free since.
    pub fn take(
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
        let between = of_domain.flat_map(|taken| taken.range(first..=last));
        between.filter(|address| range.contains(**address)).count()
    }
}

/// The ranges that a PodConfig asks for; one that makes no sense gives no address.
pub fn asked(config: &PodConfig) -> Vec<Asked> {
    let links = config.spec.links.iter();
    let ranges = links.flat_map(|link| link.ranges().iter().map(move |range| (link, range)));
    let asked = ranges.filter_map(|(link, range)| {
        Some(Asked {
            link: link.name.clone(),
            domain: link.domain().to_owned(),
            range: Range::new(range).ok()?,
        })
    });
    asked.collect()
}

/// Whether one of them may give out this address.
pub fn hold(asked: &[Asked], (domain, address): &(String, IpAddr)) -> bool {
    asked
        .iter()
        .any(|asked| asked.domain == *domain && asked.range.contains(*address))
}

/// Says in the status how full they are.
pub fn tell(asked: &[Asked], taken: &Taken, status: &mut PodConfigStatus) {
    let uses = asked.iter().map(|asked| {
        let used = taken.used(&asked.domain, &asked.range);
        RangeUse {
            link: asked.link.clone(),
            domain: asked.domain.clone(),
            cidr: crds::Cidr::of(asked.range.cidr()),
            used: i64::try_from(used).unwrap_or(i64::MAX),
            free: asked.range.count().saturating_sub(used as u128).to_string(),
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
        let (mut taken, asked) = (Taken::default(), asked(&config()));
        for (name, address) in [
            ("a", "10.7.0.9"),
            ("b", "10.7.0.10"),
            ("c", "10.8.0.9"),
            ("d", "fd07::9"),
        ] {
            assert_eq!(taken.take(name, claim(address)), claim(address));
            assert_eq!(taken.take(name, claim(address)), None, "nothing new");
        }
        // Listed by somebody, and never given out.
        taken.take("e", claim("10.7.0.1"));
        taken.take("f", Some(("other".into(), "10.7.0.11".parse().unwrap())));
        let mut status = PodConfigStatus::default();
        tell(&asked, &taken, &mut status);
        assert_eq!(status.addresses.used, "2,1");
        assert_eq!(status.addresses.free, "251,18446744073709551614");
        assert_eq!(taken.take("a", None), claim("10.7.0.9"));
        assert_eq!(taken.take("a", None), None);
        tell(&asked, &taken, &mut status);
        assert_eq!(
            (status.ranges[0].used, status.ranges[0].free.as_str()),
            (1, "252")
        );
    }

    #[test]
    fn an_address_concerns_whoever_may_give_it_out() {
        let asked = asked(&config());
        assert!(hold(&asked, &claim("10.7.0.9").unwrap()));
        assert!(!hold(&asked, &claim("10.7.0.1").unwrap()));
        assert!(!hold(
            &asked,
            &("other".into(), "10.7.0.9".parse().unwrap())
        ));
    }
}
