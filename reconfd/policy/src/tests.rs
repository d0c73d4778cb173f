#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;

/// Links that CNI plugins make.
mod cni;
/// What a rule lets an allowed segment do.
mod grants;
/// What holds for any link and any rules.
mod properties;
/// Links that reach beyond the node.
mod segments;

fn policy(name: &str, spec: Value) -> PodConfigPolicy {
    PodConfigPolicy::new(name, serde_json::from_value(spec).unwrap())
}

fn rules(rules: Value) -> PodConfigPolicy {
    policy("telco", json!({"namespaceSelector": {}, "allow": rules}))
}

fn link(value: Value) -> Link {
    serde_json::from_value(value).unwrap()
}

fn blue(more: Value) -> Link {
    let mut it = json!({"name": "data0", "veth": {"bridge": "blue"}});
    it.as_object_mut()
        .unwrap()
        .append(&mut more.as_object().unwrap().clone());
    link(it)
}

fn check(link: &Link, allow: Value) -> Result<Permit, Rejection> {
    evaluate(link, "tenant-a", &[&rules(allow)])
}

fn learning(link: &Link, allow: Value) -> Result<bool, Rejection> {
    check(link, allow).map(|permit| permit.learning)
}

fn refused(link: &Link, allow: Value) -> String {
    let rejection = check(link, allow).unwrap_err();
    assert_eq!(rejection.reason, Reason::NotAllowed);
    rejection.message
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn without_a_policy_there_is_no_link() {
    assert_eq!(
        evaluate(&blue(json!({})), "tenant-a", &[])
            .unwrap_err()
            .reason,
        Reason::NoPolicy
    );
}

#[test]
fn a_policy_without_rules_allows_nothing_and_is_named() {
    let message = refused(&blue(json!({})), json!([]));
    assert!(message.contains("(telco)"), "{message}");
}

#[test]
fn an_empty_rule_allows_nothing() {
    for place in [
        json!({"bridge": "blue"}),
        json!({"hostBridge": "br-lan"}),
        json!({"routed": {}}),
    ] {
        refused(
            &link(json!({"name": "data0", "veth": place})),
            json!([{}, {"veth": {}}]),
        );
    }
}

#[test]
fn a_rule_allows_what_it_lists_and_the_bridge_does_not_learn() {
    let requested = blue(
        json!({"mtu": 9000, "addresses": ["192.168.100.10/24", "fd00:1::10/64"],
        "routes": [{"to": "172.20.0.0/16"}, {"to": "172.20.1.0/24", "table": 100}]}),
    );
    let allow = json!([{"veth": {"bridges": "Own"}, "addresses": ["192.168.0.0/16", "fd00:1::/32"],
        "routes": ["172.20.0.0/16"], "tables": [{"min": 100, "max": 199}], "macs": "Assigned"}]);
    assert_eq!(learning(&requested, allow), Ok(false));
}

#[test]
fn the_bridge_of_one_rule_and_the_address_of_another_make_no_link() {
    let requested = blue(json!({"addresses": ["10.99.0.10/24"]}));
    let allow = json!([
        {"veth": {"bridges": "Own"}, "addresses": ["192.168.0.0/16"]},
        {"veth": {"hostBridges": ["br-lan"]}, "addresses": ["10.99.0.0/16"]}]);
    let message = refused(&requested, allow);
    assert_eq!(
        message,
        "addresses 10.99.0.10/24 is not among [192.168.0.0/16] (policy telco, rule 1)"
    );
}

#[test]
fn two_policies_do_not_add_up_to_one_rule_either() {
    let bridge = rules(json!([{"veth": {"bridges": "Own"}}]));
    let address = rules(json!([{"addresses": ["10.99.0.0/16"]}]));
    let requested = blue(json!({"addresses": ["10.99.0.10/24"]}));
    assert_eq!(
        evaluate(&requested, "tenant-a", &[&bridge, &address])
            .unwrap_err()
            .reason,
        Reason::NotAllowed
    );
}

#[test]
fn a_second_policy_may_allow_what_the_first_does_not() {
    let first = rules(json!([{"veth": {"routed": {}}}]));
    let second = rules(json!([{"veth": {"bridges": "Own"}}]));
    assert!(evaluate(&blue(json!({})), "tenant-a", &[&first, &second]).is_ok());
}

#[test]
fn a_host_bridge_is_allowed_by_its_name_only() {
    let requested = link(json!({"name": "lan0", "veth": {"hostBridge": "br-x"}}));
    let allow = json!([{"veth": {"bridges": "Own"}}, {"veth": {"hostBridges": ["br-lan"]}}]);
    let message = refused(&requested, allow);
    assert_eq!(
        message,
        r#"veth.hostBridge "br-x" is not among [br-lan] (policy telco, rule 2)"#
    );
    assert!(
        check(
            &requested,
            json!([{"veth": {"hostBridges": ["br-lan", "br-x"]}}])
        )
        .is_ok()
    );
}

#[test]
fn routed_needs_routed() {
    let requested = link(json!({"name": "up0", "veth": {"routed": {}}}));
    assert!(refused(&requested, json!([{"veth": {"bridges": "Own"}}])).starts_with("veth.routed"));
    assert!(check(&requested, json!([{"veth": {"routed": {}}}])).is_ok());
}

#[test]
fn an_address_must_lie_in_a_listed_prefix_of_its_own_family() {
    let requested = blue(json!({"addresses": ["fd99::10/64"]}));
    let message = refused(
        &requested,
        json!([{"veth": {"bridges": "Own"}, "addresses": ["0.0.0.0/0"]}]),
    );
    assert!(
        message.contains("fd99::10/64 is not among [0.0.0.0/0]"),
        "{message}"
    );
}

#[test]
fn a_wide_network_is_a_route_and_is_not_had_for_an_address() {
    let requested = blue(json!({"addresses": ["10.99.0.10/8"]}));
    let narrow = json!([{"veth": {"bridges": "Own"}, "addresses": ["10.99.0.0/16"]}]);
    assert!(
        refused(&requested, narrow)
            .contains("its network 10.0.0.0/8 reaches beyond [10.99.0.0/16]")
    );
    let routed = json!([{"veth": {"bridges": "Own"}, "addresses": ["10.99.0.0/16"], "routes": ["10.0.0.0/8"]}]);
    assert!(check(&requested, routed).is_ok());
}

#[test]
fn a_few_addresses_of_a_wider_network_may_be_given() {
    let requested = blue(json!({"addresses": ["10.99.0.10/24"]}));
    let few = json!([{"veth": {"bridges": "Own"}, "addresses": ["10.99.0.8/29"], "routes": ["10.99.0.0/24"]}]);
    assert!(check(&requested, few).is_ok());
}

#[test]
fn a_default_route_is_allowed_by_no_smaller_prefix() {
    let requested = blue(json!({"routes": [{"to": "0.0.0.0/0"}]}));
    let halves = json!([{"veth": {"bridges": "Own"}, "routes": ["0.0.0.0/1", "128.0.0.0/1"]}]);
    assert!(refused(&requested, halves).starts_with("routes to 0.0.0.0/0"));
    assert!(
        check(
            &requested,
            json!([{"veth": {"bridges": "Own"}, "routes": ["0.0.0.0/0"]}])
        )
        .is_ok()
    );
}

#[test]
fn a_table_must_be_listed_and_main_need_not() {
    let rule = json!([{"veth": {"bridges": "Own"}, "routes": ["172.20.0.0/16"], "tables": [{"min": 100, "max": 199}]}]);
    let at = |table: i64| blue(json!({"routes": [{"to": "172.20.0.0/16", "table": table}]}));
    assert!(check(&at(254), rule.clone()).is_ok());
    assert!(check(&at(199), rule.clone()).is_ok());
    for table in [-1, 0, 99, 200, 253, 255] {
        assert!(refused(&at(table), rule.clone()).contains("is not among [100-199]"));
    }
}

#[test]
fn a_table_range_that_ends_before_it_begins_allows_nothing() {
    let requested = blue(json!({"routes": [{"to": "172.20.0.0/16", "table": 150}]}));
    refused(
        &requested,
        json!([{"veth": {"bridges": "Own"}, "routes": ["172.20.0.0/16"], "tables": [{"min": 199, "max": 100}]}]),
    );
}

#[test]
fn a_mac_of_ones_own_needs_any_and_makes_the_bridge_learn() {
    let requested = blue(json!({"mac": "02:00:00:00:00:01"}));
    for macs in [json!({}), json!({"macs": "Assigned"})] {
        let mut rule = json!({"veth": {"bridges": "Own"}});
        rule.as_object_mut()
            .unwrap()
            .extend(macs.as_object().unwrap().clone());
        assert!(refused(&requested, json!([rule])).starts_with("mac 02:00:00:00:00:01"));
    }
    let any = json!([{"veth": {"bridges": "Own"}}, {"veth": {"bridges": "Own"}, "macs": "Any"}]);
    assert_eq!(learning(&requested, any), Ok(true));
}

#[test]
fn of_two_allowing_rules_the_stricter_decides_on_learning() {
    let both = json!([{"veth": {"bridges": "Own"}, "macs": "Any"}, {"veth": {"bridges": "Own"}}]);
    assert_eq!(learning(&blue(json!({})), both), Ok(false));
    let any = json!([{"veth": {"bridges": "Own"}, "macs": "Any"}]);
    assert_eq!(learning(&blue(json!({})), any), Ok(true));
}

#[test]
fn slaac_is_taken_only_where_allowed() {
    let requested = blue(json!({"slaac": "Accept"}));
    refused(&requested, json!([{"veth": {"bridges": "Own"}}]));
    refused(
        &requested,
        json!([{"veth": {"bridges": "Own"}, "slaac": "Denied"}]),
    );
    assert!(
        check(
            &requested,
            json!([{"veth": {"bridges": "Own"}, "slaac": "Allowed"}])
        )
        .is_ok()
    );
    assert!(
        check(
            &blue(json!({"slaac": "Ignore"})),
            json!([{"veth": {"bridges": "Own"}}])
        )
        .is_ok()
    );
}

#[test]
fn a_link_of_no_kind_or_in_two_places_is_invalid_whatever_is_allowed() {
    let all = json!([{"veth": {"bridges": "Own", "hostBridges": ["br-lan"], "routed": {}}}]);
    for odd in [
        json!({"name": "x"}),
        json!({"name": "x", "veth": {}}),
        json!({"name": "x", "veth": {"bridge": "blue", "hostBridge": "br-lan"}}),
        json!({"name": "x", "veth": {"bridge": "blue", "routed": {}}}),
    ] {
        assert_eq!(
            check(&link(odd), all.clone()).unwrap_err().reason,
            Reason::Invalid
        );
    }
}

#[test]
fn what_else_is_wrong_is_counted() {
    let requested = blue(
        json!({"addresses": ["10.0.0.1/24"], "routes": [{"to": "10.1.0.0/16"}], "slaac": "Accept"}),
    );
    let message = refused(&requested, json!([{"veth": {"bridges": "Own"}}]));
    assert!(
        message.ends_with(", and 2 more (policy telco, rule 1)"),
        "{message}"
    );
}

#[test]
fn no_name_can_break_or_flood_a_message() {
    let long = "é".repeat(5000);
    let many: Vec<String> = (0..64)
        .map(|n| format!("br{n}{}\n", "x".repeat(2000)))
        .collect();
    for name in [
        long.as_str(),
        "br\nReady=True",
        "\u{202e}nal-rb",
        "\u{1b}[2J",
    ] {
        let requested = link(json!({"name": "x", "veth": {"hostBridge": name}}));
        let message = refused(&requested, json!([{"veth": {"hostBridges": many}}]));
        assert!(message.len() <= 500, "{} bytes", message.len());
        assert!(
            !message.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{message}"
        );
    }
}

#[test]
fn a_namespace_is_selected_by_its_labels() {
    let cnf = policy(
        "cnf",
        json!({"namespaceSelector": {"matchLabels": {"tier": "cnf"}}}),
    );
    let every = policy("all", json!({"namespaceSelector": {}}));
    let names = |labels| {
        let selected = selecting([&cnf, &every], &labels);
        selected
            .policies
            .iter()
            .map(|p| p.metadata.name.clone().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(labels(&[("tier", "cnf")])), ["all", "cnf"]);
    assert_eq!(names(labels(&[("tier", "web")])), ["all"]);
    assert_eq!(names(labels(&[])), ["all"]);
}

#[test]
fn a_selector_that_makes_no_sense_selects_nothing_and_is_reported() {
    for odd in [
        json!({"key": "tier", "operator": "NotIn"}),
        json!({"key": "tier", "operator": "NotIn", "values": []}),
        json!({"key": "tier", "operator": "In", "values": []}),
        json!({"key": "tier", "operator": "Exists", "values": ["a"]}),
        json!({"key": "tier", "operator": "Like", "values": ["a"]}),
        json!({"key": "tier", "operator": ""}),
    ] {
        let odd = policy(
            "odd",
            json!({"namespaceSelector": {"matchExpressions": [odd]}}),
        );
        let selected = selecting([&odd], &labels(&[("tier", "a")]));
        assert!(selected.policies.is_empty());
        assert!(selected.troubles[0].starts_with("policy odd selects nothing: namespaceSelector"));
    }
}

#[test]
fn of_several_limits_the_highest_counts_and_silence_is_no_limit_lifted() {
    let limit = |limits: Value| policy("p", json!({"namespaceSelector": {}, "limits": limits}));
    let (low, high) = (
        limit(json!({"linksPerPod": 2, "podsPerNamespace": 5})),
        limit(json!({"linksPerPod": 8})),
    );
    let silent = rules(json!([]));
    assert_eq!(limits(&[&silent]), Limits::default());
    let both = limits(&[&low, &silent, &high]);
    assert_eq!(
        both,
        Limits {
            links_per_pod: Some(8),
            pods_per_namespace: Some(5)
        }
    );
    assert_eq!(
        limits(&[&limit(json!({"linksPerPod": -1}))]).links_per_pod,
        Some(0)
    );
}
