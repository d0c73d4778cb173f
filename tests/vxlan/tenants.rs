//! Tenants who do not trust each other: whose a segment is, and what no rule allows.

use std::time::Duration;

use super::{TUNNELS, VNI, joined, overlay, pair, peers};
use crate::support::{
    fabric::Fabric,
    frame::{self, holds_token},
    manifests::{config_born, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
    wire::Wire,
};

fn asks<'n>(node: &'n TestNode, namespace: &str, pod: &str, peers: &str, ip: &str) -> TestPod<'n> {
    let asks = node.bare_pod(namespace, pod);
    node.configure(namespace, pod, pod, &overlay(peers, ip, ""));
    asks
}

/// Attack 2: the VNI of another tenant.
#[test]
fn a_segment_belongs_to_the_namespace_that_used_it_first() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    let b = asks(node, "tenant-b", "b", &peers(&[1]), "10.5.0.2/24");
    let told = b.reason("overlay", "SegmentInUse");
    assert!(
        told["message"].as_str().unwrap().contains("tenant-a"),
        "{told}"
    );
    // Also over a restart at which the stranger is looked at first.
    for _ in 0..2 {
        daemon.kill();
        daemon = node.daemon();
        a.ready("overlay");
        b.reason("overlay", "SegmentInUse");
        assert!(b.find("overlay").is_none());
    }
    node.withdraw("a");
    b.ready("overlay");
}

#[test]
fn two_namespaces_share_a_segment_where_the_rules_say_so() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    let shared = TUNNELS.replace("underlays:", "sharing: AcrossNamespaces, underlays:");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{shared}]")));
    a.ready("overlay");
    let b = asks(node, "tenant-b", "b", &peers(&[1]), "10.5.0.2/24");
    b.ready("overlay");
    a.ping("10.5.0.2");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{TUNNELS}]")));
    b.reason("overlay", "SegmentInUse");
    b.lacks("overlay");
    a.ready("overlay");
}

/// Attack 2: the VNI and port of the cluster's own overlay.
#[test]
fn a_segment_that_the_node_uses_itself_is_nobodys() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    for made in [
        format!("ip link add flannel.1 type vxlan id {VNI} dstport 4789 dev eth1"),
        "ip link add flannel.1 type vxlan external dstport 4789".to_owned(),
    ] {
        node.shell(&made);
        let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
        let told = a.reason("overlay", "SegmentInUse");
        assert!(
            told["message"].as_str().unwrap().contains("flannel.1"),
            "{told}"
        );
        assert!(a.find("overlay").is_none() && node.devices().is_empty());
        node.run(&["ip", "link", "delete", "flannel.1"]);
        a.ready("overlay");
        // One that comes later finds the place taken, and is none of ours.
        node.withdraw("a");
        a.lacks("overlay");
        a.delete();
    }
}

/// The node's kernel knows one device of a VNI and port, also one that is where nobody looks.
#[test]
fn a_segment_of_somebody_in_another_namespace_is_in_use_as_well() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.shell(&format!(
        "ip netns add docker
         ip link add netns docker ov0 type vxlan id {VNI} dstport 4789 dev eth1"
    ));
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    let told = a.reason("overlay", "SegmentInUse");
    assert!(
        told["message"].as_str().unwrap().contains("exists"),
        "{told}"
    );
    node.run(&["ip", "netns", "delete", "docker"]);
    a.ready("overlay");
}

#[test]
fn of_two_podconfigs_with_different_peers_the_older_wins_and_the_other_is_told() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.apply("policy", &policy("tunnels", "{}", &format!("[{TUNNELS}]")));
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    let younger = overlay(&peers(&[2]), "10.5.0.2/24", "");
    node.apply(
        "b",
        &config_born("tenant-a", "b", "2024-01-01T00:00:00Z", "b", &younger),
    );
    b.ready("overlay");
    let older = overlay(&peers(&[1]), "10.5.0.1/24", "");
    node.apply(
        "a",
        &config_born("tenant-a", "a", "2023-01-01T00:00:00Z", "a", &older),
    );
    a.ready("overlay");
    let told = b.reason("overlay", "SegmentDiffers");
    assert!(
        told["message"].as_str().unwrap().contains("podconfig a"),
        "{told}"
    );
    b.lacks("overlay");
    eventually("the older one's peers", || {
        let ends = node.ends();
        seen(
            ends.contains("10.77.0.2") && ends.len() == 1,
            format!("{ends:?}"),
        )
    });
    node.withdraw("a");
    b.ready("overlay");
    assert!(node.ends().contains("10.77.0.3"));
}

