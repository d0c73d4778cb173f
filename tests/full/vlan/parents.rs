//! What the parent does: each change gets its reason, and heals by itself.

use super::{VLANS, allow, joined, on_vlan, pair};
use crate::support::{fabric::Fabric, look::index, node::TestNode, pod::TestPod};

/// Before Linux 6.2 a link that is up can not be renamed.
fn rename(node: &TestNode, from: &str, to: &str) {
    node.shell(&format!(
        "ip link set {from} down; ip link set {from} name {to}; ip link set {to} up"
    ));
}

fn alone(node: &TestNode) -> TestPod<'_> {
    let pod = joined(node, "a", "10.6.0.1/24");
    pod.ready("net0");
    pod
}

#[test]
fn a_vlan_follows_the_mtu_of_its_parent_both_ways() {
    let fabric = Fabric::with_mtu(1, 9000);
    let node = &fabric[0];
    let daemon = node.daemon();
    let a = alone(node);
    let before = (index(&a.ready("net0")), index(&node.device()));
    for mtu in [9000, 1500, 9000, 1400] {
        node.run(&["ip", "link", "set", "eth1", "mtu", &mtu.to_string()]);
        a.carries("net0", mtu);
        assert_eq!(node.device()["mtu"], mtu);
        a.ready("net0");
    }
    assert_eq!((index(&a.ready("net0")), index(&node.device())), before);
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 0.0);
    let links = on_vlan(100, "10.6.0.1/24", ", mtu: 1401");
    node.configure("tenant-a", "a", "a", &links);
    a.reason("net0", "MTUTooLarge");
    node.run(&["ip", "link", "set", "eth1", "mtu", "1500"]);
    a.ready("net0");
    a.carries("net0", 1401);
}

/// The kernel takes a vlan down with its parent, and leaves it so.
#[test]
fn a_parent_that_is_down_is_told_and_its_vlan_raised_with_it_again() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let before = (index(&a.ready("net0")), index(&node.device()));
    node.run(&["ip", "link", "set", "eth1", "down"]);
    let told = a.reason("net0", "ParentDown");
    assert_eq!(told["state"], "Pending");
    node.run(&["ip", "link", "set", "eth1", "up"]);
    a.ready("net0");
    a.ping("10.6.0.2");
    assert_eq!((index(&a.ready("net0")), index(&node.device())), before);
    // A pod that comes while it is down is told so too, and works with it.
    node.run(&["ip", "link", "set", "eth1", "down"]);
    let c = joined(node, "c", "10.6.0.3/24");
    c.reason("net0", "ParentDown");
    node.run(&["ip", "link", "set", "eth1", "up"]);
    c.ready("net0");
    c.ping("10.6.0.2");
}

#[test]
fn a_parent_may_appear_later_and_be_known_by_an_altname() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    rename(node, "eth1", "other0");
    let a = joined(node, "a", "10.6.0.1/24");
    let told = a.reason("net0", "ParentNotFound");
    assert_eq!(told["state"], "Pending");
    node.run(&[
        "ip", "link", "property", "add", "dev", "other0", "altname", "eth1",
    ]);
    a.ready("net0");
    node.run(&[
        "ip", "link", "property", "del", "dev", "other0", "altname", "eth1",
    ]);
    a.reason("net0", "ParentNotFound");
    assert!(node.devices().is_empty());
}

#[test]
fn a_parent_that_is_renamed_or_deleted_loses_the_vlan_and_gets_it_back() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let before = index(&a.ready("net0"));
    rename(node, "eth1", "other0");
    a.reason("net0", "ParentNotFound");
    node.lacks_devices();
    rename(node, "other0", "eth1");
    a.ready("net0");
    a.ping("10.6.0.2");
    node.run(&["ip", "link", "delete", "eth1"]);
    a.reason("net0", "ParentNotFound");
    node.shell("ip link add eth1 type dummy; ip link set eth1 up");
    assert_eq!(
        index(&a.ready("net0")),
        before,
        "the pod's end stayed all along"
    );
    assert_eq!(node.devices().len(), 1);
}

/// The kernel leaves a vlan on a parent that has gone, and it would go on carrying traffic there.
#[test]
fn a_parent_that_moves_to_another_namespace_takes_no_vlan_along() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let before = index(&a.ready("net0"));
    node.shell("ip netns add elsewhere; ip link set eth1 netns elsewhere; ip -n elsewhere link set eth1 up");
    a.reason("net0", "ParentMoved");
    assert!(node.devices().is_empty());
    assert!(!a.reaches("10.6.0.2"));
    node.shell("ip -n elsewhere link set eth1 netns 1; ip link set eth1 up");
    assert_eq!(index(&a.ready("net0")), before);
    a.ping("10.6.0.2");
}

/// Attack 1: a vlan on a bridge's port takes its id from whoever is on the bridge.
#[test]
fn a_parent_that_becomes_a_port_is_left_to_its_bridge() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = alone(node);
    node.shell("ip link add br0 type bridge vlan_filtering 1; ip link set br0 up; ip link set eth1 master br0");
    let told = a.reason("net0", "ParentIsPort");
    assert!(
        told["message"].as_str().unwrap().contains("portParents"),
        "{told}"
    );
    node.lacks_devices();
    node.run(&["ip", "link", "set", "eth1", "nomaster"]);
    a.ready("net0");
    node.run(&["ip", "link", "set", "eth1", "master", "br0"]);
    a.reason("net0", "ParentIsPort");
    allow(
        node,
        &[&VLANS.replace("parents: [eth1]", "portParents: [eth1]")],
    );
    a.ready("net0");
}

/// A bond is a parent like any other; one of its own devices is not.
#[test]
fn a_bond_carries_a_vlan_and_its_devices_do_not() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    node.shell(
        "ip link set eth1 down; ip link add bond0 type bond mode active-backup miimon 100
         ip link set eth1 master bond0; ip link set bond0 up; ip link set eth1 up",
    );
    let a = joined(node, "a", "10.6.0.1/24");
    let b = joined(&fabric[1], "b", "10.6.0.2/24");
    b.ready("net0");
    a.reason("net0", "ParentIsPort");
    assert!(a.find("net0").is_none());
    allow(node, &[&VLANS.replace("[eth1]", "[bond0]")]);
    let links = on_vlan(100, "10.6.0.1/24", "").replace("eth1", "bond0");
    node.configure("tenant-a", "a", "a", &links);
    a.ready("net0");
    a.ping("10.6.0.2");
}
