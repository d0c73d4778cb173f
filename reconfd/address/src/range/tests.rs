#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn range(value: Value) -> Result<Range, String> {
    Range::new(&serde_json::from_value(value).unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_network_gives_out_all_but_its_own_and_its_broadcast_address() {
    let range = range(json!({"cidr": "10.99.0.0/24"})).unwrap();
    assert_eq!(range.count(), 254);
    assert_eq!(range.nth(0), Some(ip("10.99.0.1")));
    assert_eq!(range.nth(253), Some(ip("10.99.0.254")));
    assert_eq!(range.nth(254), None);
    for outside in ["10.99.0.0", "10.99.0.255", "10.99.1.1", "::a63:1"] {
        assert!(!range.contains(ip(outside)), "{outside}");
    }
}

#[test]
fn of_two_addresses_both_are_given_out_and_ipv6_has_no_broadcast() {
    let count = |cidr: &str| range(json!({"cidr": cidr})).unwrap().count();
    assert_eq!(count("10.99.0.0/31"), 2);
    assert_eq!(count("fd99::/127"), 2);
    assert_eq!(count("10.99.0.0/30"), 2);
    assert_eq!(count("fd99::/126"), 3);
}

#[test]
fn the_gateway_and_what_is_excluded_are_stepped_over() {
    let range = range(json!({
        "cidr": "10.99.0.0/24", "start": "10.99.0.0", "end": "10.99.0.9",
        "gateway": "10.99.0.1", "exclude": ["10.99.0.4/30"],
    }))
    .unwrap();
    let all: Vec<String> = (0..range.count())
        .map(|n| range.nth(n).unwrap().to_string())
        .collect();
    assert_eq!(
        all,
        ["10.99.0.2", "10.99.0.3", "10.99.0.8", "10.99.0.9"],
        "{range:?}"
    );
}

#[test]
fn a_range_of_which_nearly_all_is_excluded_answers_at_once() {
    let exclude: Vec<String> = (0..15)
        .map(|n| format!("fd99::{n:x}000:0:0:0/68"))
        .collect();
    let range = range(json!({"cidr": "fd99::/64", "exclude": exclude})).unwrap();
    assert_eq!(range.count(), 1 << 60);
    assert_eq!(range.nth(0), Some(ip("fd99::f000:0:0:0")));
    assert_eq!(
        range.nth((1 << 60) - 1),
        Some(ip("fd99::ffff:ffff:ffff:ffff"))
    );
}

#[test]
fn what_can_not_be_a_range_says_why() {
    let refusals = [
        (
            json!({"cidr": "10.99.0.0/24", "start": "10.99.0.9", "end": "10.99.0.3"}),
            "after its end",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "start": "fd99::1"}),
            "the other address family",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "end": "10.98.0.1"}),
            "ends at 10.98.0.1, which is outside",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "gateway": "10.98.0.1"}),
            "has the gateway 10.98.0.1",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "exclude": ["10.98.0.0/24"]}),
            "excludes 10.98.0.0/24",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "exclude": ["10.0.0.0/8"]}),
            "is not inside of it",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "exclude": ["10.99.0.0/24"]}),
            "has no usable address",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "exclude": ["10.99.0.0/25", "10.99.0.128/25"]}),
            "has no usable address",
        ),
        (
            json!({"cidr": "10.99.0.0/24", "start": "10.99.0.1", "end": "10.99.0.1", "gateway": "10.99.0.1"}),
            "has no usable address",
        ),
    ];
    for (value, words) in refusals {
        let refused = range(value.clone()).unwrap_err();
        assert!(refused.contains(words), "{value}: {refused}");
    }
    assert!(range(json!({"cidr": "fd99::/64", "gateway": "fe80::1"})).is_ok());
}

#[test]
fn the_widest_ranges_are_counted() {
    let count = |cidr: &str| range(json!({"cidr": cidr})).unwrap().count();
    assert_eq!(count("10.0.0.0/8"), (1 << 24) - 2);
    assert_eq!(count("fd00::/8"), (1 << 120) - 1);
}

/// A range in a small network, and what of it others have.
fn small() -> impl Strategy<Value = (crds::podconfig::Range, Vec<IpNetwork>)> {
    let hole = (0u32..64, 27u8..=32);
    let holes = proptest::collection::vec(hole, 0..5);
    (any::<bool>(), 26u8..=31, 0u32..64, 0u32..64, 0u32..64, holes.clone(), holes).prop_map(
        |(is_v6, length, start, end, gateway, exclude, others)| {
            let at = |offset: u32, length: u8| {
                let (size, bits) = (1 << (32 - length), offset % 64);
                let base = bits / size * size;
                match is_v6 {
                    true => format!("fd99::{base:x}/{}", length + 96),
                    false => format!("10.99.0.{base}/{length}"),
                }
            };
            let inside = |offset: u32| offset % (1 << (32 - length));
            let alone = |offset: u32| at(inside(offset), 32).split('/').next().unwrap().to_owned();
            let exclude: Vec<String> = exclude
                .into_iter()
                .map(|(offset, longer)| at(inside(offset), longer.max(length)))
                .collect();
            let value = json!({
                "cidr": at(0, length), "start": alone(start), "end": alone(end), "gateway": alone(gateway),
                "exclude": exclude,
            });
            let others = others.into_iter().map(|(offset, length)| at(offset, length).parse().unwrap());
            (serde_json::from_value(value).unwrap(), others.collect())
        },
    )
}

/// One address after the other, as nobody would do it.
fn naive(range: &crds::podconfig::Range, others: &[IpNetwork]) -> BTreeSet<IpAddr> {
    let cidr = range.cidr.network();
    let is_pair = number(cidr.broadcast()) - number(cidr.network()) <= 1;
    let is_usable = |ip: &IpAddr| {
        let is_end = *ip == cidr.network() || cidr.is_ipv4() && *ip == cidr.broadcast();
        (is_pair || !is_end)
            && range.start.is_none_or(|start| *ip >= start)
            && range.end.is_none_or(|end| *ip <= end)
            && range.gateway != Some(*ip)
            && !range
                .exclude
                .iter()
                .any(|hole| hole.network().contains(*ip))
            && !others.iter().any(|other| other.contains(*ip))
    };
    cidr.iter().filter(is_usable).collect()
}

proptest! {
    #[test]
    fn arithmetic_says_what_walking_would((wish, others) in small()) {
        let (all, free) = (naive(&wish, &[]), naive(&wish, &others));
        match Range::new(&wish) {
            Err(_) => prop_assert!(all.is_empty()),
            Ok(range) => {
                prop_assert_eq!(range.count(), all.len() as u128);
                let range = range.without(others);
                prop_assert_eq!(range.count(), free.len() as u128);
                let given: BTreeSet<IpAddr> = (0..range.count()).filter_map(|n| range.nth(n)).collect();
                prop_assert_eq!(&given, &free);
                for ip in wish.cidr.network().iter() {
                    prop_assert_eq!(range.contains(ip), free.contains(&ip));
                }
            }
        }
    }
}
