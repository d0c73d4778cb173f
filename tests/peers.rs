//! What one pod may do to another on a segment that they share.

use std::{thread::sleep, time::Duration};

use crate::support::{
    frame::{self, EVERYBODY, holds_token, mac},
    manifests::{ANY_VETH, config, config_for, on_bridge, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
    wire::Wire,
};

const LISTEN: Duration = Duration::from_millis(300);

/// Attack 23: a router advertisement from a pod.
#[test]
fn a_router_advertisement_of_a_pod_is_believed_by_nobody() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let heard = Wire::on(&b.netns(), "data0");
    let wire = Wire::on(&a.netns(), "data0");
    let prefix = "fd66::".parse().unwrap();
    for _ in 0..3 {
        wire.send(&frame::router_advertisement(a.mac_of("data0"), prefix));
    }
    assert!(
        heard
            .hears(LISTEN, |f| f[12..14] == [0x86, 0xdd] && f[54] == 134)
            .is_some(),
        "it was sent"
    );
    sleep(LISTEN);
    let (of_pod, of_node) = (
        b.run(&["ip", "-6", "route"]),
        node.run(&["ip", "-6", "route"]),
    );
    assert!(
        !of_pod.contains("proto ra") && !of_pod.contains("fd66:"),
        "{of_pod}"
    );
    assert!(
        !of_node.contains("proto ra") && !of_node.contains("fd66:"),
        "{of_node}"
    );
    assert!(!b.run(&["ip", "-6", "address"]).contains("fd66:"));
}

/// The rule lets a pod believe; whether its neighbours do is for each of them to wish.
#[test]
fn only_a_pod_that_asked_for_it_believes_its_neighbours_router_advertisement() {
    let node = TestNode::builder().any_veth().daemon().start();
    let (a, b) = node.neighbours();
    let believer = node.bare_pod("tenant-a", "believer");
    let links = "[{name: data0, veth: {bridge: blue}, slaac: Accept, addresses: [10.1.0.3/24]}]";
    node.configure("tenant-a", "c", "believer", links);
    believer.ready("data0");
    let wire = Wire::on(&a.netns(), "data0");
    let message = frame::router_advertisement(a.mac_of("data0"), "fd66::".parse().unwrap());
    eventually("the pod that asked has the prefix and the router", || {
        wire.send(&message);
        let address = believer.run(&["ip", "-6", "address", "show", "dev", "data0"]);
        let routes = believer.run(&["ip", "-6", "route"]);
        seen(
            address.contains("inet6 fd66:") && routes.contains("default via fe80:"),
            format!("{address}\n{routes}"),
        )
    });
    for words in [["ip", "-6", "address"], ["ip", "-6", "route"]] {
        let of_neighbour = b.run(&words);
        assert!(
            !of_neighbour.contains("fd66:") && !of_neighbour.contains("proto ra"),
            "{of_neighbour}"
        );
    }
}

/// A thief speaks as another pod, to a third and to all: nobody's ping is lost, or heard by the thief.
fn steals(thief: &TestPod<'_>, a: &TestPod<'_>, b: &TestPod<'_>) -> Wire {
    let (from, stolen) = (a.mac_of("data0"), b.mac_of("data0"));
    let stream = a.ping_on("10.1.0.2");
    let (wire, heard) = (
        Wire::on(&thief.netns(), "data0"),
        Wire::on(&thief.netns(), "data0"),
    );
    for _ in 0..50 {
        wire.send(&frame::plain(from, stolen));
        wire.send(&frame::plain(EVERYBODY, stolen));
        sleep(Duration::from_millis(4));
    }
    stream.lost_nothing();
    let echo_to_b = |f: &[u8]| f[..6] == stolen && f[12..14] == [8, 0] && f[23] == 1;
    assert_eq!(
        heard.hears(Duration::from_millis(50), echo_to_b),
        None,
        "the thief hears the neighbour's pings"
    );
    wire
}

