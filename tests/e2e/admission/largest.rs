//! The largest PodConfig that the schema permits, against the largest allowances that say `complete: true`:
//! it is judged, in words, and inside the budget. All of it in IPv6, which costs most.
//!
//! Processor time of an API server (Kubernetes 1.36) for one request: a PodConfig of one link and three rules
//! takes 13 ms from end to end; the rules of the definition alone 0.21 s for the largest one, 0.18 s of them for its
//! ranges; with them, admission against a single small rule 0.23 s, against 256 full rules of which one is met
//! 0.35 s (veth) and 1.1 s (vlan, vxlan), and with eleven met alike 1.8 s.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::tenant::Tenant;
use policy::admission_cost::fits_admission;

/// How long one request may take on a busy machine; an API server gives up after a minute.
const LIMIT: Duration = Duration::from_secs(40);
const PREFIXES: usize = 16;
const DEVICE: &str = "the-very-one";
/// The ids, or VNIs, of the links.
const NUMBERS: (usize, usize) = (4063, 4094);

fn networks(hit: &str) -> Value {
    let mut networks: Vec<String> = (1..PREFIXES).map(|n| format!("fd0{n:x}:1::/32")).collect();
    networks.push(hit.to_owned());
    json!(networks)
}

/// Ranges of which the last holds what the largest PodConfig asks for, and the others end before it.
fn ranges(below: usize, hit: (usize, usize)) -> Value {
    let mut ranges = numbers(below, PREFIXES - 1);
    ranges.push(json!({"min": hit.0, "max": hit.1}));
    Value::from(ranges)
}

fn numbers(first: usize, count: usize) -> Vec<Value> {
    let single = |n: usize| json!({"min": n, "max": n});
    (first..first + count).map(single).collect()
}

fn names(hit: &str) -> Value {
    let mut names: Vec<String> = (1..64).map(|n| format!("some-device-{n:03}")).collect();
    names.push(hit.to_owned());
    json!(names)
}

/// Routing domains as long as they may be, and alike up to their ends.
fn domains(hit: &str) -> Value {
    let mut domains: Vec<String> = (1..PREFIXES)
        .map(|n| format!("{}-{n:02}", "d".repeat(60)))
        .collect();
    domains.push(hit.to_owned());
    json!(domains)
}

/// Definitions of 16 namespaces, of which the last one has the one in question. No two rules list the same other
/// one, so only those with the same `hit` match alike.
fn definitions(rule: &str, hit: &str) -> Value {
    let of = |namespace: String, name: &str| json!({"namespace": namespace, "names": [format!("{rule}-first"), name]});
    let mut all: Vec<Value> = (1..16)
        .map(|n| of(format!("others-{n:02}"), &format!("{rule}-second")))
        .collect();
    all.push(of("networks".to_owned(), hit));
    json!(all)
}

/// A key of `args`, as long as it may be.
fn arg(number: usize) -> String {
    format!("{}-{number:02}", "k".repeat(60))
}

/// A rule with every list full, which the largest PodConfig meets.
fn met(kind: &str) -> Value {
    let place = match kind {
        "vlan" => {
            json!({"parents": names("x"), "portParents": names(DEVICE), "ids": ranges(3841, NUMBERS), "modes": ["Shared", "Exclusive"]})
        }
        "vxlan" => {
            json!({"underlays": names(DEVICE), "vnis": ranges(3841, NUMBERS), "ports": ranges(1, (4789, 4789)),
            "peers": networks("fd77::/64"), "groups": networks("ff05::/16"), "modes": ["Shared", "Exclusive"]})
        }
        "cni" => {
            json!({"definitions": definitions("met", DEVICE), "cniArgs": (0..16).map(arg).collect::<Vec<_>>(),
            "hostPorts": ranges(1, (30000, 30099))})
        }
        _ => json!({"hostBridges": names(DEVICE), "bridges": "Own"}),
    };
    // Addresses of plugins are in the domain of the cluster.
    let domain = match kind {
        "cni" => "cluster".to_owned(),
        _ => "d".repeat(63),
    };
    json!({kind: place, "domains": domains(&domain), "addresses": networks("fd00:1::/64"), "routes": networks("fd00::/16"),
        "tables": ranges(1, (4_000_000_000, 4_000_000_001)), "macs": "Any", "slaac": "Allowed"})
}

/// One like it, of the same device where that alone does not make it match alike.
fn missed(kind: &str, number: usize) -> Value {
    let mut rule = met(kind);
    // Long ones in all of the rules would be more than an allowance holds.
    rule["domains"] = (0..PREFIXES).map(|n| format!("lab-{n:02}")).collect();
    match kind {
        "vlan" => rule["vlan"]["ids"] = json!(numbers(1 + 15 * number, 15)),
        "vxlan" => rule["vxlan"]["vnis"] = json!(numbers(1 + 15 * number, 15)),
        "cni" => {
            rule["cni"]["definitions"] =
                definitions(&format!("rule-{number}"), &format!("another-{number}"));
            rule["cni"]["cniArgs"] = json!([]);
        }
        _ => {
            let names: Vec<String> = (0..64).map(|k| format!("br-{number}-{k}")).collect();
            rule["veth"] = json!({"hostBridges": names});
        }
    }
    rule
}

/// So many rules, of which the last `alike` are met.
fn rules(kind: &str, all: usize, alike: usize) -> Value {
    let missed = (0..all - alike).map(|number| missed(kind, number));
    missed.chain((0..alike).map(|_| met(kind))).collect()
}

