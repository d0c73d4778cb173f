//! vlan: links on the 802.1Q networks around the nodes, with real tags on a real wire.

use std::time::Duration;

use crate::support::{
    fabric::{Fabric, UPLINK},
    frame::vlan_of,
    look::index,
    manifests::policy,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
};

/// The device itself in the pod, and sub-interfaces of its links.
#[path = "vlan/inside.rs"]
mod inside;
/// Links that were something else before.
#[path = "vlan/kinds.rs"]
mod kinds;
/// Pods that go from node to node.
#[path = "vlan/moves.rs"]
mod moves;
/// What the parent does.
#[path = "vlan/parents.rs"]
mod parents;
/// Tenants who do not trust each other.
#[path = "vlan/tenants.rs"]
mod tenants;

/// A rule for the vlans 100 to 199 of the wire.
pub const VLANS: &str = "{vlan: {parents: [eth1], ids: [{min: 100, max: 199}]}, \
    addresses: [10.6.0.0/16, 'fd06::/64']}";

pub fn allow(node: &TestNode, rules: &[&str]) {
    let rules = format!("[{}]", rules.join(", "));
    node.apply("policy", &policy("vlans", "{}", &rules));
}

pub fn on_vlan(id: u16, address: &str, more: &str) -> String {
    format!(
        "[{{name: net0, vlan: {{parent: {UPLINK}, id: {id}}}, addresses: ['{address}']{more}}}]"
    )
}

/// A pod of tenant-a on the node, with a link on vlan 100.
pub fn joined<'n>(node: &'n TestNode, pod: &str, address: &str) -> TestPod<'n> {
    allow(node, &[VLANS]);
    let joined = node.bare_pod("tenant-a", pod);
    let links = on_vlan(100, address, "");
    node.configure("tenant-a", pod, pod, &links);
    joined
}

/// Two nodes with a pod each, a with 10.6.0.1 and b with 10.6.0.2.
pub fn pair(fabric: &Fabric) -> (TestPod<'_>, TestPod<'_>) {
    let a = joined(&fabric[0], "a", "10.6.0.1/24");
    let b = joined(&fabric[1], "b", "10.6.0.2/24");
    a.ready("net0");
    b.ready("net0");
    (a, b)
}

#[test]
fn pods_of_two_nodes_meet_on_a_vlan_with_its_tag_on_the_wire() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, b) = pair(&fabric);
    assert_eq!(a.ready("net0")["mtu"], 1500);
    let tap = fabric.tap();
    a.ping("10.6.0.2");
    let heard = tap.hears(Duration::from_secs(2), |frame| {
        vlan_of(frame) == Some(100) && frame[16..18] == [8, 0]
    });
    assert!(heard.is_some(), "the ping has tag 100 on the wire");
    b.ping("10.6.0.1");
    // Another vlan is another network.
    let links = on_vlan(101, "10.6.0.2/24", "");
    fabric[1].configure("tenant-a", "b", "b", &links);
    eventually("b has left", || {
        let reached = a.reaches("10.6.0.2");
        seen(!reached, "it still answers")
    });
    b.ready("net0");
    assert!(!b.reaches("10.6.0.1"));
}

#[test]
fn pods_of_one_node_share_a_vlan_that_comes_with_the_first_and_goes_with_the_last() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", "10.6.0.1/24");
    a.ready("net0");
    let first = index(&node.device());
    let b = joined(node, "b", "10.6.0.2/24");
    b.ready("net0");
    assert_eq!(index(&node.device()), first, "one device for both");
    a.ping("10.6.0.2");
    assert_eq!(a.find("net0").unwrap()["linkinfo"]["info_kind"], "veth");
    let device = node.device();
    assert_eq!(device["linkinfo"]["info_data"]["id"], 100);
    assert_eq!(device["linkinfo"]["info_data"]["protocol"], "802.1Q");
    a.delete();
    node.withdraw("a");
    stays("the device, for b", Duration::from_millis(300), || {
        seen(node.devices().len() == 1, "it went")
    });
    node.withdraw("b");
    b.lacks("net0");
    node.is_clean();
}

#[test]
fn a_restart_leaves_vlans_alone_and_loses_no_packet() {
    let fabric = Fabric::new(2);
    let (mut daemon, _other) = (fabric[0].daemon(), fabric[1].daemon());
    let (a, _b) = pair(&fabric);
    fabric[0].falls_silent("podconfig");
    let before = (index(&fabric[0].device()), index(&a.ready("net0")));
    let stream = a.ping_on("10.6.0.2");
    for _ in 0..2 {
        daemon.kill();
        daemon = fabric[0].daemon();
        daemon.changed_nothing();
    }
    stream.lost_nothing();
    let after = (index(&fabric[0].device()), index(&a.ready("net0")));
    assert_eq!(after, before);
}

#[test]
fn what_somebody_does_to_the_vlan_is_undone() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let device = node.device()["ifname"].as_str().unwrap().to_owned();
    for deed in [
        "delete DEV",
        "set DEV down",
        "set DEV mtu 1400",
        "set DEV nomaster",
    ] {
        let words = deed.replace("DEV", &device);
        node.shell(&format!("ip -n podconfig link {words}"));
        eventually(deed, || {
            let devices = node.devices();
            let whole = devices.len() == 1
                && devices[0]["mtu"] == 1500
                && devices[0]["master"].is_string()
                && devices[0]["flags"].to_string().contains("\"UP\"");
            seen(whole, format!("{devices:?}"))
        });
        a.ping("10.6.0.2");
    }
}

#[test]
fn what_a_crash_left_of_a_vlan_is_cleared_away() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    let a = joined(node, "a", "10.6.0.1/24");
    a.ready("net0");
    daemon.kill();
    node.shell(
        "ip link add link eth1 name pcdabcdefghijkl type vlan id 150
         ip link set pcdabcdefghijkl netns podconfig",
    );
    let _daemon = node.daemon();
    eventually("one device, the right one", || {
        let ids: Vec<_> = node
            .devices()
            .iter()
            .map(|device| device["linkinfo"]["info_data"]["id"].clone())
            .collect();
        seen(ids == [100], format!("{ids:?}"))
    });
    a.ready("net0");
}

/// Without nf_tables nothing keeps strangers out of a tunnel; with them the rule has nothing to add.
#[test]
fn a_tunnel_on_a_kernel_without_a_filter_takes_a_rule_that_says_so() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let has_filter = node
        .try_run(&["nft", "add", "table", "inet", "probe"])
        .status
        .success();
    let rule = "{vxlan: {underlays: [eth1], vnis: [{min: 7, max: 7}], peers: [10.77.0.0/24]}}";
    allow(node, &[rule]);
    let a = node.bare_pod("tenant-a", "a");
    let links = "[{name: tun0, vxlan: {underlay: eth1, vni: 7, peers: {addresses: [10.77.0.2]}}}]";
    node.configure("tenant-a", "a", "a", links);
    match has_filter {
        true => drop(a.ready("tun0")),
        false => {
            a.reason("tun0", "NoPeerFilter");
            assert!(node.devices().is_empty() && a.find("tun0").is_none());
        }
    }
    allow(
        node,
        &[&rule.replace("underlays:", "unfiltered: Allowed, underlays:")],
    );
    a.ready("tun0");
    allow(node, &[rule]);
    if !has_filter {
        a.reason("tun0", "NoPeerFilter");
        node.lacks_devices();
    }
}
