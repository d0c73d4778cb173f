#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn judgeable(rules: Vec<Value>) -> bool {
    let rules: Vec<Rule> = serde_json::from_value(Value::from(rules)).unwrap();
    fits_admission(&rules)
}

fn many(count: usize, rule: impl Fn(usize) -> Value) -> bool {
    judgeable((0..count).map(rule).collect())
}

/// The rule with every list that does not tell its place as full as it may be.
fn full(mut rule: Value) -> Value {
    let networks: Vec<String> = (0..16).map(|n| format!("fd00:{n}::/32")).collect();
    let ranges: Vec<Value> = (1..17).map(|n| json!({"min": n, "max": n})).collect();
    rule["addresses"] = json!(networks);
    rule["routes"] = json!(networks);
    rule["domains"] = (0..16).map(|n| format!("domain-{n}")).collect();
    rule["tables"] = json!(ranges);
    if rule["vxlan"].is_object() {
        rule["vxlan"]["ports"] = json!(ranges);
        rule["vxlan"]["peers"] = json!(networks);
        rule["vxlan"]["groups"] = json!(["ff05::/16"]);
    }
    rule
}

fn vlan(parent: &str, ids: &[(usize, usize)]) -> Value {
    json!({"vlan": {"parents": [parent], "ids": ranges(ids)}})
}

fn vxlan(vnis: &[(usize, usize)], peers: usize) -> Value {
    let peers: Vec<String> = (0..peers).map(|n| format!("fd77:{n}::/32")).collect();
    json!({"vxlan": {"underlays": ["u0"], "vnis": ranges(vnis), "peers": peers}})
}

fn ranges(of: &[(usize, usize)]) -> Value {
    of.iter()
        .map(|(min, max)| json!({"min": min, "max": max}))
        .collect()
}

#[test]
fn what_administrators_usually_write_is_judged_at_once() {
    assert!(judgeable(vec![]));
    assert!(judgeable(vec![
        json!({"veth": {"bridges": "Own"}, "addresses": ["192.168.0.0/16"], "routes": ["172.20.0.0/16"]}),
        vlan("trunk0", &[(100, 199)]),
        vxlan(&[(10000, 10999)], 1),
    ]));
}

#[test]
fn sixteen_rules_may_match_alike_and_no_more() {
    let places: [&dyn Fn(usize) -> Value; 6] = [
        &|_| json!({"veth": {"bridges": "Own"}}),
        &|_| json!({"veth": {"routed": {}}}),
        &|n| json!({"veth": {"hostBridges": [format!("br{n}"), "br-lan"]}}),
        &|_| vlan("trunk0", &[(100, 199)]),
        &|n| vlan("trunk0", &[(100 + n, 200)]),
        &|n| vxlan(&[(1, 1 + n), (1000, 1000)], 1),
    ];
    for (number, place) in places.iter().enumerate() {
        assert!(many(16, place), "sixteen of place {number}");
        assert!(!many(17, place), "seventeen of place {number}");
    }
}

#[test]
fn a_vlan_on_a_link_of_the_pod_meets_the_rules_of_all_parents() {
    assert!(!many(17, |n| vlan(&format!("trunk{n}"), &[(100, 199)])));
}

#[test]
fn rules_for_other_places_and_numbers_do_not_match_alike() {
    assert!(many(256, |n| vlan("trunk0", &[(n + 1, n + 1)])));
    assert!(many(256, |n| vxlan(&[(n + 1, n + 1)], 16)));
    assert!(many(
        256,
        |n| json!({"veth": {"hostBridges": [format!("br{n}")]}})
    ));
    assert!(many(48, |n| match n % 3 {
        0 => json!({"veth": {"bridges": "Own"}}),
        1 => vlan("trunk0", &[(100, 199)]),
        _ => json!({"veth": {"routed": {}}}),
    }));
}

