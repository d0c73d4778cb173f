//! What podconfig writes is deleted by others: no link and no tunnel notices, and it comes back.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    eventually,
    kubectl::{
        ALLOW_DELETION, TIMEOUT, apply, kubectl, list, name_of, object, refusal, try_kubectl,
    },
    manifests::{config, of_pod, policy_of, with_range},
    pod::Pod,
    product::{self, Away, DAEMON, ours},
    tenant::Tenant,
};
use crate::wait::seen;

const VNI: u32 = 5011;

/// A tunnel of both nodes, and a range.
fn tenant(name: &str) -> Tenant {
    let tenant = Tenant::without_policy(name);
    tenant.may(&policy_of(
        name,
        &format!(
            "  - vxlan: {{underlays: [eth0], vnis: [{{min: {VNI}, max: {VNI}}}], peers: [10.213.77.0/24]}}
    addresses: [10.50.0.0/16]
  - veth: {{bridges: Own}}
    addresses: [10.50.0.0/16]
    domains: [cluster, {name}]
"
        ),
    ));
    tenant
}

/// A pod on each node, which reach each other at 10.50.NET.1 and .2. Each test has a net of its own, or it would
/// wait until the addresses of the one before have rested.
fn pair(tenant: &Tenant, net: u8) -> Vec<Pod> {
    let pods = ["n0", "n1"].map(|node| tenant.stateful_set(node, 1, node).remove(0));
    for (n, pod) in pods.iter().enumerate() {
        let address = format!("10.50.{net}.{}/24", n + 1);
        let tunnel = format!(
            "  - name: tun0\n    vxlan: {{underlay: eth0, vni: {VNI}, peers: {{auto: {{}}}}}}\n    addresses: [{address}]\n"
        );
        tenant.apply(&config(&pod.name, &of_pod(&pod.name), &tunnel));
        pod.has_with("tun0", &address);
        tenant.is_ready(&pod.name);
    }
    eventually("both nodes are peers", || {
        let peers = peers(tenant);
        seen(peers == ["n0", "n1"], format!("{peers:?}"))
    });
    pods.into()
}

/// The nodes that the tunnel leads to, as the slices say.
fn peers(tenant: &Tenant) -> Vec<String> {
    let slices = list(&["peerslices", "-n", &tenant.name]);
    let peers = slices
        .iter()
        .flat_map(|slice| slice["spec"]["peers"].as_array())
        .flatten();
    let mut nodes: Vec<String> = peers
        .filter_map(|peer| peer["node"].as_str().map(str::to_owned))
        .collect();
    nodes.sort();
    nodes
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].to_string()
}

fn versions(tenant: &Tenant, kind: &str) -> Vec<(String, String)> {
    let objects = list(&[kind, "-n", &tenant.name]);
    let of = |object: &Value| (name_of(object), version(object));
    objects.iter().map(of).collect()
}

/// How long it takes until there are so many.
fn come_back(tenant: &Tenant, kind: &str, many: usize) -> Duration {
    let begun = Instant::now();
    eventually(&format!("{many} {kind} are there again"), || {
        let there = versions(tenant, kind).len();
        seen(there == many, format!("{there} are there"))
    });
    begun.elapsed()
}

