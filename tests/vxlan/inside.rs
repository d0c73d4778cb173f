//! The device itself in the pod, by a policy's word.

use std::time::Duration;

use serde_json::Value;

use super::{TUNNELS, joined, overlay, peers};
use crate::support::{
    fabric::Fabric,
    frame::{self, holds_token, mac},
    look::{addresses, index, is_in_our_group},
    manifests::{OWN_BRIDGES, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
    wire::Wire,
};

fn exclusive_rule() -> String {
    TUNNELS.replace("underlays:", "modes: [Exclusive], underlays:")
}

fn whole(peers: &str, address: &str) -> String {
    overlay(peers, address, "").replace("vni:", "mode: Exclusive, vni:")
}

/// A pod of tenant-a that has the tunnel's device itself.
fn owner<'n>(node: &'n TestNode, pod: &str, peers: &str, address: &str) -> TestPod<'n> {
    let rules = format!("[{}]", exclusive_rule());
    node.apply("policy", &policy("tunnels", "{}", &rules));
    let owner = node.bare_pod("tenant-a", pod);
    node.configure("tenant-a", pod, pod, &whole(peers, address));
    owner
}

fn kind(link: &Value) -> &Value {
    &link["linkinfo"]["info_kind"]
}

/// Attack of facts: forwarding entries of a moved-in vxlan. Without a policy's word there is none.
#[test]
fn the_device_itself_needs_a_rule_that_says_exclusive() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    assert_eq!(kind(&a.ready("overlay")), "veth");
    // What sends to anybody as the node on a tunnel's device does nothing on a veth.
    let tap = fabric.tap();
    let stranger = "00:aa:bb:cc:dd:ef";
    let _ = a.try_run(&[
        "bridge",
        "fdb",
        "add",
        stranger,
        "dev",
        "overlay",
        "dst",
        "10.77.0.9",
        "vni",
        "999",
    ]);
    let wire = Wire::on(&a.netns(), "overlay");
    let own = mac(a.find("overlay").unwrap()["address"].as_str().unwrap());
    wire.send(&frame::plain(mac(stranger), own));
    let escaped = |f: &[u8]| holds_token(f) && f[30..34] == [10, 77, 0, 9];
    assert_eq!(tap.hears(Duration::from_millis(400), escaped), None);
    node.configure("tenant-a", "a", "a", &whole(&peers(&[1]), "10.5.0.1/24"));
    let told = a.reason("overlay", "NotAllowed");
    assert!(
        told["message"].as_str().unwrap().contains("mode Exclusive"),
        "{told}"
    );
    a.lacks("overlay");
}

#[test]
fn a_pod_may_have_the_device_itself_where_a_rule_says_so() {
    let fabric = Fabric::new(2);
    let (mut daemon, _other) = (fabric[0].daemon(), fabric[1].daemon());
    let both = peers(&[0, 1]);
    let a = owner(&fabric[0], "a", &both, "10.5.0.1/24");
    let b = joined(&fabric[1], "b", &both, "10.5.0.2/24");
    b.ready("overlay");
    let link = a.ready("overlay");
    assert_eq!(kind(&link), "vxlan");
    assert_eq!(link["mtu"], 1450);
    assert_eq!(link["address"], "0a:58:0a:05:00:01");
    assert!(is_in_our_group(&link), "{link}");
    assert!(fabric[0].devices().is_empty(), "none in the switch");
    a.ping("10.5.0.2");
    // Over a restart it is left alone.
    let before = index(&link);
    daemon.kill();
    daemon = fabric[0].daemon();
    daemon.changed_nothing();
    assert_eq!(index(&a.ready("overlay")), before);
    // Peers, MTU and addresses change in place.
    let links = whole(&peers(&[0, 1, 2]), "10.5.0.9/24").replace("]}]", "], mtu: 1400}]");
    fabric[0].configure("tenant-a", "a", "a", &links);
    eventually("the new address and MTU", || {
        let link = a.find("overlay").unwrap();
        let changed = addresses(&link) == ["10.5.0.9/24"] && link["mtu"] == 1400;
        seen(changed, &link)
    });
    let entries = a.run(&["bridge", "fdb", "show", "dev", "overlay"]);
    assert!(
        entries.contains("dst 10.77.0.3") && entries.contains("dst 10.77.0.2"),
        "{entries}"
    );
    assert!(!entries.contains("10.77.0.1 "), "{entries}");
    assert_eq!(index(&a.ready("overlay")), before);
    a.ping("10.5.0.2");
    fabric[0].withdraw("policy");
    a.lacks("overlay");
}

