//! Pods that have ended, by the runtime's and the source's word, while their network namespace stays.

use std::time::Duration;

use crate::support::{
    fabric::Fabric,
    look::index,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays, within},
};

const POLICY: &str = "apiVersion: podconfig.dev/v1alpha1\n\
    kind: PodConfigPolicy\n\
    metadata: {name: all}\n\
    spec:\n  \
      namespaceSelector: {}\n  \
      allow:\n  \
      - {veth: {bridges: Own, routed: {}}, addresses: [10.1.0.0/16], domains: [cluster]}\n  \
      - {vxlan: {underlays: [eth1], vnis: [{min: 44, max: 44}], peers: [10.77.0.0/24], modes: [Exclusive]}}\n";

const LINKS: &str = "[\
    {name: b0, veth: {bridge: blue}, ipam: {ranges: [{cidr: 10.1.0.0/24, start: 10.1.0.7, end: 10.1.0.7}]}}, \
    {name: r0, veth: {routed: {}}, ipam: {ranges: [{cidr: 10.1.1.0/24, start: 10.1.1.7, end: 10.1.1.7}]}}, \
    {name: e0, vxlan: {underlay: eth1, vni: 44, mode: Exclusive, peers: {addresses: [10.77.0.99]}}}]";

const NAMES: [&str; 3] = ["b0", "r0", "e0"];

fn started<'n>(node: &'n TestNode, name: &str) -> TestPod<'n> {
    let pod = node.bare_pod("tenant-a", name);
    node.configure("tenant-a", name, name, LINKS);
    pod
}

fn has_all(pod: &TestPod<'_>) {
    NAMES.iter().for_each(|link| drop(pod.ready(link)));
}

/// A descriptor of the pod's namespace, on behalf of somebody who forgot it.
fn hold(pod: &TestPod<'_>) -> std::fs::File {
    std::fs::File::open(pod.netns()).unwrap()
}

fn leaves_nothing(node: &TestNode) {
    within(
        Duration::from_secs(15),
        "its links are gone from the node",
        || {
            let (ends, routes) = (
                node.host_ends(),
                node.ip(&["route", "show", "proto", "112"]),
            );
            let routes = routes.as_array().map_or(0, Vec::len);
            let links = node.ip(&["link", "show"]).to_string();
            let is_clean = ends.is_empty() && routes == 0 && !links.contains("\"pc");
            seen(is_clean, format!("{ends:?} {routes} {links}"))
        },
    );
}

#[test]
fn a_pod_that_has_ended_leaves_nothing_although_its_namespace_stays() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    node.apply("policy", POLICY);
    let _daemon = node.daemon();
    let mounted = started(node, "mounted");
    has_all(&mounted);
    mounted.end_but_keep_namespace();
    leaves_nothing(node);
    assert!(NAMES.iter().all(|link| mounted.find(link).is_none()));
    // Addresses and the VNI are the next one's, whose namespace somebody holds.
    node.withdraw("mounted");
    let held = started(node, "held");
    has_all(&held);
    let _descriptor = hold(&held);
    held.end_but_keep_namespace();
    held.vanish();
    leaves_nothing(node);
    node.withdraw("held");
    has_all(&started(node, "next"));
}

#[test]
fn a_pod_that_ended_while_the_daemon_was_away_leaves_nothing_either() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    node.apply("policy", POLICY);
    let daemon = node.daemon();
    let pod = started(node, "gone");
    has_all(&pod);
    daemon.kill();
    let _descriptor = hold(&pod);
    pod.end_but_keep_namespace();
    pod.vanish();
    node.withdraw("gone");
    let next = started(node, "next");
    let _daemon = node.daemon();
    within(
        Duration::from_secs(20),
        "the next pod has all of it",
        || {
            let told: Vec<_> = NAMES.iter().map(|link| next.reported(link)).collect();
            let is_ready = |one: &Option<serde_json::Value>| {
                one.as_ref().is_some_and(|one| one["reason"] == "LinkReady")
            };
            seen(told.iter().all(is_ready), format!("{told:?}"))
        },
    );
    has_all(&next);
}

/// As a StatefulSet does it: the same name, another uid, while the old namespace is still there.
#[test]
fn the_next_pod_of_the_same_name_has_the_address_alone() {
    let node = TestNode::new();
    node.apply("policy", POLICY);
    let links = "[{name: b0, veth: {bridge: blue}, ipam: {ranges: [{cidr: 10.1.0.0/24}]}}]";
    node.configure("tenant-a", "db", "db-0", links);
    let _daemon = node.daemon();
    let first = node.bare_pod("tenant-a", "db-0");
    let before = first.ready("b0");
    first.end_in_cni();
    let second = node.bare_pod("tenant-a", "db-0");
    eventually("the second has the address", || {
        let found = second.find("b0").ok_or("no link")?;
        let (own, its) = (
            &found["addr_info"][0]["local"],
            &before["addr_info"][0]["local"],
        );
        seen(own == its, format!("{found} {before}"))
    });
    first.lacks("b0");
}

#[test]
fn one_witness_alone_ends_no_pod() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    node.apply("policy", POLICY);
    let daemon = node.daemon();
    let (unrecorded, unnamed) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    let links = "[{name: b0, veth: {bridge: blue}}]";
    let all = crate::support::manifests::config_for("tenant-a", "all", "{}", links);
    node.apply("all", &all);
    let before = [&unrecorded, &unnamed].map(|pod| index(&pod.ready("b0")));
    unrecorded.end_in_cni();
    node.withdraw("pod-tenant-a-b");
    let stay = |span| {
        stays("both links stay", span, || {
            let found = [&unrecorded, &unnamed].map(|pod| pod.find("b0"));
            let now = found.each_ref().map(|link| link.as_ref().map(index));
            seen(now == before.map(Some), format!("{found:?}"))
        });
    };
    stay(Duration::from_millis(500));
    daemon.kill();
    let _daemon = node.daemon();
    stay(Duration::from_millis(1500));
}