/// Attack 23: a pod takes its neighbour's MAC.
#[test]
fn a_stolen_mac_takes_no_traffic() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let thief = node.connected("tenant-a", "thief", "10.1.0.3/24");
    thief.ready("data0");
    steals(&thief, &a, &b);
    let entries = node.switch_bridge(&["fdb", "show"]).to_string();
    assert!(
        entries.contains(&b.find("data0").unwrap()["address"].to_string()),
        "{entries}"
    );
}

/// Attack 23 from a pod that may have any MAC address: also one that another pod was given?
#[test]
fn a_mac_that_was_given_to_a_pod_is_not_to_be_had_by_one_that_may_have_any() {
    let node = TestNode::new();
    let any =
        "{veth: {bridges: Own}, addresses: [10.1.0.128/25], routes: [10.1.0.0/24], macs: Any}";
    let rules = format!(
        "[{{veth: {{bridges: Own}}, addresses: [10.1.0.0/25], routes: [10.1.0.0/24]}}, {any}]"
    );
    node.apply("policy", &policy("both", "{}", &rules));
    let _daemon = node.daemon();
    let (a, b) = node.neighbours();
    let thief = node.connected("tenant-a", "thief", "10.1.0.200/24");
    thief.ready("data0");
    let wire = steals(&thief, &a, &b);
    // One that nobody was given it may have.
    let own = mac("02:00:00:00:00:99");
    let witness = Wire::on(&b.netns(), "data0");
    wire.send(&frame::plain(EVERYBODY, own));
    assert!(witness.hears(LISTEN, holds_token).is_some());
}

#[test]
fn host_ends_learn_nothing_and_flood_nothing_unknown() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    for end in node.host_ends() {
        let port = &end["linkinfo"]["info_slave_data"];
        assert_eq!(
            (port["learning"].as_bool(), port["flood"].as_bool()),
            (Some(false), Some(false)),
            "{end}"
        );
    }
    let heard = Wire::on(&b.netns(), "data0");
    let wire = Wire::on(&a.netns(), "data0");
    wire.send(&frame::plain(mac("02:99:99:99:99:99"), a.mac_of("data0")));
    assert_eq!(
        heard.hears(LISTEN, holds_token),
        None,
        "a frame to nobody is not for everybody"
    );
    wire.send(&frame::plain(EVERYBODY, a.mac_of("data0")));
    assert!(
        heard.hears(LISTEN, holds_token).is_some(),
        "a frame to everybody is"
    );
}

/// A pod that says it is the root bridge would bend the node's whole LAN.
#[test]
fn a_bpdu_of_a_pod_reaches_nobody() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let heard = Wire::on(&b.netns(), "data0");
    let wire = Wire::on(&a.netns(), "data0");
    wire.send(&frame::bpdu(a.mac_of("data0")));
    assert_eq!(heard.hears(LISTEN, holds_token), None);
    wire.send(&frame::plain(EVERYBODY, a.mac_of("data0")));
    assert!(
        heard.hears(LISTEN, holds_token).is_some(),
        "other frames pass"
    );
}

/// The same on a bridge of the node, which is not podconfig's to change.
#[test]
fn a_bpdu_of_a_pod_leaves_by_no_port_of_a_host_bridge() {
    let node = TestNode::builder().any_veth().start();
    node.add_bridge("br-lan", "192.168.7.1/24");
    // An uplink, whose MAC address the bridge takes for its own.
    node.shell("ip link add up0 address 52:54:00:11:22:33 type veth peer name up1; ip link set up0 master br-lan up; ip link set up1 up");
    let own_mac = node.ip(&["link", "show", "br-lan"])[0]["address"].clone();
    let _daemon = node.daemon();
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-b", "b"),
    );
    for (pod, namespace, address) in [
        (&a, "tenant-a", "192.168.7.2"),
        (&b, "tenant-b", "192.168.7.3"),
    ] {
        let links =
            format!("[{{name: data0, veth: {{hostBridge: br-lan}}, addresses: [{address}/24]}}]");
        node.apply(namespace, &config_for(namespace, "lan", "{}", &links));
        pod.ready("data0");
    }
    let heard = Wire::on(&b.netns(), "data0");
    let wire = Wire::on(&a.netns(), "data0");
    wire.send(&frame::bpdu(a.mac_of("data0")));
    assert_eq!(heard.hears(LISTEN, holds_token), None);
    wire.send(&frame::plain(EVERYBODY, a.mac_of("data0")));
    assert!(
        heard.hears(LISTEN, holds_token).is_some(),
        "other frames pass"
    );
    assert_eq!(
        node.ip(&["link", "show", "br-lan"])[0]["address"],
        own_mac,
        "a pod changes nothing of the bridge"
    );
}

