//! vxlan: segments that reach pods of other nodes, over a real underlay.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::support::{
    fabric::{Fabric, UPLINK},
    look::{index, named},
    manifests::policy,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
};

/// Ends that are found.
mod auto;
/// A pod that floods its segment.
mod floods;
/// The device itself in the pod.
mod inside;
/// Tunnels over the pod's own links.
mod over;
/// Strangers, and what keeps them out of a tunnel.
mod strangers;
/// Tenants who do not trust each other.
mod tenants;
/// What the underlay does.
mod underlay;

/// A rule for every shared tunnel on the fabric.
pub const TUNNELS: &str = "{vxlan: {underlays: [eth1], vnis: [{min: 1, max: 16777215}], \
    ports: [{min: 1, max: 65535}], peers: [10.77.0.0/24, 'fd77::/64'], \
    groups: [239.1.0.0/16, 'ff05::/16']}, addresses: [10.5.0.0/16, 'fd05::/64']}";
pub const VNI: u32 = 10042;

/// Peers by the numbers of their nodes.
pub fn peers(nodes: &[usize]) -> String {
    let all: Vec<String> = nodes
        .iter()
        .map(|node| format!("10.77.0.{}", node + 1))
        .collect();
    format!("{{addresses: [{}]}}", all.join(", "))
}

pub fn overlay(peers: &str, address: &str, more: &str) -> String {
    format!(
        "[{{name: overlay, vxlan: {{underlay: {UPLINK}, vni: {VNI}, peers: {peers}}}, \
         addresses: ['{address}']{more}}}]"
    )
}

/// A pod of tenant-a on the node, with a link on the tunnel.
pub fn joined<'n>(node: &'n TestNode, pod: &str, peers: &str, address: &str) -> TestPod<'n> {
    node.apply("policy", &policy("tunnels", "{}", &format!("[{TUNNELS}]")));
    let joined = node.bare_pod("tenant-a", pod);
    node.configure("tenant-a", pod, pod, &overlay(peers, address, ""));
    joined
}

/// Two nodes with a pod each, a with 10.5.0.1 and b with 10.5.0.2.
pub fn pair(fabric: &Fabric) -> (TestPod<'_>, TestPod<'_>) {
    let both = peers(&[0, 1]);
    let a = joined(&fabric[0], "a", &both, "10.5.0.1/24");
    let b = joined(&fabric[1], "b", &both, "10.5.0.2/24");
    a.ready("overlay");
    b.ready("overlay");
    (a, b)
}

impl TestNode {
    /// Where the device sends what is for all.
    pub fn ends(&self) -> BTreeSet<String> {
        let entries = self.switch_bridge(&["fdb", "show"]);
        let all = entries.as_array().into_iter().flatten();
        all.filter(|entry| entry["mac"] == "00:00:00:00:00:00")
            .filter_map(|entry| entry["dst"].as_str().map(str::to_owned))
            .collect()
    }
}

fn reaches_the_others(pod: &TestPod<'_>) {
    let own = pod.ready("overlay");
    let own = &own["addr_info"][0]["local"];
    let others = (1..=3).map(|n| format!("10.5.0.{n}"));
    others
        .filter(|other| own != other.as_str())
        .for_each(|other| pod.ping(&other));
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn pods_of_three_nodes_meet_on_a_vxlan() {
    let fabric = Fabric::new(3);
    let _daemons: Vec<_> = fabric.nodes().iter().map(TestNode::daemon).collect();
    let all = peers(&[0, 1, 2]);
    let pods: Vec<_> = (0..3)
        .map(|n| joined(&fabric[n], "p", &all, &format!("10.5.0.{}/24", n + 1)))
        .collect();
    for pod in &pods {
        assert_eq!(pod.ready("overlay")["mtu"], 1450, "50 bytes less than eth1");
    }
    for pod in &pods {
        reaches_the_others(pod);
    }
    assert_eq!(
        fabric[0].ends(),
        set(&["10.77.0.2", "10.77.0.3"]),
        "a node is no peer of its own"
    );
}

#[test]
fn an_ipv6_underlay_carries_a_vxlan_of_seventy_bytes_less() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let both = "{addresses: ['fd77::1', 'fd77::2']}";
    let a = joined(&fabric[0], "a", both, "10.5.0.1/24");
    let b = joined(&fabric[1], "b", both, "fd05::2/64");
    assert_eq!(a.ready("overlay")["mtu"], 1430);
    b.ready("overlay");
    fabric[1].configure("tenant-a", "b", "b", &overlay(both, "10.5.0.2/24", ""));
    a.ping("10.5.0.2");
    let tap = fabric.tap();
    a.ping("10.5.0.2");
    let outer =
        |f: &[u8]| f[12..14] == [0x86, 0xdd] && f[20] == 17 && f[56..58] == 4789u16.to_be_bytes();
    let frame = tap.hears(Duration::from_secs(2), outer);
    let frame = frame.expect("the outer packets are IPv6");
    assert_ne!(frame[60..62], [0, 0], "and have a checksum");
}

