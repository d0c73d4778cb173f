//! Addresses announced when they come onto a link: neighbours, switches and tunnels follow at once, without
//! a packet of their own and without waiting until they forget.

use std::{net::IpAddr, time::Duration};

use serde_json::Value;

use crate::support::{
    frame::is_announcement_of,
    look::addresses,
    manifests::config,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
    wire::Wire,
};

/// Every kind of link.
mod kinds;
/// Pods that go from node to node, and ends of tunnels that come late.
mod tunnels;

/// A frame is there within milliseconds; a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(10);

fn on_blue(addresses: &[&str]) -> String {
    format!(
        "[{{name: data0, veth: {{bridge: blue}}, addresses: ['{}']}}]",
        addresses.join("', '")
    )
}

/// What the pod's kernel has as the MAC address of a neighbour.
fn neighbour_of(pod: &TestPod<'_>, address: &str) -> Value {
    let all = pod.ip(&["neigh", "show", address]);
    all[0]["lladdr"].clone()
}

/// Waits until the pod has the address on its link.
fn has(pod: &TestPod<'_>, link: &str, address: &str) {
    eventually(&format!("{link} has {address}"), || {
        let found = pod.find(link).map(|link| addresses(&link));
        let found = found.unwrap_or_default();
        seen(found.iter().any(|own| own == address), format!("{found:?}"))
    });
}

/// Waits until the pod has that MAC address for its neighbour, all by itself.
fn finds(pod: &TestPod<'_>, address: &str, neighbour: &TestPod<'_>, link: &str) {
    let own = neighbour.find(link).expect("the link is there")["address"].clone();
    eventually(&format!("{address} is found at {own}"), || {
        let known = neighbour_of(pod, address);
        seen(known == own, format!("{known}"))
    });
}

/// The announcement of an address on a link must be heard there.
fn hears(wire: &Wire, address: &str, pod: &TestPod<'_>, link: &str) {
    let own = pod.mac_of(link);
    let ip: IpAddr = address.parse().unwrap();
    let heard = wire.hears(PATIENCE, |frame| is_announcement_of(frame, ip, own));
    assert!(heard.is_some(), "{address} is announced from {link}");
}

#[test]
fn an_address_that_goes_to_another_pod_is_found_there_at_once() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pods = ["a", "b", "c"].map(|name| node.bare_pod("tenant-a", name));
    let [a, b, c] = &pods;
    let give = |pod: &TestPod<'_>, addresses: &[&str]| {
        let name = &pod.attachment.name;
        node.configure("tenant-a", name, name, &on_blue(addresses));
    };
    give(a, &["10.1.0.10/24", "fd01::10/64"]);
    give(b, &["10.1.0.20/24", "fd01::20/64"]);
    give(c, &["10.1.0.30/24", "fd01::30/64"]);
    pods.iter().for_each(|pod| drop(pod.ready("data0")));
    for address in ["10.1.0.10", "fd01::10"] {
        c.ping(address);
        finds(c, address, a, "data0");
    }
    give(a, &["10.1.0.11/24", "fd01::11/64"]);
    has(a, "data0", "10.1.0.11/24");
    give(
        b,
        &["10.1.0.20/24", "10.1.0.10/24", "fd01::20/64", "fd01::10/64"],
    );
    has(b, "data0", "10.1.0.10/24");
    for address in ["10.1.0.10", "fd01::10"] {
        finds(c, address, b, "data0");
        assert!(c.reaches(address), "{address} answers");
    }
}

/// The kernel forgets a link's neighbours when it announces; what the tenant wrote down must not go with
/// them, and settings of the pod are the pod's.
#[test]
fn a_pods_settings_and_its_own_neighbour_entries_outlive_an_announcement() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let own = "02:00:00:00:00:99";
    for address in ["10.1.0.99", "fd01::99"] {
        a.run(&[
            "ip",
            "neigh",
            "add",
            address,
            "lladdr",
            own,
            "dev",
            "data0",
            "nud",
            "permanent",
        ]);
    }
    a.shell("echo 1 >/proc/sys/net/ipv4/conf/data0/arp_notify");
    let wire = Wire::on(&b.netns(), "data0");
    let links = on_blue(&["10.1.0.1/24", "10.1.0.7/24", "fd01::7/64"]);
    node.apply("tenant-a-a", &config("tenant-a", "a", "a", &links));
    for address in ["10.1.0.1", "10.1.0.7", "fd01::7"] {
        hears(&wire, address, &a, "data0");
    }
    a.ready("data0");
    for address in ["10.1.0.99", "fd01::99"] {
        let entry = a.ip(&["neigh", "show", address]);
        assert_eq!(entry[0]["lladdr"], own, "{entry}");
        assert_eq!(entry[0]["state"][0], "PERMANENT", "{entry}");
    }
    let settings = "cd /proc/sys/net; cat ipv4/conf/data0/arp_notify ipv6/conf/data0/ndisc_notify";
    eventually("the pod's settings are the pod's", || {
        let values = a.shell(settings);
        seen(values.split_whitespace().eq(["1", "0"]), values)
    });
}

#[test]
fn a_restart_announces_nothing() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (a, b) = node.neighbours();
    daemon.terminate();
    let wire = Wire::on(&b.netns(), "data0");
    let _again = node.daemon();
    a.ready("data0");
    let (ip, own) = ("10.1.0.1".parse().unwrap(), a.mac_of("data0"));
    let heard = wire.hears(Duration::from_millis(1500), |frame| {
        is_announcement_of(frame, ip, own)
    });
    assert!(heard.is_none(), "nothing has moved");
}
