//! Tenants who do not trust each other, and what a pod may not send to the networks around the node.

use std::time::Duration;

use super::{VLANS, allow, joined, on_vlan, pair};
use crate::support::{
    fabric::Fabric,
    frame::{self, EVERYBODY, holds_token},
    wire::Wire,
};

const LISTEN: Duration = Duration::from_millis(600);

/// Attack 2: the vlan of another tenant.
#[test]
fn a_vlan_belongs_to_the_namespace_that_used_it_first() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let a = joined(node, "a", "10.6.0.1/24");
    a.ready("net0");
    let b = node.bare_pod("tenant-b", "b");
    let links = on_vlan(100, "10.6.0.2/24", "");
    node.configure("tenant-b", "b", "b", &links);
    let told = b.reason("net0", "SegmentInUse");
    assert!(
        told["message"].as_str().unwrap().contains("tenant-a"),
        "{told}"
    );
    daemon.kill();
    daemon = node.daemon();
    a.ready("net0");
    b.reason("net0", "SegmentInUse");
    allow(
        node,
        &[&VLANS.replace("parents:", "sharing: AcrossNamespaces, parents:")],
    );
    b.ready("net0");
    a.ping("10.6.0.2");
    drop(daemon);
}

/// Attack 1 and 2: a vlan that NetworkManager, or whoever, has made on the node.
#[test]
fn a_vlan_that_the_node_has_itself_is_nobodys() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.run(&[
        "ip", "link", "add", "link", "eth1", "name", "eth1.100", "type", "vlan", "id", "100",
    ]);
    let a = joined(node, "a", "10.6.0.1/24");
    let told = a.reason("net0", "SegmentInUse");
    assert!(
        told["message"].as_str().unwrap().contains("eth1.100"),
        "{told}"
    );
    assert!(a.find("net0").is_none() && node.devices().is_empty());
    node.shell("ip netns add elsewhere; ip link set eth1.100 netns elsewhere");
    let told = a.reason("net0", "SegmentInUse");
    assert!(told["message"].is_string(), "{told}");
    node.run(&["ip", "netns", "delete", "elsewhere"]);
    a.ready("net0");
}

/// Attack 1: never the parent from one rule and the id from another.
#[test]
fn one_rule_must_allow_the_whole_vlan() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", "10.6.0.1/24");
    a.ready("net0");
    let rule = |parent: &str, id: u16| {
        format!(
            "{{vlan: {{parents: [{parent}], ids: [{{min: {id}, max: {id}}}]}}, addresses: [10.6.0.0/16]}}"
        )
    };
    allow(node, &[&rule("eth1", 101), &rule("eth2", 100)]);
    a.reason("net0", "NotAllowed");
    a.lacks("net0");
    node.is_clean();
    allow(node, &[&rule("eth1", 100)]);
    a.ready("net0");
    node.withdraw("policy");
    a.reason("net0", "NoPolicy");
    a.lacks("net0");
}

/// A second tag of the pod's own, which a switch could take for the only one.
#[test]
fn a_frame_with_a_tag_of_the_pods_own_does_not_leave_the_node() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let (wire, tap) = (Wire::on(&a.netns(), "net0"), fabric.tap());
    let own = a.mac_of("net0");
    let plain = frame::plain(EVERYBODY, own);
    for tag in [
        [0x81, 0, 0, 200],
        [0x88, 0xa8, 0, 200],
        [0x91, 0, 0, 200],
        [0x81, 0, 0, 0],
    ] {
        let mut double = plain.clone();
        double.splice(12..12, tag);
        wire.send(&double);
        assert_eq!(tap.hears(LISTEN, holds_token), None, "{tag:x?}");
    }
    // The same by a device of the pod's own.
    a.shell("ip link add link net0 name hop type vlan id 200; ip link set hop up");
    Wire::on(&a.netns(), "hop").send(&plain);
    assert_eq!(tap.hears(LISTEN, holds_token), None);
    wire.send(&plain);
    let heard = tap.hears(Duration::from_secs(2), holds_token);
    assert_eq!(
        frame::vlan_of(&heard.expect("an untagged one does")),
        Some(100)
    );
}

/// Attacks 11 and 23: another's MAC address, a BPDU and a router advertisement.
#[test]
fn what_a_pod_may_not_say_does_not_leave_the_node() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, b) = pair(&fabric);
    let (wire, tap) = (Wire::on(&a.netns(), "net0"), fabric.tap());
    wire.send(&frame::plain(EVERYBODY, b.mac_of("net0")));
    assert_eq!(tap.hears(LISTEN, holds_token), None, "a stolen MAC");
    wire.send(&frame::bpdu(a.mac_of("net0")));
    let is_bpdu = |frame: &[u8]| frame[..5] == [0x01, 0x80, 0xc2, 0, 0];
    assert_eq!(tap.hears(LISTEN, is_bpdu), None, "a BPDU");
    wire.send(&frame::router_advertisement(
        a.mac_of("net0"),
        "fd66::".parse().unwrap(),
    ));
    std::thread::sleep(LISTEN);
    let routes = b.run(&["ip", "-6", "route"]);
    assert!(!routes.contains("proto ra"), "{routes}");
}
