//! The end on this node: which address it is, and what follows when it changes.

use std::time::Duration;

use super::{finder, named, publish, slice, told_end};
use crate::{
    support::{
        fabric::Fabric,
        look::index,
        manifests::policy,
        node::TestNode,
        pod::TestPod,
        wait::{eventually, seen},
    },
    vxlan::TUNNELS,
};

fn end_is(pod: &TestPod<'_>, address: &str) {
    eventually(&format!("the end is told as {address}"), || {
        seen(told_end(pod)["address"] == address, told_end(pod))
    });
}

fn allow(node: &TestNode, rules: &[String]) {
    node.apply(
        "policy",
        &policy("tunnels", "{}", &format!("[{}]", rules.join(", "))),
    );
}

fn peers_in(networks: &str) -> String {
    TUNNELS.replace("10.77.0.0/24, 'fd77::/64'", networks)
}

/// A node with several addresses sends from the one that it is known by, or nobody would let it in.
#[test]
fn a_node_sends_from_the_address_that_it_is_known_by() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let pods = [finder(&fabric[0], 0), finder(&fabric[1], 1)];
    for (number, pod) in pods.iter().enumerate() {
        let second = format!("10.77.0.{}/24", 50 + number);
        fabric[number].run(&["ip", "address", "add", &second, "dev", "eth1"]);
        allow(&fabric[number], &[peers_in("10.77.0.50/31")]);
        end_is(pod, &format!("10.77.0.{}", 50 + number));
        pod.ready("overlay");
    }
    publish(fabric.nodes(), &[&pods[0], &pods[1]]);
    fabric[0].sends_to(&["10.77.0.51"]);
    let tap = fabric.tap();
    pods[0].ping("10.5.0.2");
    let outer = |f: &[u8]| f[12..14] == [8, 0] && f[23] == 17 && f[36..38] == 4789u16.to_be_bytes();
    let frame = tap
        .hears(Duration::from_secs(2), outer)
        .expect("a tunnel's packet");
    assert_eq!(frame[26..29], [10, 77, 0]);
    assert!((50..=51).contains(&frame[29]), "from {}", frame[29]);
}

#[test]
fn without_an_address_that_the_rule_knows_the_link_waits_and_says_for_what() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let (daemon, _other) = (node.daemon(), fabric[1].daemon());
    let (a, b) = (finder(node, 0), finder(&fabric[1], 1));
    a.ready("overlay");
    b.ready("overlay");
    publish(fabric.nodes(), &[&a, &b]);
    a.ping("10.5.0.2");
    let before = index(&a.ready("overlay"));
    node.shell("ip address flush dev eth1; ip address add 10.66.0.1/24 dev eth1");
    let told = a.reason("overlay", "NoTunnelAddress");
    assert_eq!(told["state"], "Pending");
    let message = told["message"].as_str().unwrap();
    for word in ["eth1", "10.77.0.0/24", "give it one", "let the rule"] {
        assert!(message.contains(word), "{word} is not in {message}");
    }
    assert!(
        told.get("tunnel").is_none(),
        "nobody shall send here: {told}"
    );
    node.lacks_devices();
    // Another address than before: it is told, and whoever hears of it reaches the pod again.
    node.run(&["ip", "address", "add", "10.77.0.41/24", "dev", "eth1"]);
    end_is(&a, "10.77.0.41");
    assert_eq!(index(&a.ready("overlay")), before, "the pod's end stayed");
    publish(fabric.nodes(), &[&a, &b]);
    a.ping("10.5.0.2");
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 0.0);
}

#[test]
fn a_pod_that_comes_before_the_address_gets_its_link_with_it() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.run(&["ip", "address", "flush", "dev", "eth1"]);
    let a = finder(node, 0);
    a.reason("overlay", "NoTunnelAddress");
    assert!(a.find("overlay").is_none());
    node.run(&["ip", "address", "add", "10.77.0.1/24", "dev", "eth1"]);
    a.ready("overlay");
    end_is(&a, "10.77.0.1");
}

/// Addresses of the node elsewhere do not count; of the underlay's the first that is in the rule's peers.
#[test]
fn the_end_is_the_first_address_of_the_underlay_that_is_in_the_rule() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.shell(
        "ip address add 10.88.0.1/24 dev lo
         ip address add 10.99.0.5/24 dev eth1
         ip address add 10.99.0.4/24 dev eth1",
    );
    let a = finder(node, 0);
    end_is(&a, "10.77.0.1");
    for (networks, end) in [
        ("10.99.0.0/24, 'fd77::/64'", "10.99.0.5"),
        ("10.99.0.4/32", "10.99.0.4"),
        ("'fd77::/64'", "fd77::1"),
    ] {
        allow(node, &[peers_in(networks)]);
        end_is(&a, end);
        a.ready("overlay");
    }
    allow(node, &[peers_in("10.88.0.0/24")]);
    a.reason("overlay", "NoTunnelAddress");
    // Of several rules that allow the link, one counts: the first that this node is in.
    allow(
        node,
        &[
            peers_in("10.88.0.0/24"),
            peers_in("10.99.0.0/24"),
            peers_in("10.77.0.0/24"),
        ],
    );
    end_is(&a, "10.99.0.5");
    node.apply(
        "slice-0",
        &slice(
            "tenant-a",
            0,
            &named(&["10.77.0.2", "10.88.0.2", "10.99.0.2"]),
        ),
    );
    node.sends_to(&["10.99.0.2"]);
}

#[test]
fn an_underlay_that_goes_down_is_still_where_others_send() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = finder(node, 0);
    a.ready("overlay");
    node.run(&["ip", "link", "set", "eth1", "down"]);
    a.reason("overlay", "ParentDown");
    assert_eq!(told_end(&a)["address"], "10.77.0.1");
    node.run(&["ip", "link", "set", "eth1", "name", "other0"]);
    a.reason("overlay", "ParentNotFound");
    assert!(told_end(&a).is_null(), "{}", told_end(&a));
}