#[test]
fn a_segment_that_one_pod_has_whole_is_shared_with_nobody() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = owner(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    let rules = format!("[{}, {TUNNELS}]", exclusive_rule());
    node.apply("policy", &policy("tunnels", "{}", &rules));
    let b = node.bare_pod("tenant-a", "b");
    let links = overlay(&peers(&[1]), "10.5.0.2/24", "");
    node.configure("tenant-a", "b", "b", &links);
    b.reason("overlay", "SegmentInUse");
    node.withdraw("a");
    b.ready("overlay");
}

/// The one that waits is looked at first after a restart, and gets nothing for it.
#[test]
fn over_a_restart_a_device_stays_with_its_pod_and_its_filter_with_it() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let rules = format!("[{}, {OWN_BRIDGES}]", exclusive_rule());
    node.apply("policy", &policy("tunnels", "{}", &rules));
    let (b, a) = (
        node.bare_pod("tenant-b", "b"),
        node.bare_pod("tenant-a", "a"),
    );
    node.connect("tenant-b", "b", "data0", "10.1.0.1/24");
    node.configure("tenant-a", "a", "a", &whole(&peers(&[1]), "10.5.0.1/24"));
    let before = index(&a.ready("overlay"));
    node.configure("tenant-b", "b", "b", &whole(&peers(&[2]), "10.5.0.2/24"));
    b.reason("overlay", "SegmentInUse");
    node.connect("tenant-b", "b", "data0", "10.1.0.1/24");
    for _ in 0..3 {
        let changes = node.run(&["nft", "list", "table", "inet", "podconfig-default"]);
        daemon.kill();
        daemon = node.daemon();
        daemon.changed_nothing();
        assert_eq!(index(&a.ready("overlay")), before);
        b.reason("overlay", "SegmentInUse");
        let now = node.run(&["nft", "list", "table", "inet", "podconfig-default"]);
        assert_eq!(now, changes);
    }
}

/// A missing record is not a dead pod.
#[test]
fn a_device_whose_record_is_lost_keeps_its_segment_and_its_filter() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    let a = owner(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    let b = node.bare_pod("tenant-b", "b");
    node.configure("tenant-b", "b", "b", &whole(&peers(&[2]), "10.5.0.2/24"));
    b.reason("overlay", "SegmentInUse");
    std::fs::remove_file(a.record()).unwrap();
    let filter = || node.run(&["nft", "list", "table", "inet", "podconfig-default"]);
    stays(
        "the filter, for the first",
        Duration::from_millis(1500),
        || {
            let filter = filter();
            seen(
                filter.contains("10.77.0.2") && !filter.contains("10.77.0.3"),
                filter,
            )
        },
    );
    b.reason("overlay", "SegmentInUse");
    a.vanish();
    b.ready("overlay");
    drop(daemon);
}