/// With as many as the allowance still calls complete.
fn most_alike(kind: &str, all: usize) -> usize {
    let fits_admission = |alike: &usize| {
        let rules: Vec<crds::policy::Rule> =
            serde_json::from_value(rules(kind, all, *alike)).expect("rules");
        fits_admission(&rules)
    };
    (1..=16).rev().find(fits_admission).expect("one is judged")
}

/// 32 links with 8 addresses, 4 ranges, 16 routes and, in a tunnel, 64 peers each; each thing is held by the last
/// entry of a list.
fn links(kind: &str) -> Vec<Value> {
    let link = |n: usize| {
        let addresses: Vec<String> = (1..=8)
            .map(|k| format!("fd00:1::{:x}/24", n * 8 + k))
            .collect();
        let routes: Vec<Value> = (0..16)
            .map(|k| json!({"to": format!("fd00:9:{k}:{n}::/64"), "table": 4_000_000_001_u32}))
            .collect();
        let peers: Vec<String> = (1..=64).map(|k| format!("fd77::{k:x}")).collect();
        let place = match kind {
            "vlan" => json!({"parent": DEVICE, "id": NUMBERS.0 + n, "mode": "Exclusive"}),
            "vxlan" => {
                json!({"underlay": DEVICE, "vni": NUMBERS.0 + n, "peers": {"addresses": peers}})
            }
            _ => json!({"hostBridge": DEVICE}),
        };
        json!({"name": format!("l{n}"), kind: place, "addresses": addresses, "ipam": ipam(), "routes": routes, "mac": "02:00:00:00:00:01", "slaac": "Accept"})
    };
    match kind {
        "cni" => (0..32).map(attached).collect(),
        _ => (0..32).map(link).collect(),
    }
}

/// A link of plugins, with all that a PodConfig itself may ask of them.
fn attached(number: usize) -> Value {
    let addresses: Vec<String> = (1..=8)
        .map(|k| format!("fd00:1::{:x}/24", number * 8 + k))
        .collect();
    let args: Map<String, Value> = (0..16).map(|n| (arg(n), json!("v".repeat(253)))).collect();
    let ports: Vec<Value> = (0..16)
        .map(|n| json!({"hostPort": 30000 + n, "containerPort": 80}))
        .collect();
    let cni = json!({"networkAttachmentDefinition": format!("networks/{DEVICE}"), "args": args, "portMappings": ports});
    json!({"name": format!("l{number}"), "cni": cni, "addresses": addresses, "mac": "02:00:00:00:00:01"})
}

/// Ranges of which each leaves out as much as it may.
fn ipam() -> Value {
    let range = |n: usize| {
        let exclude: Vec<String> = (0..16)
            .map(|k| format!("fd00:1:0:0:{n:x}:0:{k:x}:0/112"))
            .collect();
        json!({"cidr": format!("fd00:1:0:0:{n:x}::/80"), "start": format!("fd00:1::{n:x}:0:20:1"),
            "end": format!("fd00:1::{n:x}:ffff:ffff:fffe"), "gateway": format!("fd00:1::{n:x}:0:20:0"), "exclude": exclude})
    };
    let ranges: Vec<Value> = (1..=4).map(range).collect();
    json!({"domain": "d".repeat(63), "ranges": ranges})
}

fn are_judged(kind: &str, allow: &Value, mut links: Vec<Value>, what: &str) {
    let name = format!("adm-{kind}-{}", what.replace(' ', "-"));
    let tenant = Tenant::new(&name, allow, None);
    let start = Instant::now();
    assert_eq!(tenant.says("x", &links), Ok(()));
    let to_allow = start.elapsed();
    let off = match kind {
        "cni" => {
            links[31]["addresses"][7] = json!("fd99::1/64");
            "address fd99::1/64"
        }
        _ => {
            links[31]["routes"][15]["to"] = json!("fd99::/64");
            "route to fd99::/64"
        }
    };
    let start = Instant::now();
    let said = tenant.says("x", &links).expect_err("that is not allowed");
    let to_refuse = start.elapsed();
    let words =
        format!("link l31: {off} is not allowed on such a link; the allowance lists fd01:1::/32, ");
    assert!(said.starts_with(&words), "{said}");
    println!(
        "{kind}, {what}: {to_allow:.2?} to allow the largest PodConfig, {to_refuse:.2?} to refuse it"
    );
    assert!(
        to_allow.max(to_refuse) < LIMIT,
        "{to_allow:?} and {to_refuse:?}"
    );
}

#[test]
fn a_full_allowance_of_which_one_rule_is_met() {
    for kind in ["veth", "vlan", "vxlan", "cni"] {
        are_judged(kind, &rules(kind, 256, 1), links(kind), "one of 256");
    }
}

#[test]
fn as_many_full_rules_alike_as_an_allowance_calls_complete() {
    for (kind, all) in [("veth", 256), ("vlan", 256), ("vxlan", 64), ("cni", 128)] {
        let alike = most_alike(kind, all);
        assert!(alike > 3, "{kind}: {alike}");
        are_judged(
            kind,
            &rules(kind, all, alike),
            links(kind),
            &format!("{alike} of {all}"),
        );
    }
}

#[test]
fn sixteen_alike_without_tables() {
    for kind in ["veth", "vlan"] {
        let mut allow = rules(kind, 256, 16);
        for rule in allow.as_array_mut().expect("rules") {
            rule["tables"] = json!([]);
        }
        let mut links = links(kind);
        for route in links
            .iter_mut()
            .flat_map(|link| link["routes"].as_array_mut().expect("routes"))
        {
            route.as_object_mut().expect("a route").remove("table");
        }
        are_judged(kind, &allow, links, "16 of 256");
    }
}