#[test]
fn a_multicast_group_carries_a_vxlan_between_three_nodes() {
    for (group, underlay) in [("239.1.1.1", "IPv4"), ("'ff05::100'", "IPv6")] {
        let fabric = Fabric::new(3);
        let _daemons: Vec<_> = fabric.nodes().iter().map(TestNode::daemon).collect();
        let group = format!("{{group: {group}}}");
        let pods: Vec<_> = (0..3)
            .map(|n| joined(&fabric[n], "p", &group, &format!("10.5.0.{}/24", n + 1)))
            .collect();
        pods.iter().for_each(|pod| drop(pod.ready("overlay")));
        for pod in &pods {
            reaches_the_others(pod);
        }
        assert_eq!(fabric[0].ends().len(), 1, "{underlay}: the group alone");
    }
}

#[test]
fn the_outer_packets_are_as_people_expect_them() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let data = &fabric[0].device()["linkinfo"]["info_data"];
    assert_eq!(data["id"], VNI);
    assert_eq!(data["port"], 4789);
    assert_eq!(data["learning"], true);
    let tap = fabric.tap();
    a.ping("10.5.0.2");
    // Of this node: the other one announces its address again, at any time.
    let outer = |f: &[u8]| {
        f[12..14] == [8, 0]
            && f[23] == 17
            && f[26..30] == [10, 77, 0, 1]
            && f[36..38] == 4789u16.to_be_bytes()
    };
    let frame = tap.hears(Duration::from_secs(2), outer);
    let frame = frame.expect("a tunnel's packet is on the wire");
    assert_eq!(frame[22], 64, "its TTL");
    assert_ne!(frame[40..42], [0, 0], "its checksum");
    assert_eq!(frame[46..49], VNI.to_be_bytes()[1..], "its VNI");
}

#[test]
fn pods_of_one_node_share_a_device_that_comes_with_the_first_and_goes_with_the_last() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let far = peers(&[1]);
    let a = joined(node, "a", &far, "10.5.0.1/24");
    let first = {
        a.ready("overlay");
        index(&node.device())
    };
    let b = joined(node, "b", &far, "10.5.0.2/24");
    b.ready("overlay");
    assert_eq!(index(&node.device()), first, "one device for both");
    a.ping("10.5.0.2");
    assert!(
        a.ip(&["link", "show", "overlay"])
            .to_string()
            .contains("veth"),
        "the pod has a veth, and no tunnel"
    );
    a.delete();
    node.withdraw("a");
    stays("the device, for b", Duration::from_millis(300), || {
        seen(node.devices().len() == 1, "it went")
    });
    node.withdraw("b");
    b.lacks("overlay");
    node.is_clean();
}

#[test]
fn peers_come_and_go_in_place() {
    let fabric = Fabric::new(3);
    let _daemons: Vec<_> = fabric.nodes().iter().map(TestNode::daemon).collect();
    let (a, b) = pair(&fabric);
    let before = (index(&fabric[0].device()), index(&a.ready("overlay")));
    let (stream, monitor) = (a.ping_on("10.5.0.2"), fabric[0].monitor("podconfig"));
    let say = |peers: &str| {
        let links = overlay(peers, "10.5.0.1/24", "");
        fabric[0].configure("tenant-a", "a", "a", &links);
    };
    say(&peers(&[0, 1, 2]));
    eventually("the third node is a peer", || {
        let ends = fabric[0].ends();
        seen(
            ends == set(&["10.77.0.2", "10.77.0.3"]),
            format!("{ends:?}"),
        )
    });
    let c = joined(&fabric[2], "c", &peers(&[0, 1, 2]), "10.5.0.3/24");
    c.ready("overlay");
    a.ping("10.5.0.3");
    let entries = || fabric[0].switch_bridge(&["fdb", "show"]).to_string();
    assert!(
        entries().contains("10.77.0.3"),
        "it has learned what is there"
    );
    say(&peers(&[0, 1]));
    eventually("and is none any more", || {
        let ends = fabric[0].ends();
        seen(ends == set(&["10.77.0.2"]), format!("{ends:?}"))
    });
    eventually("nor is anything sent there that was learned", || {
        seen(!entries().contains("10.77.0.3"), entries())
    });
    stream.lost_nothing();
    a.ready("overlay");
    assert_eq!(
        (index(&fabric[0].device()), index(&a.ready("overlay"))),
        before,
        "nothing was made anew"
    );
    let device = fabric[0].device();
    let device = device["ifname"].as_str().unwrap();
    assert_eq!(monitor.saw_down(device), Vec::<String>::new());
    drop(b);
}

#[test]
fn peers_may_change_to_the_other_family() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let before = index(&a.ready("overlay"));
    let both = "{addresses: ['fd77::1', 'fd77::2']}";
    for (node, pod, ip) in [(0, "a", "10.5.0.1/24"), (1, "b", "10.5.0.2/24")] {
        let links = overlay(both, ip, "");
        fabric[node].configure("tenant-a", pod, pod, &links);
    }
    eventually("IPv6 carries it", || {
        let ends = fabric[0].ends();
        seen(ends == set(&["fd77::2"]), format!("{ends:?}"))
    });
    a.ping("10.5.0.2");
    let link = a.ready("overlay");
    assert_eq!((index(&link), &link["mtu"]), (before, &1430.into()));
}

