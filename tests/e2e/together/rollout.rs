//! A listed address, and a Deployment that replaces its pods: the new pod has it from the old one.

use std::time::Instant;

use serde_json::Value;

use crate::{
    support::{
        eventually,
        kubectl::{TIMEOUT, object},
        manifests::{self, ANYWHERE, config, with_address},
        pod::Pod,
        tenant::Tenant,
    },
    wait::seen,
};

const GATE: &str = "      readinessGates: [{conditionType: podconfig.dev/ready}]\n";
const NEXT: &str = r#"{"spec":{"template":{"metadata":{"annotations":{"edition":"2"}}}}}"#;

fn claim(address: &str) -> Value {
    let claim = object(&["addressclaim", &format!("cluster.{address}")]);
    claim.unwrap_or_default()["spec"].clone()
}

/// A Deployment of one pod, with these lines in its template, and its pod.
fn first(tenant: &Tenant, address: &str, more: &str) -> Pod {
    let links = with_address("data0", "blue", &format!("{address}/24"));
    tenant.apply(&config("data", "app: web", &links));
    let deployment = manifests::deployment("web", 1, ANYWHERE);
    tenant.apply(&deployment.replace("    spec:\n", &format!("    spec:\n{more}")));
    tenant.kubectl(&["rollout", "status", "deployment/web", TIMEOUT]);
    let pod = tenant.pods("web").remove(0);
    pod.has_with("data0", &format!("{address}/24"));
    assert_eq!(claim(address)["controller"], "Deployment/web");
    pod
}

/// The one pod that is left of a rollout.
fn next(tenant: &Tenant, before: &Pod) -> Pod {
    tenant.kubectl(&["patch", "deployment/web", "--patch", NEXT]);
    tenant.kubectl(&["rollout", "status", "deployment/web", TIMEOUT]);
    eventually("the new pod is alone", || {
        let mut pods = tenant.pods("web");
        let is_alone = pods.len() == 1 && pods[0].uid != before.uid;
        let names: Vec<String> = pods.iter().map(|pod| pod.name.clone()).collect();
        seen(is_alone, format!("{names:?}")).map(|()| pods.remove(0))
    })
}

#[test]
fn a_rollout_behind_the_readiness_gate_goes_through_and_the_address_with_it() {
    let tenant = Tenant::new("rollout-gate");
    let address = "10.50.70.5";
    let before = first(&tenant, address, GATE);
    let started = Instant::now();
    let after = next(&tenant, &before);
    after.has_with("data0", &format!("{address}/24"));
    println!("a rollout behind the gate took {:?}", started.elapsed());
    let held = claim(address);
    assert_eq!(held["pod"]["uid"], after.uid.as_str(), "{held}");
    assert!(held["released"].is_null(), "{held}");
}

#[test]
fn a_rollout_without_a_gate_hands_the_address_over_when_the_old_pod_ends() {
    let tenant = Tenant::new("rollout");
    let address = "10.50.71.5";
    let before = first(&tenant, address, "");
    let after = next(&tenant, &before);
    let started = Instant::now();
    after.has_with("data0", &format!("{address}/24"));
    println!("the address followed its pod after {:?}", started.elapsed());
    let held = claim(address);
    assert_eq!(held["pod"]["uid"], after.uid.as_str(), "{held}");
}