/// Who waits for a segment gets it as soon as nothing stands in the way, also when nobody leaves.
#[test]
fn who_waits_is_not_forgotten_when_the_others_change_their_mind() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.apply("policy", &policy("tunnels", "{}", &format!("[{TUNNELS}]")));
    let (b, a) = (
        node.bare_pod("tenant-a", "b"),
        node.bare_pod("tenant-a", "a"),
    );
    let say = |born: &str, pod: &str, peers: &str, ip: &str| {
        let links = overlay(peers, ip, "");
        let born = format!("{born}-01-01T00:00:00Z");
        node.apply(pod, &config_born("tenant-a", pod, &born, pod, &links));
    };
    say("2023", "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    say("2024", "b", &peers(&[2]), "10.5.0.2/24");
    b.reason("overlay", "SegmentDiffers");
    let idle: Vec<_> = (0..20)
        .map(|n| node.bare_pod("tenant-c", &format!("idle{n}")))
        .collect();
    say("2023", "a", &peers(&[2]), "10.5.0.1/24");
    b.ready("overlay");
    // And of another namespace, when the rule comes that lets both share.
    let c = asks(node, "tenant-b", "c", &peers(&[2]), "10.5.0.3/24");
    c.reason("overlay", "SegmentInUse");
    let shared = TUNNELS.replace("underlays:", "sharing: AcrossNamespaces, underlays:");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{shared}]")));
    c.ready("overlay");
    drop(idle);
}

/// What was taken back must not stay behind a wish that can not come true.
#[test]
fn a_wish_that_can_not_come_true_keeps_nothing_that_a_policy_has_withdrawn() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let any = TUNNELS.replace("addresses:", "macs: Any, addresses:");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{any}]")));
    let a = asks(node, "tenant-a", "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    let links = overlay(&peers(&[1]), "10.5.0.1/24", ", mtu: 65000");
    node.configure("tenant-a", "a", "a", &links);
    a.reason("overlay", "MTUTooLarge");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{TUNNELS}]")));
    eventually("the port takes no other address any more", || {
        let ends = node.host_ends();
        let port = &ends[0]["linkinfo"]["info_slave_data"];
        seen(port["locked"] == true && port["learning"] == false, port)
    });
    a.reason("overlay", "MTUTooLarge");
}

/// Attack 1: never the underlay from one rule and the VNI from another.
#[test]
fn one_rule_must_allow_the_whole_tunnel() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    let rule = |underlay: &str, vni: u32, peers: &str| {
        format!(
            "{{vxlan: {{underlays: [{underlay}], vnis: [{{min: {vni}, max: {vni}}}], peers: [{peers}]}}, \
             addresses: [10.5.0.0/16]}}"
        )
    };
    let rules = [
        rule("eth1", 1, "10.77.0.0/24"),
        rule("eth2", VNI, "10.77.0.0/24"),
        rule("eth1", VNI, "10.78.0.0/24"),
    ];
    node.apply(
        "policy",
        &policy("tunnels", "{}", &format!("[{}]", rules.join(", "))),
    );
    a.reason("overlay", "NotAllowed");
    a.lacks("overlay");
    node.is_clean();
    let whole = rule("eth1", VNI, "10.77.0.2/32");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{whole}]")));
    a.ready("overlay");
}

/// Attack 17.
#[test]
fn a_withdrawn_policy_takes_the_tunnel() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    node.withdraw("policy");
    a.reason("overlay", "NoPolicy");
    a.lacks("overlay");
    node.is_clean();
}

#[test]
fn a_pod_has_one_link_on_a_segment() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    let one = overlay(&peers(&[1]), "10.5.0.1/24", "");
    let two = one.replace("overlay", "second").replace("0.1/24", "0.2/24");
    let both = format!(
        "{}, {}",
        one.trim_end_matches(']'),
        two.trim_start_matches('[')
    );
    node.configure("tenant-a", "a", "a", &both);
    a.ready("overlay");
    a.reason("second", "SameSegment");
}

/// Attack 11: the MAC address of a pod that is on another node.
#[test]
fn a_frame_under_a_stolen_mac_does_not_leave_the_node() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, b) = pair(&fabric);
    let (own, stolen) = (a.mac_of("overlay"), b.mac_of("overlay"));
    a.ping("10.5.0.2");
    let (thief, tap) = (Wire::on(&a.netns(), "overlay"), fabric.tap());
    thief.send(&frame::plain(frame::EVERYBODY, stolen));
    let carries = |f: &[u8]| holds_token(f) && f.windows(6).any(|part| part == stolen);
    assert_eq!(tap.hears(Duration::from_millis(400), carries), None);
    thief.send(&frame::plain(frame::EVERYBODY, own));
    assert!(
        tap.hears(Duration::from_secs(2), holds_token).is_some(),
        "its own does"
    );
}
