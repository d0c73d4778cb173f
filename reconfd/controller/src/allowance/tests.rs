#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn policy(name: &str, tier: &str, more: Value) -> PodConfigPolicy {
    let mut spec = json!({"namespaceSelector": {"matchLabels": {"tier": tier}}});
    spec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    PodConfigPolicy::new(name, serde_json::from_value(spec).unwrap())
}

fn bridges(address: &str) -> Value {
    json!({"veth": {"bridges": "Own"}, "addresses": [address]})
}

fn of(policies: &[PodConfigPolicy]) -> PodConfigAllowanceSpec {
    let labels = BTreeMap::from([("tier".to_owned(), "cnf".to_owned())]);
    effective(policies, &labels)
}

#[test]
fn the_rules_of_all_policies_that_select_the_namespace_stand_in_the_order_of_their_names() {
    let policies = [
        policy("b", "cnf", json!({"allow": [bridges("10.2.0.0/16")]})),
        policy("z", "web", json!({"allow": [bridges("10.9.0.0/16")]})),
        policy(
            "a",
            "cnf",
            json!({"allow": [bridges("10.0.0.0/16"), bridges("10.1.0.0/16")]}),
        ),
    ];
    let allowance = of(&policies);
    let spec = serde_json::to_value(&allowance).unwrap();
    let networks = ["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"];
    assert_eq!(spec["policies"], json!(["a", "b"]));
    assert_eq!(spec["allow"], json!(networks.map(bridges)));
    assert_eq!(spec["summary"], json!({"policies": "a,b", "rules": 3}));
    assert!(allowance.complete && allowance.limits.is_none());
}

#[test]
fn of_several_limits_the_highest_of_each_counts() {
    let policies = [
        policy("a", "cnf", json!({"limits": {"linksPerPod": 8}})),
        policy(
            "b",
            "cnf",
            json!({"limits": {"linksPerPod": 4, "podsPerNamespace": 100}}),
        ),
        policy("c", "cnf", json!({})),
    ];
    let limits = of(&policies).limits;
    let both = json!({"linksPerPod": 8, "podsPerNamespace": 100});
    assert_eq!(serde_json::to_value(limits).unwrap(), both);
}

#[test]
fn a_namespace_that_no_policy_selects_has_an_allowance_that_allows_nothing() {
    let other = [policy(
        "z",
        "web",
        json!({"allow": [bridges("10.9.0.0/16")]}),
    )];
    let emptied = of(&other);
    assert!(emptied.allow.is_empty() && emptied.policies.is_empty());
    assert!(
        emptied.complete,
        "admission can judge that nothing is allowed"
    );
}

#[test]
fn more_rules_than_an_allowance_holds_are_left_to_the_daemons() {
    let hundred = |name: &str| {
        let rules: Vec<Value> = (0..60)
            .map(|n| json!({"veth": {"hostBridges": [format!("{name}{n}")]}}))
            .collect();
        policy(name, "cnf", json!({"allow": rules}))
    };
    let names = ["a", "b", "c", "d", "e"].map(hundred);
    let few = of(&names[..4]);
    assert!(few.complete && few.allow.len() == 240);
    let many = of(&names);
    assert_eq!(
        (many.allow.len(), many.summary.rules, many.complete),
        (MOST_RULES, 300, false)
    );
}

#[test]
fn rules_that_are_too_large_together_are_left_to_the_daemons() {
    let interfaces: Vec<String> = (0..64).map(|n| format!("interface-{n:05}")).collect();
    let prefixes: Vec<String> = (0..16)
        .map(|n| format!("fd00:1111:2222:3333:4444:5555:6666:{n:x}/128"))
        .collect();
    let rule = json!({
        "veth": {"hostBridges": interfaces}, "addresses": prefixes, "routes": prefixes,
        "vlan": {"parents": interfaces, "portParents": interfaces, "ids": [{"min": 1, "max": 1}]},
    });
    let rules: Vec<&Value> = std::iter::repeat_n(&rule, 64).collect();
    let policies = ["a", "b", "c", "d"].map(|name| policy(name, "cnf", json!({"allow": rules})));
    let allowance = of(&policies);
    assert!(!allowance.complete && allowance.allow.len() < 256);
    let size = serde_json::to_vec(&allowance).unwrap().len();
    assert!((900_000..1_100_000).contains(&size), "{size}");
}

#[test]
fn of_several_words_on_net_admin_the_strict_one_counts() {
    let report = |words: &[Value]| {
        let policies: Vec<_> = words
            .iter()
            .enumerate()
            .map(|(number, word)| policy(&format!("p{number}"), "cnf", word.clone()))
            .collect();
        serde_json::to_value(of(&policies)).unwrap()["netAdmin"].clone()
    };
    let (any, strict) = (
        json!({"netAdmin": "Any"}),
        json!({"netAdmin": "UserNamespace"}),
    );
    assert_eq!(
        report(&[any.clone(), strict.clone(), json!({})]),
        json!("UserNamespace")
    );
    assert_eq!(report(&[any, json!({})]), Value::Null);
}
