//! Tunnels whose ends are found: each daemon tells its end in its reports, somebody who sees all nodes
//! makes slices of that, and each daemon reads these. Here the story itself is the one who sees all.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use serde_json::Value;

use super::{TUNNELS, VNI, joined, reaches_the_others, set, strangers::intrude};
use crate::support::{
    daemon::Daemon,
    fabric::Fabric,
    frame::holds_token,
    look::index,
    manifests::policy,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
    wire::Wire,
};

/// This node's own end.
mod address;
/// Slices that come, go, are broken, and speak of others.
mod slices;
/// Who else is on the segment.
mod together;

pub const AUTO: &str = "{auto: {}}";

/// A slice as the controller writes it; nodes with their addresses.
pub fn slice(namespace: &str, number: usize, peers: &[(String, String)]) -> String {
    slice_of(namespace, (VNI, 4789), number, peers)
}

pub fn slice_of(
    namespace: &str,
    (vni, port): (u32, u16),
    number: usize,
    peers: &[(String, String)],
) -> String {
    let peers = peers.iter();
    let peers: Vec<String> = peers
        .map(|(node, address)| format!("{{node: {node}, address: '{address}'}}"))
        .collect();
    format!(
        "apiVersion: podconfig.dev/v1alpha1\nkind: PeerSlice\n\
         metadata: {{namespace: {namespace}, name: vxlan-{vni}-{port}-{number}}}\n\
         spec: {{vni: {vni}, port: {port}, peers: [{}]}}\n",
        peers.join(", ")
    )
}

/// Nodes of those addresses.
pub fn named(addresses: &[&str]) -> Vec<(String, String)> {
    let all = addresses.iter().enumerate();
    all.map(|(number, address)| (format!("node-{number}"), (*address).to_owned()))
        .collect()
}

/// A pod of tenant-a that has 10.5.0.<number + 1> on the tunnel.
pub fn finder(node: &TestNode, number: usize) -> TestPod<'_> {
    joined(node, "p", AUTO, &format!("10.5.0.{}/24", number + 1))
}

/// What the report says of the end on the pod's node.
pub fn told_end(pod: &TestPod<'_>) -> Value {
    pod.reported("overlay")
        .map_or(Value::Null, |link| link["tunnel"].clone())
}

