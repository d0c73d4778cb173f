//! Killed at any moment and started again: nothing that is right is touched, nothing half-made
//! stays; and a disk that takes nothing is no reason to lose a link.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use crate::support::{
    look::{addresses, index, names},
    manifests::config_for,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, within},
};

const PODS: usize = 70;
const LINKS_EACH: usize = 3;

/// Seventy pods with three links each, on three bridges.
fn crowd(node: &TestNode) -> Vec<TestPod<'_>> {
    node.allow_own_bridges();
    let links: Vec<String> = (0..LINKS_EACH)
        .map(|n| format!("{{name: data{n}, veth: {{bridge: b{n}}}}}"))
        .collect();
    node.apply(
        "all",
        &config_for("tenant-a", "all", "{}", &format!("[{}]", links.join(", "))),
    );
    (0..PODS)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect()
}

/// Every host end's name and index, and every pod's links'.
fn fingerprint(node: &TestNode, pods: &[TestPod<'_>]) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for link in node
        .switch_ip(&["link", "show"])
        .as_array()
        .into_iter()
        .flatten()
    {
        all.insert(format!("switch/{}", link["ifname"]), index(link));
    }
    for pod in pods {
        for link in pod.ip(&["link", "show"]).as_array().into_iter().flatten() {
            all.insert(
                format!("{}/{}", pod.attachment.name, link["ifname"]),
                index(link),
            );
        }
    }
    all
}

#[test]
fn a_restart_with_two_hundred_links_changes_nothing_and_loses_no_packet() {
    let (node, mut daemon) = TestNode::builder().start_with_daemon();
    let pods = crowd(&node);
    within(Duration::from_secs(20), "all links are there", || {
        let ends = node.host_ends().len();
        seen(ends == PODS * LINKS_EACH, format!("{ends} host ends"))
    });
    // Two more with addresses carry the pings.
    let (a, b) = (
        node.bare_pod("tenant-b", "a"),
        node.bare_pod("tenant-b", "b"),
    );
    node.connect("tenant-b", "a", "data0", "10.1.0.1/24");
    node.connect("tenant-b", "b", "data0", "10.1.0.2/24");
    a.ready("data0");
    b.ready("data0");
    node.falls_silent("podconfig");
    let before = fingerprint(&node, &pods);
    let (stream, monitor) = (a.ping_on("10.1.0.2"), node.monitor("podconfig"));
    for round in 0..3 {
        daemon.kill();
        sleep(Duration::from_millis(50 * round));
        daemon = node.daemon();
        daemon.changed_nothing();
    }
    stream.lost_nothing();
    assert_eq!(fingerprint(&node, &pods), before);
    assert_eq!(
        monitor.lines(),
        Vec::<String>::new(),
        "the kernel saw a change in the switch"
    );
    assert!(
        daemon.resident() < 64 << 20,
        "{} bytes resident",
        daemon.resident()
    );
}

/// Of every kind of link one, with all that a link can have.
const ALL_KINDS: &str = "[\
    {name: r0, veth: {routed: {}}, addresses: [172.31.5.7/32, 'fd31::7/128'], \
     routes: [{to: 198.51.100.0/24}, {to: 'fd99::/64'}]}, \
    {name: lan0, veth: {hostBridge: br-lan}, addresses: [192.168.7.10/24, 'fd07::10/64']}, \
    {name: data0, veth: {bridge: blue}, mtu: 4000, mac: '02:11:22:33:44:55', \
     addresses: [10.1.0.1/24, 10.1.0.2/24, 'fd01::1/64'], \
     routes: [{to: 172.20.0.0/16, via: 10.1.0.254, metric: 77}, \
     {to: 0.0.0.0/0, via: 10.1.0.254, table: 200}, {to: 'fd02::/64', via: 'fd01::2', table: 1000}]}, \
    {name: ra0, veth: {bridge: red}, slaac: Accept}, \
    {name: small0, veth: {bridge: green}, mtu: 1000, addresses: [10.3.0.1/24]}]";

#[test]
fn a_restart_changes_nothing_whatever_kinds_of_links_there_are() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let mut daemon = node.daemon();
    let pods = [node.pod("tenant-a", "web-0")];
    node.configure("tenant-a", "all", "web-0", ALL_KINDS);
    for link in ["r0", "lan0", "data0", "ra0", "small0"] {
        pods[0].ready(link);
    }
    let all = |node: &TestNode| {
        let on_node = names(&node.ip(&["link", "show"]));
        (fingerprint(node, &pods), on_node)
    };
    node.falls_silent("podconfig");
    let before = all(&node);
    for _ in 0..2 {
        daemon.kill();
        daemon = node.daemon();
        daemon.changed_nothing();
        // The regular check comes behind the first.
        daemon.reconciles(1);
        daemon.changed_nothing();
    }
    assert_eq!(all(&node), before);
}

#[test]
fn what_changed_while_the_daemon_was_away_is_made_true_at_its_start() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pods: Vec<TestPod<'_>> = ["gone", "wished-off", "changed"]
        .map(|n| node.bare_pod("tenant-a", n))
        .into();
    for (number, pod) in pods.iter().enumerate() {
        node.connect(
            "tenant-a",
            &pod.attachment.name,
            "data0",
            &format!("10.1.0.{}/24", number + 1),
        );
        pod.ready("data0");
    }
    let before = index(&pods[2].link("data0"));
    daemon.kill();
    pods[0].vanish();
    node.withdraw("tenant-a-wished-off");
    node.connect("tenant-a", "changed", "data0", "10.1.0.33/24");
    let new = node.connected("tenant-a", "new", "10.1.0.44/24");
    let _daemon = node.daemon();
    pods[1].lacks("data0");
    new.link("data0");
    eventually("the change is in force, in place", || {
        let link = pods[2].find("data0").ok_or("no link")?;
        seen(
            addresses(&link) == ["10.1.0.33/24"] && index(&link) == before,
            link,
        )
    });
    eventually("two host ends are left", || {
        let ends = node.host_ends();
        seen(ends.len() == 2, format!("{ends:?}"))
    });
}
