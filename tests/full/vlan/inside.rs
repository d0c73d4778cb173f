//! The device itself in the pod, by a policy's word, and sub-interfaces of the pod's links.

use super::{VLANS, allow, joined, on_vlan};
use crate::support::{
    fabric::Fabric,
    look::{addresses, index, is_in_our_group},
    manifests::OWN_BRIDGES,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

fn exclusive() -> String {
    VLANS.replace("parents:", "modes: [Exclusive], parents:")
}

fn whole(address: &str, more: &str) -> String {
    on_vlan(100, address, more).replace("id:", "mode: Exclusive, id:")
}

/// A pod of tenant-a that has vlan 100 whole.
fn owner<'n>(node: &'n TestNode, pod: &str, address: &str) -> TestPod<'n> {
    allow(node, &[&exclusive()]);
    let owner = node.bare_pod("tenant-a", pod);
    let links = whole(address, "");
    node.configure("tenant-a", pod, pod, &links);
    owner
}

#[test]
fn a_pod_may_have_the_vlan_itself_where_a_rule_says_so() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let node = &fabric[0];
    let b = joined(&fabric[1], "b", "10.6.0.2/24");
    b.ready("net0");
    let a = owner(node, "a", "10.6.0.1/24");
    let link = a.ready("net0");
    assert_eq!(link["linkinfo"]["info_kind"], "vlan");
    assert_eq!(link["address"], "0a:58:0a:06:00:01");
    assert!(is_in_our_group(&link), "{link}");
    assert!(node.devices().is_empty());
    a.ping("10.6.0.2");
    let links = whole("10.6.0.9/24", ", mtu: 1400");
    node.configure("tenant-a", "a", "a", &links);
    eventually("in place", || {
        let link = a.find("net0").ok_or("no link")?;
        let changed = addresses(&link) == ["10.6.0.9/24"] && link["mtu"] == 1400;
        seen(changed, &link)
    });
    assert_eq!(index(&a.ready("net0")), index(&link));
    let routed = exclusive().replace("addresses:", "routes: [10.9.0.0/16], addresses:");
    allow(node, &[&routed]);
    let links = whole(
        "10.6.0.1/24",
        ", routes: [{to: 10.9.0.0/16, via: 10.6.0.9}]",
    );
    node.configure("tenant-a", "a", "a", &links);
    eventually("the route", || {
        let routes = a.run(&["ip", "route"]);
        seen(routes.contains("10.9.0.0/16"), routes)
    });
    node.run(&["ip", "link", "set", "eth1", "down"]);
    a.reason("net0", "ParentDown");
    node.run(&["ip", "link", "set", "eth1", "up"]);
    a.ready("net0");
    assert!(a.run(&["ip", "route"]).contains("10.9.0.0/16"));
    a.ping("10.6.0.2");
    allow(node, &[VLANS]);
    let told = a.reason("net0", "NotAllowed");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("mode Exclusive"), "{told}");
    a.lacks("net0");
}

/// Nobody in the pod could have made such a device: a stripped mark is written again.
#[test]
fn an_exclusive_vlan_is_known_again_after_a_restart_also_without_its_mark() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let a = owner(node, "a", "10.6.0.1/24");
    let before = index(&a.ready("net0"));
    daemon.kill();
    a.shell("ip link set net0 alias mine; ip link set net0 group 0");
    daemon = node.daemon();
    eventually("the mark", || {
        let link = a.find("net0").ok_or("no link")?;
        let alias = link["ifalias"].as_str().unwrap_or_default();
        let marked = alias.starts_with("podconfig:v1:") && is_in_our_group(&link);
        seen(marked, &link)
    });
    a.ready("net0");
    daemon.kill();
    daemon = node.daemon();
    daemon.changed_nothing();
    assert_eq!(index(&a.ready("net0")), before);
}