#[test]
fn ranges_match_alike_only_where_they_meet() {
    let stairs = |n: usize| vlan("trunk0", &[(1 + 10 * n, 20 + 10 * n)]);
    assert!(many(200, stairs), "two meet at each id");
    let wide = |n: usize| vlan("trunk0", &[(1 + 10 * n, 170 + 10 * n)]);
    assert!(!many(200, wide), "seventeen meet");
}

#[test]
fn more_rules_than_an_allowance_holds_are_not_judged() {
    assert!(!many(257, |n| vlan("trunk0", &[(n + 1, n + 1)])));
}

#[test]
fn as_many_and_as_large_rules_as_there_can_be_are_judged_where_one_matches() {
    let spread = |n: usize| -> Vec<(usize, usize)> {
        (0..16).map(|k| (16 * n + k + 1, 16 * n + k + 1)).collect()
    };
    assert!(many(250, |n| full(vlan("trunk0", &spread(n)))));
    assert!(many(256, |n| full(vxlan(&spread(n), 16))));
    assert!(many(256, |n| {
        let bridges: Vec<String> = (0..64).map(|k| format!("br{n}-{k}")).collect();
        full(json!({"veth": {"hostBridges": bridges}}))
    }));
}

#[test]
fn what_sixteen_alike_cost_depends_on_their_lists() {
    let own = || json!({"veth": {"bridges": "Own"}});
    assert!(many(11, |_| full(own())));
    assert!(
        !many(16, |_| full(own())),
        "tables alone are past one expression"
    );
    let without_tables = |_: usize| {
        let mut rule = full(own());
        rule["tables"] = json!([]);
        rule
    };
    assert!(many(16, without_tables));
}

#[test]
fn peers_are_many_so_that_few_full_rules_for_them_match_alike() {
    assert!(many(4, |_| full(vxlan(&[(7, 7)], 16))));
    assert!(!many(5, |_| full(vxlan(&[(7, 7)], 16))));
    assert!(many(16, |_| vxlan(&[(7, 7)], 1)));
    assert!(!many(16, |_| vxlan(&[(7, 7)], 3)));
}

fn cni(more: Value) -> Value {
    let mut rule = json!({"cni": more});
    rule["cni"]["cniArgs"] = (0..16).map(|n| format!("key-{n}")).collect();
    rule["cni"]["hostPorts"] = (1..17).map(|n| json!({"min": n, "max": n})).collect();
    rule
}

fn definition(name: &str) -> Value {
    json!({"definitions": [{"namespace": "networks", "names": [name]}]})
}

#[test]
fn rules_for_the_same_definition_match_alike() {
    assert!(many(16, |_| cni(definition("fast"))));
    assert!(!many(17, |_| cni(definition("fast"))));
    assert!(many(256, |n| cni(definition(&format!("fast-{n}")))));
    // A rule that lists it twice is one.
    let twice = json!({"definitions": [
        {"namespace": "networks", "names": ["fast"]}, {"namespace": "networks", "names": ["fast"]},
    ]});
    assert!(many(16, |_| cni(twice.clone())));
}

/// A definition of the tenant's own matches whatever else they list.
#[test]
fn rules_with_plugins_match_alike_and_with_those_for_any_definition() {
    let plugins = |n: usize| {
        let mut rule = definition(&format!("fast-{n}"));
        rule["plugins"] = json!([{"type": "macvlan"}]);
        cni(rule)
    };
    assert!(many(16, plugins));
    assert!(!many(17, plugins));
    assert!(!many(17, |n| match n {
        0 => cni(definition("fast")),
        _ => plugins(n),
    }));
}

#[test]
fn full_rules_for_the_same_definition_are_few() {
    let rule = |_: usize| full(cni(definition("fast")));
    assert!(many(16, rule));
    // With all the other rules to be searched.
    assert!(!many(256, |n| match n {
        0..16 => rule(n),
        _ => full(cni(json!({"definitions": (0..16).map(|d| {
            json!({"namespace": format!("ns-{n}-{d}"), "names": ["a"]})
        }).collect::<Vec<_>>()}))),
    }));
}