#[test]
fn reports_and_slices_that_are_deleted_come_back_and_no_tunnel_notices() {
    let tenant = tenant("unreported");
    let pods = pair(&tenant, 64);
    let slices = versions(&tenant, "peerslices");
    assert_eq!(slices.len(), 1);
    let stream = pods[0].ping_on("10.50.64.2");

    tenant.kubectl(&["delete", "podreports", "--all", TIMEOUT]);
    let took = come_back(&tenant, "podreports", 2);
    eprintln!("reports came back within {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    pods.iter().for_each(|pod| tenant.is_ready(&pod.name));
    assert_eq!(versions(&tenant, "peerslices"), slices, "they were written");

    // One that says something else is put right as well. What a report says of a tunnel is believed, so only
    // the rest is changed here.
    let patch = r#"{"status":{"sandbox":"other"}}"#;
    tenant.kubectl(&[
        "patch",
        "podreport",
        &pods[0].name,
        "--type=merge",
        "-p",
        patch,
    ]);
    eventually("the report is put right", || {
        let report = object(&["podreport", "-n", &tenant.name, &pods[0].name]);
        let report = report.ok_or("no report")?;
        seen(report["status"]["sandbox"] != "other", &report)
    });

    tenant.kubectl(&["delete", "peerslices", "--all", TIMEOUT]);
    come_back(&tenant, "peerslices", 1);
    tenant.kubectl(&["delete", "podconfigallowances", "--all", TIMEOUT]);
    come_back(&tenant, "podconfigallowances", 1);
    stream.lost_nothing();
}

#[test]
fn a_node_stays_a_peer_while_nobody_can_write_its_report() {
    let tenant = tenant("speechless");
    let pods = pair(&tenant, 65);
    let slices = versions(&tenant, "peerslices");
    let stream = pods[0].ping_on("10.50.65.2");
    let away = Away::daemons();
    tenant.kubectl(&["delete", "podreports", "--all", TIMEOUT]);
    // A controller that starts anew knows no more than that.
    ours(&["rollout", "restart", product::CONTROLLER]);
    ours(&["rollout", "status", product::CONTROLLER, TIMEOUT]);
    eventually("the controller misses the reports", || {
        let status = tenant.status(&pods[0].name);
        seen(status["configured"] == 0, &status)
    });
    assert_eq!(versions(&tenant, "peerslices"), slices, "they were written");
    drop(away);
    product::is_ready();
    come_back(&tenant, "podreports", 2);
    assert_eq!(versions(&tenant, "peerslices"), slices, "they were written");
    // The last pod of a node takes the node with it.
    stream.lost_nothing();
    tenant.kubectl(&["delete", "statefulset", "n1", TIMEOUT]);
    eventually("n0 alone is left", || {
        let peers = peers(&tenant);
        seen(peers == ["n0"], format!("{peers:?}"))
    });
}

#[test]
fn a_definition_that_is_deleted_and_put_back_cuts_no_tunnel() {
    let tenant = tenant("undefined");
    let pods = pair(&tenant, 66);
    let stream = pods[0].ping_on("10.50.66.2");
    for (kind, file, many) in [
        (
            "podreports",
            include_str!("../../../crds/podreports.yaml"),
            2,
        ),
        (
            "peerslices",
            include_str!("../../../crds/peerslices.yaml"),
            1,
        ),
    ] {
        let definition = format!("{kind}.podconfig.dev");
        let said = refusal(try_kubectl(&["delete", "crd", &definition]));
        assert!(said.contains("all objects of its kind"), "{said}");
        kubectl(&["annotate", "crd", &definition, ALLOW_DELETION]);
        kubectl(&["delete", "crd", &definition, TIMEOUT]);
        apply(file);
        kubectl(&[
            "wait",
            "crd",
            &definition,
            "--for=condition=Established",
            TIMEOUT,
        ]);
        let took = come_back(&tenant, kind, many);
        eprintln!("{kind} came back within {took:?}");
        pods.iter().for_each(|pod| tenant.is_ready(&pod.name));
    }
    stream.lost_nothing();
    product::is_ready();
}

#[test]
fn a_daemon_that_starts_anew_neither_deletes_nor_writes_a_report() {
    let tenant = tenant("unchanged");
    let pods = pair(&tenant, 67);
    for pod in &pods {
        let range = with_range("data0", "blue", "{cidr: 10.50.61.0/24}");
        tenant.apply(&config(
            &format!("{}-range", pod.name),
            &of_pod(&pod.name),
            &range,
        ));
        pod.reports("data0", "LinkReady");
    }
    let of = |pod: &Pod| object(&["podreport", "-n", &pod.namespace, &pod.name]);
    // Everything that follows from the last link is said.
    for pod in &pods {
        tenant.is_ready(&format!("{}-range", pod.name));
    }
    let others = ["n0", "n1"].map(|node| tenant.stateful_set(&format!("other-{node}"), 1, node));
    let before: Vec<_> = pods.iter().map(of).collect();
    ours(&["rollout", "restart", DAEMON]);
    product::is_ready();
    // By then each daemon has looked at every pod.
    others.iter().flatten().for_each(product::serves);
    let versions = |reports: &[Option<Value>]| -> Vec<String> {
        reports.iter().flatten().map(version).collect()
    };
    let after: Vec<_> = pods.iter().map(of).collect();
    assert_eq!(
        versions(&after),
        versions(&before),
        "{before:#?} {after:#?}"
    );
}
