//! Pods in which IPv6 is switched off, by the runtime, a plugin or `securityContext.sysctls`: a link that
//! needs it has it, and nothing else in the pod.

use crate::support::{
    look::addresses,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

const SWITCH_OFF: &str = "for where in all default; do
        echo 1 >/proc/sys/net/ipv6/conf/$where/disable_ipv6
    done";

/// A pod without IPv6, with a link of its own.
fn pod<'n>(node: &'n TestNode, name: &str) -> TestPod<'n> {
    let pod = node.bare_pod("tenant-a", name);
    pod.shell(SWITCH_OFF);
    pod.shell("ip link add own0 type veth peer name own1; ip link set own0 up");
    pod
}

fn ask(node: &TestNode, pod: &str, link: &str) {
    let links = format!("[{{name: data0, {link}}}]");
    node.configure("tenant-a", pod, pod, &links);
}

/// Whether IPv6 is off for an interface.
fn is_off(pod: &TestPod<'_>, interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    pod.run(&["cat", &path]).trim() == "1"
}

fn has(pod: &TestPod<'_>, wanted: &[&str]) {
    eventually(&format!("the link has {wanted:?}"), || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(addresses(&link) == wanted, link)
    });
}

fn is_for_this_link_alone(pod: &TestPod<'_>) {
    assert!(!is_off(pod, "data0"));
    for other in ["all", "default", "lo", "own0", "own1"] {
        assert!(is_off(pod, other), "{other}");
    }
}

#[test]
fn a_link_has_its_ipv6_addresses_in_a_pod_without_ipv6_and_no_other_link_has() {
    let node = TestNode::builder().any_veth().daemon().start();
    let (dual, six, range) = (pod(&node, "dual"), pod(&node, "six"), pod(&node, "range"));
    let plain = pod(&node, "plain");
    let on_blue = |addresses: &str| format!("veth: {{bridge: blue}}, {addresses}");
    ask(
        &node,
        "dual",
        &on_blue("addresses: [10.99.0.1/24, 'fd99::1/64']"),
    );
    ask(
        &node,
        "six",
        &on_blue("addresses: ['fd99::2/64'], routes: [{to: 'fd72::/48'}]"),
    );
    ask(
        &node,
        "range",
        &on_blue("ipam: {ranges: [{cidr: 10.99.8.0/24}, {cidr: 'fd99:9::/64'}]}"),
    );
    ask(&node, "plain", &on_blue("addresses: [10.99.0.4/24]"));
    for pod in [&dual, &six, &range, &plain] {
        pod.ready("data0");
    }
    for pod in [&dual, &six, &range] {
        is_for_this_link_alone(pod);
    }
    assert!(is_off(&plain, "data0"), "what needs no IPv6 has none");
    dual.ping("fd99::2");
    plain.ping("10.99.0.1");
    // It comes later to one that had none.
    ask(
        &node,
        "plain",
        &on_blue("addresses: [10.99.0.4/24, 'fd99::4/64']"),
    );
    has(&plain, &["10.99.0.4/24", "fd99::4/64"]);
    plain.ready("data0");
    is_for_this_link_alone(&plain);
    plain.ping("fd99::2");
}

#[test]
fn a_routed_link_has_ipv6_though_pod_and_node_have_it_off_for_new_links() {
    let node = TestNode::builder().any_veth().start();
    node.shell("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
    let _daemon = node.daemon();
    let pod = pod(&node, "a");
    ask(
        &node,
        "a",
        "veth: {routed: {}}, addresses: [10.99.0.1/32, 'fd99::1/128']",
    );
    pod.ready("data0");
    is_for_this_link_alone(&pod);
    node.run(&["ping", "-q", "-c", "1", "-W", "2", "fd99::1"]);
    node.run(&["ping", "-q", "-c", "1", "-W", "2", "10.99.0.1"]);
}

#[test]
fn ipv6_that_is_switched_off_later_comes_back_to_the_link_alone() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    pod.shell("ip link add own0 type veth peer name own1; ip link set own0 up");
    let link = "veth: {bridge: blue}, addresses: [10.99.0.1/24, 'fd99::1/64'], \
                routes: [{to: 'fd72::/48', via: 'fd99::9'}]";
    ask(&node, "a", link);
    pod.ready("data0");
    pod.shell(SWITCH_OFF);
    has(&pod, &["10.99.0.1/24", "fd99::1/64"]);
    eventually("the route is there again", || {
        let routes = pod.run(&["ip", "-6", "route", "show", "fd72::/48"]);
        seen(routes.contains("fd99::9"), routes)
    });
    is_for_this_link_alone(&pod);
    pod.ready("data0");
}
