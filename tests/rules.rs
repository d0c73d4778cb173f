//! Each field of a link is limited by its plural in a rule, and one rule must allow the whole link.

use crate::support::{
    manifests::{on_bridge, policy},
    node::TestNode,
};

/// What the one rule of the next story allows.
const NARROW: &str = "{veth: {bridges: Own, hostBridges: [br-lan]}, addresses: [10.1.0.0/16, 'fd01::/32'], \
    routes: [172.20.0.0/16], tables: [{min: 200, max: 210}], macs: Assigned}";

/// A link that asks for one thing too many, and what the message must name.
const BEYOND: [(&str, &str); 13] = [
    ("veth: {routed: {}}, addresses: [10.1.0.1/16]", "routed"),
    (
        "veth: {hostBridge: br-other}, addresses: [10.1.0.2/16]",
        "br-other",
    ),
    (
        "veth: {bridge: c2}, addresses: [10.2.0.1/24]",
        "10.2.0.1/24",
    ),
    ("veth: {bridge: c3}, addresses: [10.1.0.3/8]", "10.1.0.3/8"),
    (
        "veth: {bridge: c4}, addresses: [10.1.0.4/16, 10.9.0.1/24]",
        "10.9.0.1/24",
    ),
    (
        "veth: {bridge: c5}, addresses: ['fd02::1/64']",
        "fd02::1/64",
    ),
    (
        "veth: {bridge: c6}, addresses: [10.1.0.5/16], routes: [{to: 0.0.0.0/0, via: 10.1.0.9}]",
        "0.0.0.0/0",
    ),
    (
        "veth: {bridge: c7}, addresses: [10.1.0.6/16], routes: [{to: 172.16.0.0/12, via: 10.1.0.9}]",
        "172.16.0.0/12",
    ),
    (
        "veth: {bridge: c8}, addresses: ['fd01::1/64'], routes: [{to: '::/0', via: 'fd01::9'}]",
        "::/0",
    ),
    (
        "veth: {bridge: c9}, addresses: [10.1.0.7/16], routes: [{to: 172.20.0.0/16, via: 10.1.0.9, table: 199}]",
        "199",
    ),
    (
        "veth: {bridge: c10}, addresses: [10.1.0.8/16], routes: [{to: 172.20.0.0/16, via: 10.1.0.9, table: 211}]",
        "211",
    ),
    (
        "veth: {bridge: c11}, addresses: [10.1.0.9/16], mac: '02:00:00:00:00:01'",
        "mac",
    ),
    (
        "veth: {bridge: c12}, addresses: [10.1.0.10/16], slaac: Accept",
        "slaac",
    ),
];

/// Attack 12 among others: a default route, a route to a wider network, table numbers.
#[test]
fn each_field_is_limited_by_its_plural_and_the_message_names_it() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.add_bridge("br-other", "192.168.8.1/24");
    node.apply("policy", &policy("narrow", "{}", &format!("[{NARROW}]")));
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    for (number, (link, _)) in BEYOND.iter().enumerate() {
        let links = format!("[{{name: l{number}, {link}}}]");
        node.configure("tenant-a", &format!("c{number}"), "web-0", &links);
    }
    let fine = "[{name: fine, veth: {bridge: fine}, addresses: [10.1.9.1/24], \
                 routes: [{to: 172.20.1.0/24, via: 10.1.9.9, table: 205}]}]";
    node.configure("tenant-a", "fine", "web-0", fine);
    pod.ready("fine");
    for (number, (link, named)) in BEYOND.iter().enumerate() {
        let told = pod.reason(&format!("l{number}"), "NotAllowed");
        let message = told["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(named),
            "{link}\nsays: {message}\nand not: {named}"
        );
    }
    assert_eq!(
        node.host_ends().len(),
        1,
        "only the link that is allowed is there"
    );
    assert_eq!(node.ours_on_node(), Vec::<serde_json::Value>::new());
}

#[test]
fn what_a_rule_does_not_mention_it_does_not_allow() {
    let node = TestNode::new();
    node.apply("policy", &policy("bare", "{}", "[{veth: {bridges: Own}}]"));
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    node.configure(
        "tenant-a",
        "a",
        "web-0",
        "[{name: plain, veth: {bridge: a}}]",
    );
    node.configure(
        "tenant-a",
        "b",
        "web-0",
        &on_bridge("addressed", "b", "10.1.0.1/24"),
    );
    pod.ready("plain");
    pod.reason("addressed", "NotAllowed");
    assert!(pod.find("addressed").is_none());
}

#[test]
fn one_rule_must_allow_the_whole_link() {
    let node = TestNode::new();
    let halves = "[{veth: {bridges: Own}, addresses: [10.9.0.0/16]}, {veth: {routed: {}}, addresses: [10.1.0.0/16]}]";
    node.apply("policy", &policy("halves", "{}", halves));
    let _daemon = node.daemon();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.reason("data0", "NotAllowed");
    assert!(pod.find("data0").is_none());
    // A second policy's rule that allows all of it is enough: rules add up.
    node.apply(
        "more",
        &policy(
            "whole",
            "{}",
            "[{veth: {bridges: Own}, addresses: [10.1.0.0/16]}]",
        ),
    );
    pod.ready("data0");
}
