//! The kernel, without podconfig: it has what the stories need, and it does what they rely on.

use std::time::Duration;

use crate::support::{
    fabric::{self, Fabric, UPLINK},
    frame::{self, holds_token, plain, tagged, vlan_of},
    node::TestNode,
    wait::{eventually, seen},
    wire::Wire,
};

/// The link `<parent>.<id>` of the node, up.
fn add_vlan(node: &TestNode, parent: &str, id: u16, address: &str) {
    node.shell(&format!(
        "ip link add link {parent} name {parent}.{id} type vlan id {id}
         ip address add {address} dev {parent}.{id}
         ip link set {parent} up; ip link set {parent}.{id} up"
    ));
}

#[test]
fn a_vlan_between_two_nodes_tags_what_it_sends() {
    let fabric = Fabric::new(2);
    add_vlan(&fabric[0], UPLINK, 7, "10.7.0.1/24");
    add_vlan(&fabric[1], UPLINK, 7, "10.7.0.2/24");
    let tap = fabric.tap();
    fabric[0].ping("10.7.0.2");
    let from_vlan = |frame: &[u8]| frame.windows(4).any(|part| part == [10, 7, 0, 2]);
    let frame = tap.hears(Duration::from_secs(2), from_vlan).unwrap();
    assert_eq!(vlan_of(&frame), Some(7), "{frame:02x?}");
    fabric[0].ping(&fabric::address(1));
    let untagged = |frame: &[u8]| frame.windows(4).any(|part| part == [10, 77, 0, 2]);
    let frame = tap.hears(Duration::from_secs(2), untagged).unwrap();
    assert_eq!(vlan_of(&frame), None, "{frame:02x?}");
}

#[test]
fn a_made_frame_with_a_tag_arrives_in_that_vlan_alone() {
    let fabric = Fabric::new(1);
    add_vlan(&fabric[0], UPLINK, 7, "10.7.0.1/24");
    add_vlan(&fabric[0], UPLINK, 8, "10.8.0.1/24");
    let netns = fabric[0].path("/proc/1/ns/net");
    let (seven, eight) = (Wire::on(&netns, "eth1.7"), Wire::on(&netns, "eth1.8"));
    let frame = plain(frame::EVERYBODY, frame::mac("02:00:00:00:00:07"));
    fabric.outsider().wire().send(&tagged(7, &frame));
    let heard = seven.hears(Duration::from_secs(2), holds_token).unwrap();
    assert_eq!(vlan_of(&heard), None, "the vlan's own link has no tags");
    assert!(
        eight
            .hears(Duration::from_millis(100), holds_token)
            .is_none()
    );
}

#[test]
fn dummies_and_bonds_carry_vlans() {
    let node = TestNode::new();
    node.shell("ip link add dummy0 type dummy; ip link add bond7 type bond");
    add_vlan(&node, "dummy0", 7, "10.7.0.1/24");
    add_vlan(&node, "bond7", 8, "10.8.0.1/24");
    let links = node.ip(&["link", "show", "type", "vlan"]);
    assert_eq!(links.as_array().unwrap().len(), 2, "{links}");
}

#[test]
fn a_bridge_that_knows_vlans_keeps_them_apart() {
    let node = TestNode::new();
    node.shell(
        "ip link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0 mcast_snooping 0; ip link set br0 up
         for n in 1 2 3; do
           ip netns add n$n
           ip link add p$n type veth peer name eth0 netns n$n
           ip link set p$n master br0 up; ip -n n$n link set eth0 up
         done
         bridge vlan add dev p1 vid 7 pvid untagged; bridge vlan add dev p2 vid 7
         bridge vlan add dev p3 vid 8 pvid untagged",
    );
    let wire = |name| Wire::on(&node.path(&format!("/run/netns/{name}")), "eth0");
    let (sender, tagged, other) = (wire("n1"), wire("n2"), wire("n3"));
    let frame = plain(frame::EVERYBODY, frame::mac("02:00:00:00:00:07"));
    eventually("the frame comes through", || {
        sender.send(&frame);
        let heard = tagged.hears(Duration::from_millis(50), holds_token);
        seen(
            heard.as_deref().and_then(vlan_of) == Some(7),
            format!("{heard:02x?}"),
        )
    });
    assert!(
        other
            .hears(Duration::from_millis(100), holds_token)
            .is_none()
    );
}

#[test]
fn a_daemon_gives_pods_their_links_here_as_well() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    node.allow_everything();
    let daemon = node.daemon();
    let (a, _b) = node.wired_neighbours();
    a.ping("10.1.0.2");
    drop(daemon);
}
