//! A pod goes to another node with its address: the tunnels of all other nodes follow, without a packet of
//! their own pods and though the pod itself says nothing.

use serde_json::Value;

use super::hears;
use crate::{
    support::{
        daemon::Daemon,
        fabric::{Fabric, UPLINK, address},
        node::TestNode,
        pod::TestPod,
        wait::{eventually, seen},
        wire::Wire,
    },
    vxlan::{joined, overlay, peers},
};

const MOVER: &str = "10.5.0.9";
/// What the address of the mover becomes.
const MAC: &str = "0a:58:0a:05:00:09";

/// A pod that speaks no IPv6 says nothing by itself when its link comes.
fn silent<'n>(node: &'n TestNode, name: &str, peers: &str, ip: &str) -> TestPod<'n> {
    let pod = node.bare_pod("tenant-a", name);
    pod.shell("for of in all default; do echo 1 >/proc/sys/net/ipv6/conf/$of/disable_ipv6; done");
    let links = overlay(peers, &format!("{ip}/24"), "");
    node.configure("tenant-a", name, name, &links);
    pod.ready("overlay");
    pod
}

/// The ends of the node's tunnel that a MAC address is behind.
fn ends_of(node: &TestNode, mac: &str) -> Vec<String> {
    let entries = node.switch_bridge(&["fdb", "show"]);
    let all = entries.as_array().into_iter().flatten();
    let of_mac = all.filter(|entry| entry["mac"] == mac);
    of_mac
        .filter_map(|entry| entry["dst"].as_str().map(str::to_owned))
        .collect()
}

/// Waits until the node's tunnel sends to the pod by that node.
fn follows(node: &TestNode, to: usize) {
    eventually(&format!("the tunnel leads to node {to}"), || {
        let ends = ends_of(node, MAC);
        seen(ends == [address(to)], format!("{ends:?}"))
    });
}

/// Each node has a pod that stays, by which it has the tunnel.
fn fabric_of<'f>(fabric: &'f Fabric, peers: &str) -> (Vec<Daemon>, Vec<TestPod<'f>>) {
    let daemons = fabric.nodes().iter().map(TestNode::daemon).collect();
    let stays = fabric.nodes().iter().enumerate();
    let stays =
        stays.map(|(n, node)| joined(node, "stays", peers, &format!("10.5.0.{}/24", n + 1)));
    let stays: Vec<TestPod<'_>> = stays.collect();
    stays.iter().for_each(|pod| drop(pod.ready("overlay")));
    (daemons, stays)
}

#[test]
fn tunnels_follow_a_pod_from_node_to_node() {
    let fabric = Fabric::new(3);
    let all = peers(&[0, 1, 2]);
    let (_daemons, stays) = fabric_of(&fabric, &all);
    let mut mover = silent(&fabric[0], "mover", &all, MOVER);
    for at in [0, 1, 0, 1] {
        for other in [0, 1, 2].into_iter().filter(|other| *other != at) {
            follows(&fabric[other], at);
        }
        assert_eq!(
            ends_of(&fabric[at], MAC),
            Vec::<String>::new(),
            "where it is, it is behind no end"
        );
        assert!(stays[2].reaches(MOVER));
        mover.delete();
        fabric[at].withdraw("mover");
        mover = silent(&fabric[1 - at], "mover", &all, MOVER);
    }
}

/// Its new node is no peer yet of a node that knew it where it was: nothing that it says gets there.
#[test]
fn an_end_that_comes_late_forgets_what_it_knew_and_hears_who_moved() {
    let fabric = Fabric::new(3);
    let all = peers(&[0, 1, 2]);
    let (_daemons, stays) = fabric_of(&fabric, &all);
    let mover = silent(&fabric[0], "mover", &all, MOVER);
    follows(&fabric[2], 0);
    let links_of = |n: usize, peers: &str| {
        let links = overlay(peers, &format!("10.5.0.{}/24", n + 1), "");
        fabric[n].configure("tenant-a", "stays", "stays", &links);
    };
    // Nodes 1 and 2 do not know each other.
    links_of(1, &peers(&[0]));
    links_of(2, &peers(&[0]));
    eventually("node 2 has one end", || {
        let ends = (fabric[1].ends(), fabric[2].ends());
        seen(ends.0.len() == 1 && ends.1.len() == 1, format!("{ends:?}"))
    });
    mover.delete();
    let moved = silent(&fabric[1], "mover", &peers(&[0]), MOVER);
    follows(&fabric[0], 1);
    let wire = Wire::on(&stays[2].netns(), "overlay");
    links_of(2, &all);
    eventually("node 2 no longer sends to node 0", || {
        let ends = ends_of(&fabric[2], MAC);
        seen(
            ends.iter().all(|end| *end != address(0)),
            format!("{ends:?}"),
        )
    });
    links_of(1, &all);
    let links = overlay(&all, &format!("{MOVER}/24"), "");
    fabric[1].configure("tenant-a", "mover", "mover", &links);
    hears(&wire, MOVER, &moved, "overlay");
    follows(&fabric[2], 1);
    assert!(stays[2].reaches(MOVER));
}

/// What is said while the underlay is down is lost.
#[test]
fn an_underlay_that_comes_up_late_lets_the_announcement_through() {
    let fabric = Fabric::new(2);
    let all = peers(&[0, 1]);
    let (_daemons, stays) = fabric_of(&fabric, &all);
    let mover = silent(&fabric[0], "mover", &all, MOVER);
    follows(&fabric[1], 0);
    mover.delete();
    fabric[0].withdraw("mover");
    let down = |n: usize, to: &str| fabric[n].run(&["ip", "link", "set", UPLINK, to]);
    down(0, "down");
    let wire = Wire::on(&stays[1].netns(), "overlay");
    let moved = joined(&fabric[0], "other", &all, "10.5.0.8/24");
    moved.reason("overlay", "ParentDown");
    down(0, "up");
    moved.ready("overlay");
    hears(&wire, "10.5.0.8", &moved, "overlay");
    let found: Value = stays[1].ip(&["neigh"]);
    assert!(stays[1].reaches("10.5.0.8"), "{found}");
}
