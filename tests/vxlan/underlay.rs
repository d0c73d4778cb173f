//! What the underlay does: each change gets its reason, and heals by itself.

use super::{joined, overlay, pair, peers};
use crate::support::{
    fabric::Fabric,
    look::index,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

fn one_node() -> Fabric {
    Fabric::with_mtu(1, 1500)
}

fn alone(node: &TestNode) -> TestPod<'_> {
    let pod = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    pod.ready("overlay");
    pod
}

#[test]
fn a_tunnel_follows_the_mtu_of_its_underlay_both_ways() {
    let fabric = one_node();
    let node = &fabric[0];
    let daemon = node.daemon();
    let a = alone(node);
    let before = (index(&a.ready("overlay")), index(&node.device()));
    for (underlay, link) in [(1400, 1350), (9000, 8950), (1500, 1450)] {
        node.run(&["ip", "link", "set", "eth1", "mtu", &underlay.to_string()]);
        a.carries("overlay", link);
        assert_eq!(node.device()["mtu"], link);
        a.ready("overlay");
    }
    assert_eq!((index(&a.ready("overlay")), index(&node.device())), before);
    assert_eq!(
        daemon.metric("reconfd_drift_repairs_total"),
        0.0,
        "nobody undid anything"
    );
}

#[test]
fn a_wish_that_the_underlay_can_not_carry_is_told_and_comes_true_when_it_can() {
    let fabric = one_node();
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = alone(node);
    let links = overlay(&peers(&[1]), "10.5.0.1/24", ", mtu: 1451");
    node.configure("tenant-a", "a", "a", &links);
    let told = a.reason("overlay", "MTUTooLarge");
    assert!(told["message"].as_str().unwrap().contains("1450"), "{told}");
    assert!(a.find("overlay").is_some(), "a link that is there stays");
    node.run(&["ip", "link", "set", "eth1", "mtu", "1501"]);
    a.ready("overlay");
    a.carries("overlay", 1451);
    let links = overlay(&peers(&[1]), "10.5.0.1/24", ", mtu: 1300");
    node.configure("tenant-a", "a", "a", &links);
    a.carries("overlay", 1300);
    assert_eq!(
        node.device()["mtu"],
        1451,
        "the device has all that there is"
    );
}

#[test]
fn an_underlay_that_is_down_is_told_and_heals() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    node.run(&["ip", "link", "set", "eth1", "down"]);
    let told = a.reason("overlay", "ParentDown");
    assert_eq!(told["state"], "Pending");
    assert!(a.find("overlay").is_some());
    node.shell("ip link set eth1 up; ip address replace 10.77.0.1/24 dev eth1");
    a.ready("overlay");
    a.ping("10.5.0.2");
}

#[test]
fn an_underlay_may_appear_later() {
    let fabric = one_node();
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.run(&["ip", "link", "set", "eth1", "name", "other0"]);
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    let told = a.reason("overlay", "ParentNotFound");
    assert_eq!(told["state"], "Pending");
    assert!(a.find("overlay").is_none());
    node.run(&[
        "ip", "link", "property", "add", "dev", "other0", "altname", "eth1",
    ]);
    a.ready("overlay");
}

/// The name was allowed, and the name has gone: what it stood for must not go on in its place.
#[test]
fn an_underlay_that_is_renamed_loses_the_tunnel_and_gets_it_back_with_its_name() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let before = index(&a.ready("overlay"));
    node.run(&["ip", "link", "set", "eth1", "name", "other0"]);
    a.reason("overlay", "ParentNotFound");
    node.lacks_devices();
    node.run(&["ip", "link", "set", "other0", "name", "eth1"]);
    assert_eq!(index(&a.ready("overlay")), before, "the pod's end stayed");
    a.ping("10.5.0.2");
}

#[test]
fn an_underlay_that_moves_to_another_namespace_takes_nothing_of_ours_along() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let before = index(&a.ready("overlay"));
    node.shell("ip netns add elsewhere; ip link set eth1 netns elsewhere");
    let told = a.reason("overlay", "ParentMoved");
    assert_eq!(told["state"], "Pending");
    assert!(node.devices().is_empty());
    node.shell(
        "ip -n elsewhere link set eth1 netns 1
         ip link set eth1 up; ip address replace 10.77.0.1/24 dev eth1",
    );
    assert_eq!(index(&a.ready("overlay")), before);
    a.ping("10.5.0.2");
}

#[test]
fn an_underlay_that_is_deleted_and_made_again_gets_its_tunnel_back() {
    let fabric = one_node();
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = alone(node);
    let before = index(&a.ready("overlay"));
    node.run(&["ip", "link", "delete", "eth1"]);
    a.reason("overlay", "ParentNotFound");
    node.shell("ip link add eth1 type bridge; ip link set eth1 up mtu 1400");
    assert_eq!(index(&a.ready("overlay")), before);
    a.carries("overlay", 1350);
    assert_eq!(node.device()["mtu"], 1350);
}

#[test]
fn a_new_address_of_the_node_is_no_peer_of_its_own() {
    let fabric = one_node();
    let node = &fabric[0];
    let _daemon = node.daemon();
    let both = "{addresses: [10.77.0.7, 10.77.0.8]}";
    let a = joined(node, "a", both, "10.5.0.1/24");
    a.ready("overlay");
    assert_eq!(node.ends().len(), 2);
    node.run(&["ip", "address", "add", "10.77.0.7/24", "dev", "eth1"]);
    eventually("only the other is a peer", || {
        let ends = node.ends();
        let other = ends.len() == 1 && ends.contains("10.77.0.8");
        seen(other, format!("{ends:?}"))
    });
}