/// Tells these nodes of the ends that these pods' reports tell.
pub fn publish(nodes: &[TestNode], pods: &[&TestPod<'_>]) {
    let ends = pods.iter().map(|pod| {
        let end = told_end(pod);
        assert_eq!((&end["vni"], &end["port"]), (&VNI.into(), &4789.into()));
        end["address"].as_str().unwrap().to_owned()
    });
    let ends: Vec<String> = ends.collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    for node in nodes {
        node.apply("slice-0", &slice("tenant-a", 0, &named(&ends)));
    }
}

impl TestNode {
    /// Waits until the device sends what is for all to just these.
    pub fn sends_to(&self, addresses: &[&str]) {
        let wanted = set(addresses);
        eventually(&format!("the ends are {wanted:?}"), || {
            let ends = self.ends();
            seen(ends == wanted, format!("{ends:?}"))
        });
    }

    /// The nodes that the filter lets in.
    pub fn lets_in(&self) -> BTreeSet<String> {
        let shown = self.try_run(&["nft", "-j", "list", "table", "inet", "podconfig-default"]);
        let table: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        let sets = table["nftables"].as_array().into_iter().flatten();
        let sets = sets.filter(|one| one["set"]["name"].to_string().contains("vni"));
        let elements = sets.flat_map(|one| one["set"]["elem"].as_array().into_iter().flatten());
        elements
            .map(|element| element.as_str().map_or(element.to_string(), str::to_owned))
            .collect()
    }
}

fn daemons(fabric: &Fabric) -> Vec<Daemon> {
    fabric.nodes().iter().map(TestNode::daemon).collect()
}

#[test]
fn pods_of_three_nodes_find_each_other() {
    let fabric = Fabric::new(3);
    let _daemons = daemons(&fabric);
    let pods: Vec<_> = (0..3).map(|n| finder(&fabric[n], n)).collect();
    for (number, pod) in pods.iter().enumerate() {
        assert_eq!(pod.ready("overlay")["mtu"], 1450);
        assert_eq!(told_end(pod)["address"], format!("10.77.0.{}", number + 1));
        assert!(fabric[number].ends().is_empty(), "nobody is known yet");
    }
    publish(fabric.nodes(), &pods.iter().collect::<Vec<_>>());
    fabric[0].sends_to(&["10.77.0.2", "10.77.0.3"]);
    for pod in &pods {
        reaches_the_others(pod);
        pod.ready("overlay");
    }
    assert_eq!(
        fabric[1].lets_in(),
        set(&["10.77.0.1", "10.77.0.3"]),
        "each but the node itself"
    );
}

#[test]
fn pods_of_a_node_meet_before_any_other_node_is_known() {
    let fabric = Fabric::new(1);
    let _daemon = fabric[0].daemon();
    let a = joined(&fabric[0], "a", AUTO, "10.5.0.1/24");
    let b = joined(&fabric[0], "b", AUTO, "10.5.0.2/24");
    b.ready("overlay");
    a.ready("overlay");
    a.ping("10.5.0.2");
    assert!(
        fabric[0].lets_in().is_empty(),
        "nobody is let in from outside"
    );
}

#[test]
fn a_node_joins_and_leaves_and_nobody_notices() {
    let fabric = Fabric::new(3);
    let daemons = daemons(&fabric);
    let (a, b) = (finder(&fabric[0], 0), finder(&fabric[1], 1));
    a.ready("overlay");
    b.ready("overlay");
    publish(fabric.nodes(), &[&a, &b]);
    let stream = a.ping_on("10.5.0.2");
    let before = (index(&a.ready("overlay")), index(&fabric[0].device()));
    let c = finder(&fabric[2], 2);
    c.ready("overlay");
    publish(fabric.nodes(), &[&a, &b, &c]);
    a.ping("10.5.0.3");
    b.ping("10.5.0.3");
    c.delete();
    publish(fabric.nodes(), &[&a, &b]);
    fabric[0].sends_to(&["10.77.0.2"]);
    let entries = || fabric[0].switch_bridge(&["fdb", "show"]).to_string();
    eventually("nothing of the third node is left", || {
        seen(
            !entries().contains("10.77.0.3") && fabric[0].lets_in() == set(&["10.77.0.2"]),
            entries(),
        )
    });
    stream.lost_nothing();
    let after = (index(&a.ready("overlay")), index(&fabric[0].device()));
    assert_eq!(before, after, "nothing was made anew");
    assert_eq!(daemons[0].metric("reconfd_drift_repairs_total"), 0.0);
}

#[test]
fn an_ipv6_underlay_is_found_as_well() {
    let fabric = Fabric::new(2);
    let _daemons = daemons(&fabric);
    let pods = [finder(&fabric[0], 0), finder(&fabric[1], 1)];
    let only_ipv6 = TUNNELS.replace("10.77.0.0/24, ", "");
    let rules = policy("tunnels", "{}", &format!("[{only_ipv6}]"));
    for (number, pod) in pods.iter().enumerate() {
        fabric[number].apply("policy", &rules);
        let end = format!("fd77::{}", number + 1);
        eventually("the end is an IPv6 one", || {
            seen(told_end(pod)["address"] == end, told_end(pod))
        });
        assert_eq!(pod.ready("overlay")["mtu"], 1430);
    }
    publish(fabric.nodes(), &[&pods[0], &pods[1]]);
    fabric[0].sends_to(&["fd77::2"]);
    pods[0].ping("10.5.0.2");
    assert_eq!(fabric[0].lets_in(), set(&["fd77::2"]));
}

/// The wire's witness: what no slice names, does not arrive.
#[test]
fn who_is_not_found_is_not_let_in() {
    let fabric = Fabric::new(3);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, b) = (finder(&fabric[0], 0), finder(&fabric[1], 1));
    a.ready("overlay");
    b.ready("overlay");
    publish(fabric.nodes(), &[&a, &b]);
    a.ping("10.5.0.2");
    let heard = Wire::on(&a.netns(), "overlay");
    let first = Ipv4Addr::new(10, 77, 0, 1);
    let third = fabric[2].path("/proc/1/ns/net");
    intrude(&third, first);
    assert_eq!(heard.hears(Duration::from_millis(400), holds_token), None);
    fabric[0].apply(
        "slice-0",
        &slice(
            "tenant-a",
            0,
            &named(&["10.77.0.1", "10.77.0.2", "10.77.0.3"]),
        ),
    );
    eventually("a node that is found is let in", || {
        intrude(&third, first);
        let found = heard.hears(Duration::from_millis(50), holds_token);
        seen(found.is_some(), format!("{:?}", fabric[0].lets_in()))
    });
}

/// The daemon is killed and started twice. The list is read before anything is done by it.
fn starts_again(fabric: &Fabric, mut daemon: Daemon, pod: &TestPod<'_>) -> Daemon {
    fabric[0].falls_silent("podconfig");
    let before = (index(&fabric[0].device()), told_end(pod));
    for _ in 0..2 {
        daemon.kill();
        daemon = fabric[0].daemon();
        daemon.changed_nothing();
    }
    pod.ready("overlay");
    assert_eq!((index(&fabric[0].device()), told_end(pod)), before);
    daemon
}

#[test]
fn a_restart_changes_nothing() {
    let fabric = Fabric::new(2);
    let (mut daemon, _other) = (fabric[0].daemon(), fabric[1].daemon());
    let (a, b) = (finder(&fabric[0], 0), finder(&fabric[1], 1));
    a.ready("overlay");
    b.ready("overlay");
    daemon = starts_again(&fabric, daemon, &a);
    publish(fabric.nodes(), &[&a, &b]);
    let stream = a.ping_on("10.5.0.2");
    let _daemon = starts_again(&fabric, daemon, &a);
    stream.lost_nothing();
}