/// What can not change takes the device along, and nothing of the pod's.
#[test]
fn another_group_makes_the_device_anew_and_leaves_the_pods_link() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", "{group: 239.1.1.1}", "10.5.0.1/24");
    let before = (index(&a.ready("overlay")), index(&node.device()));
    let links = overlay("{group: 239.1.1.2}", "10.5.0.1/24", "");
    node.configure("tenant-a", "a", "a", &links);
    eventually("the new group", || {
        let ends = node.ends();
        seen(ends == set(&["239.1.1.2"]), format!("{ends:?}"))
    });
    let after = (index(&a.ready("overlay")), index(&node.device()));
    assert_eq!(before.0, after.0);
    assert_ne!(before.1, after.1);
}

#[test]
fn a_restart_leaves_tunnels_alone_and_loses_no_packet() {
    let fabric = Fabric::new(2);
    let (mut daemon, _other) = (fabric[0].daemon(), fabric[1].daemon());
    let (a, _b) = pair(&fabric);
    fabric[0].falls_silent("podconfig");
    let in_switch = || {
        let links = fabric[0].switch_ip(&["link", "show"]);
        let all = links.as_array().unwrap().iter();
        all.map(|link| (link["ifname"].to_string(), index(link)))
            .collect::<Vec<_>>()
    };
    let before = in_switch();
    let stream = a.ping_on("10.5.0.2");
    for _ in 0..3 {
        daemon.kill();
        daemon = fabric[0].daemon();
        daemon.changed_nothing();
    }
    stream.lost_nothing();
    assert_eq!(in_switch(), before);
}

#[test]
fn a_restart_leaves_a_tunnel_to_a_group_alone() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    let a = joined(node, "a", "{group: 239.1.1.1}", "10.5.0.1/24");
    a.ready("overlay");
    let before = index(&node.device());
    daemon.kill();
    let daemon = node.daemon();
    daemon.changed_nothing();
    assert_eq!(node.ends(), set(&["239.1.1.1"]));
    assert_eq!(index(&node.device()), before);
}

#[test]
fn what_somebody_does_to_the_device_is_undone() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let device = node.device()["ifname"].as_str().unwrap().to_owned();
    let in_switch = |words: &[&str]| {
        node.run(&[&["ip", "-n", "podconfig", "link"], words].concat());
    };
    let is_whole = |what: &str| {
        eventually(what, || {
            let devices = node.devices();
            let whole = devices.len() == 1
                && devices[0]["mtu"] == 1450
                && devices[0]["master"].is_string()
                && devices[0]["flags"].to_string().contains("\"UP\"");
            seen(whole, format!("{devices:?}"))
        });
        a.ping("10.5.0.2");
    };
    in_switch(&["delete", &device]);
    is_whole("a deleted device comes back");
    in_switch(&["set", &device, "mtu", "1300"]);
    is_whole("its MTU");
    in_switch(&["set", &device, "nomaster"]);
    is_whole("its bridge");
    in_switch(&["set", &device, "down"]);
    is_whole("its being up");
}

/// Of a device that a crash left without its bridge, and of one that nobody asks for any more.
#[test]
fn what_a_crash_left_of_a_tunnel_is_cleared_away() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    daemon.kill();
    let name = node.device()["ifname"].as_str().unwrap().to_owned();
    node.shell(&format!(
        "ip -n podconfig link delete {name}
         ip link add pcdabcdefghijkl type vxlan id 77 dstport 4789 dev eth1
         ip link set pcdabcdefghijkl netns podconfig"
    ));
    let _daemon = node.daemon();
    a.ready("overlay");
    eventually("one device, the right one", || {
        let names: Vec<_> = node.devices().iter().map(|d| d["ifname"].clone()).collect();
        seen(names == [Value::from(name.clone())], format!("{names:?}"))
    });
}

#[test]
fn a_new_sandbox_and_a_vanished_pod_leave_nothing_behind() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (mut a, b) = pair(&fabric);
    a.restart_sandbox();
    a.link("overlay");
    a.ping("10.5.0.2");
    a.vanish();
    b.vanish();
    fabric[0].is_clean();
    fabric[1].is_clean();
}

#[test]
fn the_report_tells_what_the_tunnel_is() {
    let fabric = Fabric::new(1);
    let _daemon = fabric[0].daemon();
    let a = joined(&fabric[0], "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    let told = a.reported("overlay").unwrap();
    assert_eq!(told["kind"], "vxlan");
    assert_eq!(told["mtu"], 1450);
    let links = fabric[0].switch_ip(&["link", "show"]);
    let bridge = named(&links, told["bridge"].as_str().unwrap()).unwrap();
    let alias = bridge["ifalias"].as_str().unwrap();
    assert!(
        alias.ends_with(&format!("tenant-a/vxlan {VNI} port 4789 on eth1")),
        "{alias}"
    );
}