/// A tenant is root in the pod: what it can write is not what the device is known by.
#[test]
fn a_stripped_mark_is_written_again_and_a_tampered_device_is_mended() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let a = owner(node, "a", &peers(&[1]), "10.5.0.1/24");
    let before = index(&a.ready("overlay"));
    let is_mended = |what: &str| {
        eventually(what, || {
            let Some(link) = a.find("overlay") else {
                return Err("no link".into());
            };
            let alias = link["ifalias"].as_str().unwrap_or_default();
            let whole = alias.starts_with("podconfig:v1:") && is_in_our_group(&link);
            seen(whole && index(&link) == before, &link)
        });
    };
    daemon.kill();
    a.shell("ip link set overlay alias mine; ip link set overlay group 0");
    daemon = node.daemon();
    is_mended("a stripped mark");
    a.shell("ip link set overlay down; ip link set overlay name hidden");
    is_mended("its name");
    a.run(&[
        "bridge",
        "fdb",
        "append",
        "00:00:00:00:00:00",
        "dev",
        "overlay",
        "dst",
        "10.77.0.99",
    ]);
    a.run(&["ip", "link", "set", "overlay", "mtu", "1300"]);
    eventually("ends that nobody asked for go with the next look", || {
        let entries = a.run(&["bridge", "fdb", "show", "dev", "overlay"]);
        seen(!entries.contains("10.77.0.99"), entries)
    });
    a.run(&["ip", "link", "delete", "overlay"]);
    eventually("a deleted device comes back", || {
        seen(a.find("overlay").is_some(), "it is gone")
    });
    a.ready("overlay");
    drop(daemon);
}

/// A device that a tenant hides in a namespace of its own would outlive everything that allowed it.
#[test]
fn a_device_that_a_pod_takes_to_another_namespace_does_not_go_on_there() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let both = peers(&[0, 1]);
    let b = joined(&fabric[1], "b", &both, "10.5.0.2/24");
    b.ready("overlay");
    let a = owner(node, "a", &both, "10.5.0.1/24");
    a.ready("overlay");
    node.shell(&format!(
        "ip netns add hide; ip -n {} link set overlay netns hide",
        a.netns_name()
    ));
    eventually(
        "it is made anew where it belongs, and is nowhere else",
        || {
            let hidden = node.run(&["ip", "-n", "hide", "-br", "link", "show", "type", "vxlan"]);
            let found = a.find("overlay").is_some();
            seen(found && hidden.is_empty(), format!("{found} {hidden}"))
        },
    );
    a.ready("overlay");
    a.ping("10.5.0.2");
}

/// Attack 8: marks planted where they do not belong.
#[test]
fn a_mark_planted_on_another_link_is_never_acted_on() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let a = owner(node, "a", &peers(&[1]), "10.5.0.1/24");
    let mark = a.ready("overlay")["ifalias"].as_str().unwrap().to_owned();
    // The runtime's own link, here a tunnel with the recorded address, and a bridge.
    a.shell(
        "ip link add eth0 type vxlan id 5 dstport 9999
         ip address add 10.88.255.254/16 dev eth0; ip link set eth0 up
         ip link add br0 type bridge",
    );
    let forged = mark.replace(":overlay:", ":gone:");
    for link in ["eth0", "br0"] {
        a.shell(&format!(
            "ip link set {link} alias {forged}; ip link set {link} group 1885562471"
        ));
    }
    let before = ["eth0", "br0"].map(|link| index(&a.find(link).unwrap()));
    daemon.kill();
    daemon = node.daemon();
    node.withdraw("a");
    a.lacks("overlay");
    stays("the others", Duration::from_millis(500), || {
        let now = ["eth0", "br0"].map(|link| a.find(link).map(|found| index(&found)));
        seen(now == before.map(Some), format!("{now:?}"))
    });
    drop(daemon);
}

#[test]
fn what_a_crash_left_of_a_device_in_a_pod_is_finished() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    let a = owner(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    daemon.kill();
    // As it is between its first message and its mark, and one that nobody asks for any more.
    a.shell(
        "ip link set overlay down; ip link set overlay alias ''; ip address flush dev overlay
         ip link add left0 group 1885562471 type vxlan id 6 dstport 9998",
    );
    daemon = node.daemon();
    a.ready("overlay");
    assert_eq!(addresses(&a.find("overlay").unwrap()), ["10.5.0.1/24"]);
    a.lacks("left0");
    drop(daemon);
}
