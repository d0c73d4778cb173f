//! A claim is called as its address: one that is called otherwise would go round the lock.

use serde_json::{Value, json};

use super::{Claims, is_refused, succeeds, with};
use crate::together::fences::yard::HERE;

const NAME: &str = "the name of a claim is its domain, a dot and its address";
const ADDRESS: &str = "write one IP address as short as it can be";

/// An address, what the claim is called behind its domain, and what is said to it.
const FORGED: &[(&str, &str, &str)] = &[
    ("10.9.1.1", "10.9.1.2", NAME),
    ("10.9.1.1", "10.9.1", NAME),
    ("10.9.1.1", "10.9.1.1.1", NAME),
    ("10.9.1.1", "010.009.001.001", NAME),
    ("10.9.1.1", "0000.0000.0000.0000.0000.ffff.0a09.0101", NAME),
    ("10.9.1.1", "x.10.9.1.1", NAME),
    ("fd99::10", "fd99.0000.0000.0000.0000.0000.0000.0011", NAME),
    ("fd99::10", "fd99.0.0.0.0.0.0.10", NAME),
    ("fd99::10", "fd99.0000.0000.0000.0000.0000.0000.010", NAME),
    ("fd99::10", "fd99.0000.0000.0000.0000.0000.0000.00010", NAME),
    (
        "fd99::10",
        "fd99.0000.0000.0000.0000.0000.0000.0010.0",
        NAME,
    ),
    ("fd99::10", "fd990000000000000000000000000000.0010.00", NAME),
    ("fd99::10", "fd99--10", NAME),
    ("fd99::10", "10.9.1.1", NAME),
    (
        "::ffff:10.9.1.1",
        "0000.0000.0000.0000.0000.ffff.0a09.0101",
        ADDRESS,
    ),
    (
        "::ffff:a09:101",
        "0000.0000.0000.0000.0000.ffff.0a09.0101",
        ADDRESS,
    ),
    ("::ffff:10.9.1.1", "10.9.1.1", ADDRESS),
    (
        "FD99::10",
        "fd99.0000.0000.0000.0000.0000.0000.0010",
        ADDRESS,
    ),
    (
        "fd99:0::10",
        "fd99.0000.0000.0000.0000.0000.0000.0010",
        ADDRESS,
    ),
    (
        "fd99:0:0:0:0:0:0:10",
        "fd99.0000.0000.0000.0000.0000.0000.0010",
        ADDRESS,
    ),
    (
        "fe80::1%eth0",
        "fe80.0000.0000.0000.0000.0000.0000.0001",
        ADDRESS,
    ),
    ("010.9.1.1", "010.9.1.1", ADDRESS),
    ("10.9.1.1/24", "10.9.1.1", ADDRESS),
    ("10.9.1", "10.9.1", ADDRESS),
    ("1٠.9.1.1", "10.9.1.1", ADDRESS),
    ("", "10.9.1.1", ADDRESS),
];

#[test]
fn no_claim_is_called_otherwise_than_its_address() {
    let claims = Claims::new("claim-names");
    let right = claims.of("10.9.1.1", HERE, "1");
    for (address, name, why) in FORGED {
        let forged = with(right.clone(), "/spec/address", json!(address));
        let name = format!("{}.{name}", claims.domain);
        let forged = with(forged, "/metadata/name", json!(name));
        is_refused(claims.here.makes(&forged.to_string()), why);
    }
    let unnamed = with(
        right.clone(),
        "/metadata",
        json!({"generateName": format!("{}.", claims.domain)}),
    );
    is_refused(claims.here.makes(&unnamed.to_string()), NAME);
    let bare = with(right.clone(), "/metadata/name", json!("10.9.1.1"));
    is_refused(claims.here.makes(&bare.to_string()), NAME);
    for address in ["10.9.1.1", "fd99::10", "2001:db8::", "240.0.0.1"] {
        succeeds(
            claims
                .here
                .makes(&claims.of(address, HERE, "1").to_string()),
        );
    }
}

#[test]
fn a_domain_is_one_label_and_belongs_to_the_name() {
    let claims = Claims::new("claim-domains");
    let in_domain = |domain: &str| -> Value {
        let claim = with(
            claims.of("10.9.1.1", HERE, "1"),
            "/spec/domain",
            json!(domain),
        );
        with(claim, "/metadata/name", json!(format!("{domain}.10.9.1.1")))
    };
    let why = "a domain has only lower-case letters, digits and '-'";
    for domain in ["a.b", "a.10", "-a", "a-"] {
        let said =
            crate::support::kubectl::refusal(claims.here.makes(&in_domain(domain).to_string()));
        assert!(
            said.contains(why) || said.contains("RFC 1123"),
            "{domain}: {said}"
        );
    }
    is_refused(
        claims.here.makes(&in_domain(&"d".repeat(64)).to_string()),
        "63",
    );
    let other = with(
        claims.of("10.9.1.1", HERE, "1"),
        "/spec/domain",
        json!("another"),
    );
    is_refused(claims.here.makes(&other.to_string()), NAME);
}

#[test]
fn a_claim_says_whose_it_is() {
    let claims = Claims::new("claim-fields");
    let right = claims.of("10.9.1.1", HERE, "1");
    for pointer in [
        "/spec/link",
        "/spec/pod/name",
        "/spec/pod/namespace",
        "/spec/pod/uid",
    ] {
        for value in [json!(""), json!(null), json!(7)] {
            let wrong = with(right.clone(), pointer, value);
            let said = crate::support::kubectl::refusal(claims.here.makes(&wrong.to_string()));
            let field = pointer[1..].replace('/', ".");
            assert!(said.contains(&field), "{field}: {said}");
        }
    }
}
