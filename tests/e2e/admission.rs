//! What an API server says to a PodConfig at once. Told with `kubectl` and whatever KUBECONFIG names: where a
//! controller runs it writes the allowances, and where none does, these stories write them in its place.

/// What an auditor tries.
mod attacks;
/// A table of links, and what is said to each.
mod cases;
/// What is never right about addresses, from the table that the daemon's own judgement is held to.
mod ipam;
/// The largest objects and allowances that there can be.
mod largest;
/// The same verdicts as the nodes'.
mod random;
/// A namespace with an allowance, and what is said in it.
mod tenant;
/// What is not about links.
mod updates;

use serde_json::{Value, json};

use crate::wait::within;
use tenant::{PATIENCE, Tenant, kubectl};

#[test]
fn the_type_checker_has_nothing_to_say() {
    for policy in ["podconfig-create", "podconfig-update"] {
        let words = ["get", "validatingadmissionpolicy", policy, "-o", "json"];
        let status = within(PATIENCE, &format!("{policy} is checked"), || {
            let policy: Value = serde_json::from_str(&kubectl(&words)).expect("JSON");
            let generation = &policy["metadata"]["generation"];
            match &policy["status"]["observedGeneration"] == generation {
                true => Ok(policy["status"].clone()),
                false => Err(policy["status"].to_string()),
            }
        });
        assert_eq!(status["typeChecking"]["expressionWarnings"], Value::Null);
        assert!(status["typeChecking"].is_object(), "{policy}: {status}");
    }
}

#[test]
fn a_namespace_that_no_policy_ever_selected_hears_whom_to_ask() {
    let tenant = Tenant::without_policy("adm-none");
    let blue = [json!({"name": "data0", "veth": {"bridge": "blue"}})];
    tenant.is_told(
        &blue,
        "no PodConfigPolicy selects this namespace; ask the administrator of the cluster for one that allows the links",
    );
}

#[test]
fn where_the_last_policy_is_withdrawn_nothing_new_is_allowed_and_people_hear_whom_to_ask() {
    let mut tenant = Tenant::new(
        "adm-withdrawn",
        &json!([{"veth": {"bridges": "Own"}}]),
        None,
    );
    let blue = json!({"name": "data0", "veth": {"bridge": "blue"}});
    tenant.create("x", std::slice::from_ref(&blue));
    tenant.withdraw();
    tenant.is_told(
        &[blue],
        "no PodConfigPolicy selects this namespace; ask the administrator of the cluster for one that allows the links",
    );
}

#[test]
fn a_policy_without_rules_is_named() {
    let tenant = Tenant::new("adm-empty", &json!([]), None);
    tenant.is_told(
        &[json!({"name": "data0", "veth": {"routed": {}}})],
        "none of the policies that select this namespace has a rule (adm-empty-0); \
         ask the administrator of the cluster for one that allows the links",
    );
}

#[test]
fn where_the_allowance_does_not_say_all_the_nodes_judge_alone() {
    let seventeen: Vec<Value> = (0..17)
        .map(|n| json!({"veth": {"bridges": "Own"}, "addresses": [format!("10.{n}.0.0/16")]}))
        .collect();
    let tenant = Tenant::new("adm-incomplete", &Value::from(seventeen), None);
    let links = [
        json!({"name": "a", "veth": {"bridge": "blue"}, "addresses": ["10.99.0.1/24"]}),
        json!({"name": "b", "vlan": {"parent": "trunk0", "id": 7}}),
    ];
    assert_eq!(tenant.says("x", &links), Ok(()));
}

#[test]
fn more_links_than_one_pod_may_have_are_refused_and_taking_away_is_not() {
    let tenant = Tenant::new(
        "adm-limits",
        &json!([{"veth": {"bridges": "Own"}}]),
        Some(json!({"linksPerPod": 2})),
    );
    let links: Vec<Value> = (0..4)
        .map(|n| json!({"name": format!("n{n}"), "veth": {"bridge": format!("b{n}")}}))
        .collect();
    assert_eq!(tenant.says("x", &links[..2]), Ok(()));
    tenant.is_told(
        &links[..3],
        "3 links are more than a pod of this namespace may have; the allowance says linksPerPod: 2",
    );
    tenant.create("x", &links[..2]);
    let said = tenant.replace("x", &links[..3]).expect_err("one too many");
    assert!(said.ends_with("linksPerPod: 2"), "{said}");
    assert_eq!(tenant.replace("x", &links[..1]), Ok(()));
}