#[test]
fn a_vlan_that_one_pod_has_whole_is_shared_with_nobody() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = owner(node, "a", "10.6.0.1/24");
    a.ready("net0");
    allow(node, &[&exclusive(), VLANS]);
    let c = node.bare_pod("tenant-a", "c");
    let links = on_vlan(100, "10.6.0.3/24", "");
    node.configure("tenant-a", "c", "c", &links);
    c.reason("net0", "SegmentInUse");
    node.withdraw("a");
    a.lacks("net0");
    c.ready("net0");
}

#[test]
fn an_exclusive_vlan_does_not_outlive_what_was_allowed() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = owner(node, "a", "10.6.0.1/24");
    a.ready("net0");
    node.shell("ip link add br0 type bridge; ip link set eth1 master br0");
    a.reason("net0", "ParentIsPort");
    a.lacks("net0");
    node.run(&["ip", "link", "set", "eth1", "nomaster"]);
    a.ready("net0");
    node.shell("ip netns add elsewhere; ip link set eth1 netns elsewhere");
    a.reason("net0", "ParentMoved");
    a.lacks("net0");
    node.shell("ip -n elsewhere link set eth1 netns 1; ip link set eth1 up");
    a.ready("net0");
}

const SUB: &str = "{vlan: {ids: [{min: 200, max: 200}]}, addresses: [10.7.0.0/24]}";

fn stacked(carrier: &str, own: &str, address: &str, sub: &str) -> String {
    format!(
        "[{{name: {carrier}.200, vlan: {{parentLink: {carrier}, id: 200}}, addresses: [{sub}]}}, \
         {{name: {carrier}, {own}, addresses: [{address}]}}]"
    )
}

#[test]
fn a_sub_interface_comes_and_goes_with_the_link_that_carries_it() {
    let (node, mut daemon) = TestNode::builder().start_with_daemon();
    allow(&node, &[OWN_BRIDGES, SUB]);
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    for (name, n) in [("a", 1), ("b", 2)] {
        let links = stacked(
            "data0",
            "veth: {bridge: blue}",
            &format!("10.1.0.{n}/24"),
            &format!("10.7.0.{n}/24"),
        );
        node.configure("tenant-a", name, name, &links);
    }
    a.ready("data0.200");
    b.ready("data0.200");
    a.ping("10.7.0.2");
    assert!(node.devices().is_empty());
    let before = index(&a.ready("data0.200"));
    daemon.kill();
    daemon = node.daemon();
    daemon.changed_nothing();
    assert_eq!(index(&a.ready("data0.200")), before);
    a.run(&["ip", "link", "delete", "data0"]);
    a.link("data0");
    // Until it is back, the report is the one from before.
    a.link("data0.200");
    a.ready("data0.200");
    a.ping("10.7.0.2");
    allow(&node, &[OWN_BRIDGES]);
    a.reason("data0.200", "NotAllowed");
    a.lacks("data0.200");
    a.ready("data0");
    drop(daemon);
}

/// Attack 1 by another door: a `parentLink` that means a link of the node, and one that would put a
/// second tag on the wire.
#[test]
fn no_name_leads_from_a_pod_to_a_parent_of_the_node() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    allow(node, &[VLANS, SUB]);
    let a = node.bare_pod("tenant-a", "a");
    let links = "[{name: sub0, vlan: {parentLink: eth1, id: 200}}]";
    node.configure("tenant-a", "a", "a", links);
    a.reason("sub0", "ParentNotFound");
    let links = stacked(
        "net0",
        "vlan: {parent: eth1, id: 100}",
        "10.6.0.1/24",
        "10.7.0.1/24",
    );
    node.configure("tenant-a", "a", "a", &links);
    a.ready("net0");
    a.reason("net0.200", "NotAllowed");
    assert!(a.find("net0.200").is_none());
    assert_eq!(node.ip(&["link", "show", "type", "vlan"]).to_string(), "[]");
    assert_eq!(node.devices().len(), 1, "the one that is allowed");
}
