//! Tests of attachments by real CNI plugins, on an installation with a runner that follows the networks annotation:
//! `.ci/e2e` makes it after all other tests. At the start of a pod in a namespace `multus-…` the plugin "delegates"
//! in the nodes' chain attaches what the annotation lists, as Multus does.

/// The annotation of KubeVirt.
mod kubevirt;
/// `--networks-annotation=match`, with the published tests of multus-dynamic-networks-controller.
mod matching;
/// `--networks-annotation=strict`.
mod strict;
/// Addresses of whereabouts.
mod whereabouts;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        kubectl::TIMEOUT,
        manifests::{pod, policy_of},
        node::on,
        pod::Pod,
        tenant::Tenant,
    },
    wait::{seen, within},
};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// Without addresses; its definition has no name of its own.
const NETWORK: &str = "tenant-network";
/// With addresses that the pod asks for.
const IPAM_NETWORK: &str = "tenant-network-ipam";
/// As long as the published tests wait.
const PUBLISHED: Duration = Duration::from_secs(15);
const POD: &str = "tiny-winy-pod";

/// A namespace that may attach its two networks, whose pods the plugin "delegates" serves.
fn tenant(name: &str) -> Tenant {
    let tenant = Tenant::without_policy(name);
    let plain = json!({"cniVersion": "0.3.0", "disableCheck": true, "plugins": [macvlan()]});
    define(&tenant, NETWORK, &plain);
    let mut with_ipam = macvlan();
    with_ipam["capabilities"] = json!({"ips": true});
    with_ipam["ipam"] = json!({"type": "static"});
    let plugins = json!([with_ipam, {"type": "tuning"}]);
    define(
        &tenant,
        IPAM_NETWORK,
        &json!({"cniVersion": "0.3.0", "disableCheck": true, "name": IPAM_NETWORK, "plugins": plugins}),
    );
    tenant.may(&policy_of(name, &format!(
        "  - veth: {{bridges: Own}}\n    addresses: [10.50.0.0/16]\n    domains: [cluster, {name}]\n  \
           - cni: {{definitions: [{{namespace: {name}, names: [{NETWORK}, {IPAM_NETWORK}, whereabouts]}}], cniArgs: [logicNetworkName]}}\n    \
             addresses: [10.10.10.0/24, 10.98.0.0/24]\n    macs: Any\n",
    )));
    tenant
}

fn macvlan() -> Value {
    json!({"type": "macvlan", "master": "eth0", "mode": "bridge"})
}

fn define(tenant: &Tenant, name: &str, config: &Value) {
    let definition = json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name},
        "spec": {"config": config.to_string()},
    });
    tenant.apply(&definition.to_string());
}

/// A pod that runs on the node; with an annotation from the start, if there are elements.
fn start(tenant: &Tenant, node: &str, elements: &[Value]) -> Pod {
    let plain = pod(POD, node);
    let asked = match elements {
        [] => String::new(),
        some => format!("annotations: {{{NETWORKS}: '{}'}}, ", json!(some)),
    };
    tenant.apply(&plain.replace("labels:", &format!("{asked}labels:")));
    let what = ["wait", "--for=condition=Ready", "pod", POD, TIMEOUT];
    tenant.kubectl(&what);
    tenant.pod(POD)
}

fn element(tenant: &Tenant, network: &str, interface: &str) -> Value {
    json!({"name": network, "namespace": tenant.name, "interface": interface})
}

/// An element without the name of an interface.
fn unnamed(tenant: &Tenant, network: &str) -> Value {
    json!({"name": network, "namespace": tenant.name})
}

fn ask(tenant: &Tenant, elements: &[Value]) {
    let annotation = format!("{NETWORKS}={}", json!(elements));
    tenant.kubectl(&["annotate", "pod", POD, "--overwrite", &annotation]);
}

/// The entries of network-status but the default one, as the Go type of Multus' clients reads them: what it does not
/// know is left out, and an empty `dns` is none.
fn secondary(pod: &Pod) -> Vec<Value> {
    let object = pod.object();
    let text = object["metadata"]["annotations"][STATUS].as_str();
    let entries: Vec<Value> =
        serde_json::from_str(text.unwrap_or("[]")).expect("network-status is JSON");
    let known = [
        "name",
        "interface",
        "ips",
        "mac",
        "mtu",
        "dns",
        "device-info",
        "gateway",
    ];
    let read = |mut entry: Value| {
        let fields = entry.as_object_mut().expect("an entry is an object");
        fields.retain(|key, value| {
            known.contains(&key.as_str()) && !(key == "dns" && *value == json!({}))
        });
        entry
    };
    entries
        .into_iter()
        .filter(|entry| entry["default"] != true)
        .map(read)
        .collect()
}

fn without_mac(mut entries: Vec<Value>) -> Vec<Value> {
    for entry in &mut entries {
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("mac");
        }
    }
    entries
}

/// An entry without addresses and MAC address.
fn entry(tenant: &Tenant, network: &str, interface: &str) -> Value {
    json!({"name": format!("{}/{network}", tenant.name), "interface": interface})
}

/// Waits until network-status has these entries and no other, MAC addresses left out.
fn lists(pod: &Pod, expected: &[Value]) {
    let what = format!(
        "network-status of {} has {}",
        pod.namespace,
        json!(expected)
    );
    within(PUBLISHED, &what, || {
        let found = without_mac(secondary(pod));
        let same = found.len() == expected.len() && expected.iter().all(|one| found.contains(one));
        seen(same, json!(found))
    });
}

/// The kernel has it as a macvlan.
fn is_macvlan(pod: &Pod, link: &str) -> Value {
    let found = pod
        .link(link)
        .unwrap_or_else(|| panic!("{} has no {link}", pod.namespace));
    assert_eq!(found["linkinfo"]["info_kind"], "macvlan", "{found}");
    found
}

/// What Multus' part keeps of the pod on its node: files of results, by name.
fn kept_by_multus(pod: &Pod, network: &str) -> String {
    let uid = &pod.uid;
    let find = format!("grep -ls '{uid}' /var/lib/cni/multus/results/{network}-* || true");
    on(&pod.node, &["sh", "-c", &find])
}
