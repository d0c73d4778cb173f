//! Pods that wait for their links.

use crate::support::{
    eventually,
    kubectl::TIMEOUT,
    manifests::{config, on_bridge, pod_with, with_address},
    pod::Pod,
    tenant::Tenant,
};
use crate::wait::{seen, stays};
use serde_json::Value;
use std::time::Duration;

const GATE: &str = "  readinessGates: [{conditionType: podconfig.dev/ready}]\n";

fn condition(pod: &Pod, kind: &str) -> Value {
    let conditions = pod.object()["status"]["conditions"].clone();
    let all = conditions.as_array().cloned().unwrap_or_default();
    all.into_iter()
        .find(|one| one["type"] == kind)
        .unwrap_or_default()
}

/// Waits until the gate is closed, and says why.
fn gate_says(pod: &Pod, reason: &str) {
    eventually(&format!("the gate of {} says {reason}", pod.name), || {
        let gate = condition(pod, "podconfig.dev/ready");
        seen(gate["status"] == "False" && gate["reason"] == reason, &gate)
    });
}

fn is_ready(tenant: &Tenant, pod: &Pod) {
    tenant.kubectl(&[
        "wait",
        "--for=condition=Ready",
        &format!("pod/{}", pod.name),
        TIMEOUT,
    ]);
}

#[test]
fn a_pod_with_the_gate_is_ready_only_with_all_of_its_links() {
    let tenant = Tenant::new("gate");
    tenant.apply(&pod_with("web", "n0", GATE));
    let pod = tenant.pod("web");
    gate_says(&pod, "NotSelected");

    let links = with_address("data0", "blue", "10.50.20.1/24");
    tenant.apply(&config("data", "app: web", &links));
    pod.has("data0");
    is_ready(&tenant, &pod);
    assert_eq!(condition(&pod, "podconfig.dev/ready")["status"], "True");

    tenant.apply(&config("clash", "app: web", &on_bridge("data0", "green")));
    gate_says(&pod, "LinkNameTaken");
    tenant.kubectl(&["wait", "--for=condition=Ready=false", "pod/web", TIMEOUT]);
    tenant.withdraw("clash");
    is_ready(&tenant, &pod);

    tenant.withdraw("data");
    gate_says(&pod, "NotSelected");
}

#[test]
fn a_pod_without_the_gate_is_not_touched() {
    let tenant = Tenant::new("gateless");
    tenant.apply(&pod_with("web", "n0", ""));
    let pod = tenant.pod("web");
    is_ready(&tenant, &pod);
    tenant.apply(&config("data", "app: web", &on_bridge("data0", "blue")));
    tenant.is_ready("data");
    stays("no condition of ours", Duration::from_secs(1), || {
        let gate = condition(&pod, "podconfig.dev/ready");
        seen(gate.is_null(), &gate)
    });
}

#[test]
fn a_pod_on_the_network_of_its_node_is_told_to_be_unsupported() {
    let tenant = Tenant::new("hostnet");
    let host = "  hostNetwork: true\n";
    let manifest = pod_with("web", "n1", host).replace("8080", "8099");
    tenant.apply(&manifest);
    tenant.kubectl(&["wait", "--for=condition=Ready", "pod/web", TIMEOUT]);
    tenant.apply(&config("data", "app: web", &on_bridge("data0", "blue")));
    tenant.waits_for("data", "condition=Ready=False");
    let status = tenant.status("data").to_string();
    assert!(status.contains("Unsupported"), "{status}");
}
