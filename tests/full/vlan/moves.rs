//! A pod goes to another node with its address: switches and neighbours on the vlan follow at once.

use std::net::IpAddr;

use super::*;
use crate::support::{
    frame::{Mac, is_announcement_of},
    manifests::OWN_BRIDGES,
};

/// An announcement on the wire, with the tag of the vlan.
fn is_told(frame: &[u8], address: &str, mac: Mac) -> bool {
    let address: IpAddr = address.parse().unwrap();
    vlan_of(frame) == Some(100) && {
        let untagged = [&frame[..12], &frame[16..]].concat();
        is_announcement_of(&untagged, address, mac)
    }
}

#[test]
fn a_vlan_follows_a_pod_from_node_to_node() {
    let fabric = Fabric::new(3);
    let _daemons: Vec<_> = fabric.nodes().iter().map(TestNode::daemon).collect();
    let watcher = joined(&fabric[2], "watcher", "10.6.0.3/24");
    watcher.ready("net0");
    let address = "10.6.0.9";
    let mut mover = joined(&fabric[0], "mover", "10.6.0.9/24");
    mover.ready("net0");
    watcher.ping(address);
    for at in [1, 0] {
        let mac = mover.mac_of("net0");
        mover.delete();
        fabric[1 - at].withdraw("mover");
        let tap = fabric.tap();
        mover = joined(&fabric[at], "mover", "10.6.0.9/24");
        mover.ready("net0");
        let heard = tap.hears(Duration::from_secs(10), |frame| {
            is_told(frame, address, mac)
        });
        assert!(heard.is_some(), "{address} is announced on the wire");
        assert!(watcher.reaches(address));
    }
}

/// A vlan on a link of the pod, and one in the pod as a whole.
#[test]
fn a_vlan_in_the_pod_announces_as_well() {
    let fabric = Fabric::new(1);
    let _daemon = fabric[0].daemon();
    let whole = VLANS.replace("parents:", "modes: [Exclusive], parents:");
    allow(&fabric[0], &[&whole]);
    let pod = fabric[0].bare_pod("tenant-a", "a");
    let with = |address: &str| {
        let links = on_vlan(100, address, "").replace("id:", "mode: Exclusive, id:");
        fabric[0].configure("tenant-a", "a", "a", &links);
    };
    with("10.6.0.1/24");
    pod.ready("net0");
    let tap = fabric.tap();
    with("10.6.0.1/24', 'fd06::9/64");
    let mac = pod.mac_of("net0");
    let heard = tap.hears(Duration::from_secs(10), |frame| {
        is_told(frame, "fd06::9", mac)
    });
    assert!(heard.is_some(), "fd06::9 is announced on the wire");
}

/// The bridge behind a link of the pod forwards to no other MAC address than the link's: a vlan on it has the
/// same, also when the link's goes with an address.
#[test]
fn a_vlan_on_a_link_of_the_pod_follows_its_mac_address() {
    let node = TestNode::new();
    let rule = "{vlan: {ids: [{min: 100, max: 199}]}, addresses: [10.6.0.0/16]}";
    node.apply(
        "policy",
        &policy("vlans", "{}", &format!("[{OWN_BRIDGES}, {rule}]")),
    );
    let _daemon = node.daemon();
    let pods = ["a", "b"].map(|name| node.bare_pod("tenant-a", name));
    let give = |pod: &TestPod<'_>, below: u8, n: u8| {
        let links = format!(
            "[{{name: data0, veth: {{bridge: blue}}, addresses: [10.1.0.{below}/24]}}, \
              {{name: net0, vlan: {{parentLink: data0, id: 100}}, addresses: [10.6.0.{n}/24]}}]"
        );
        let name = &pod.attachment.name;
        node.configure("tenant-a", name, name, &links);
    };
    let [a, b] = &pods;
    give(a, 1, 1);
    give(b, 2, 2);
    pods.iter().for_each(|pod| drop(pod.ready("net0")));
    b.ping("10.6.0.1");
    for below in [7, 8] {
        give(a, below, 1);
        let mac = format!("0a:58:0a:01:00:{below:02x}");
        eventually("both have the MAC address", || {
            let links = ["data0", "net0"].map(|link| a.find(link));
            let mut macs = links.iter().flatten().map(|link| link["address"].clone());
            seen(
                links.iter().all(Option::is_some) && macs.all(|own| own == mac.as_str()),
                format!("{links:?}"),
            )
        });
        b.ping("10.6.0.1");
    }
}