/// Attack 1 by another door: a vlan of a bridge of the node, which no rule lists.
#[test]
fn a_pod_reaches_no_vlan_of_a_host_bridge() {
    let node = TestNode::new();
    let vlans = "{vlan: {ids: [{min: 200, max: 200}]}}";
    let rules = format!("[{ANY_VETH}, {vlans}]");
    node.apply("policy", &policy("both", "{}", &rules));
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.shell("ip link add up0 type veth peer name up1; ip link set up0 master br-lan up; ip link set up1 up");
    let _daemon = node.daemon();
    let a = node.bare_pod("tenant-a", "a");
    let links = "[{name: data0, veth: {hostBridge: br-lan}}, \
        {name: sub0, vlan: {parentLink: data0, id: 200}}]";
    node.configure("tenant-a", "a", "a", links);
    a.ready("data0");
    a.reason("sub0", "NotAllowed");
    let (wire, uplink) = (
        Wire::on(&a.netns(), "data0"),
        Wire::on(&node.path("/proc/1/ns/net"), "up1"),
    );
    let plain = frame::plain(EVERYBODY, a.mac_of("data0"));
    wire.send(&frame::tagged(200, &plain));
    assert_eq!(uplink.hears(LISTEN, holds_token), None);
    wire.send(&plain);
    assert!(uplink.hears(LISTEN, holds_token).is_some());
}

#[test]
fn a_pod_cannot_join_one_segment_twice() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    let links = "[{name: data0, veth: {bridge: blue}}, {name: data1, veth: {bridge: blue}}]";
    node.configure("tenant-a", "x", "a", links);
    pod.ready("data0");
    pod.reason("data1", "SameSegment");
    assert!(pod.find("data1").is_none());
    // Nor by way of a second PodConfig.
    node.apply(
        "y",
        &config(
            "tenant-a",
            "zz",
            "a",
            "[{name: data2, veth: {bridge: blue}}]",
        ),
    );
    pod.reason("data2", "SameSegment");
    assert_eq!(node.host_ends().len(), 1);
}

#[test]
fn a_pod_that_moves_its_own_links_together_makes_no_storm_of_two_segments() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    let links = "[{name: data0, veth: {bridge: blue}}, {name: data1, veth: {bridge: red}}]";
    node.apply("all", &config_for("tenant-a", "all", "{}", links));
    for pod in [&a, &b] {
        pod.ready("data0");
        pod.ready("data1");
    }
    a.shell("ip link add loop type bridge; ip link set data0 master loop; ip link set data1 master loop; ip link set loop up");
    let counted = Wire::on(&b.netns(), "data0");
    Wire::on(&b.netns(), "data0").send(&frame::plain(EVERYBODY, b.mac_of("data0")));
    let heard = counted.counts(LISTEN, holds_token);
    assert!(heard <= 4, "{heard} copies of one frame");
}

#[test]
fn a_link_whose_rule_allows_any_mac_is_learnt() {
    let node = TestNode::builder().any_veth().daemon().start();
    let (a, b) = node.neighbours();
    // A nested guest of b answers with a MAC of its own.
    b.shell("ip link add guest link data0 type macvlan mode bridge; ip address add 10.1.0.9/24 dev guest; ip link set guest up");
    a.ping("10.1.0.9");
    node.apply(
        "c",
        &config(
            "tenant-a",
            "other",
            "a",
            &on_bridge("data1", "red", "10.9.0.1/24"),
        ),
    );
    a.ready("data1");
    a.ping("10.1.0.9");
}
