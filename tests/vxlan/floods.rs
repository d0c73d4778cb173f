//! A pod that floods its segment, or plays a router there.

use std::{net::Ipv4Addr, thread::sleep, time::Duration};

use super::{TUNNELS, joined, overlay, pair, peers};
use crate::support::{
    fabric::Fabric,
    frame::{self, EVERYBODY, holds_token},
    manifests::policy,
    multicast::{query_for_all, query_unheard, report},
    node::TestNode,
    wait::{seen, within},
    wire::Wire,
};

/// Longer than a host may take to answer a query. No event ends it: where groups go, they go by this time.
const RESPONSES: Duration = Duration::from_millis(600);

/// A bridge that believes a pod which plays the querier takes the groups of all others away, and IPv6 with
/// them.
#[test]
fn a_pod_that_plays_the_querier_takes_no_groups_away() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pods = ["a", "b", "c"].map(|name| node.bare_pod("tenant-a", name));
    for (n, pod) in (1..).zip(&pods) {
        let links = format!(
            "[{{name: data0, veth: {{bridge: blue}}, addresses: ['10.1.0.{n}/24', 'fd05::{n}/64']}}]"
        );
        let name = &pod.attachment.name;
        node.configure("tenant-a", name, name, &links);
        pod.ready("data0");
    }
    let [a, b, c] = &pods;
    c.ping("fd05::2");
    let (wire, own) = (Wire::on(&a.netns(), "data0"), a.mac_of("data0"));
    wire.send(&query_for_all(own));
    sleep(RESPONSES);
    let groups = b.run(&["ip", "-6", "maddress", "show", "dev", "data0"]);
    let groups = groups
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    groups.for_each(|group| wire.send(&query_unheard(own, group)));
    sleep(RESPONSES);
    c.run(&["ip", "neigh", "flush", "all"]);
    assert!(c.reaches("fd05::2"), "c finds b as before");
}

/// Reports of groups without end fill a table somewhere, and nothing hangs on that.
#[test]
fn a_flood_of_groups_opens_no_way_for_bridge_protocols() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, b) = pair(&fabric);
    let c = joined(&fabric[0], "c", &peers(&[0, 1]), "10.5.0.3/24");
    c.ready("overlay");
    let (wire, own) = (Wire::on(&a.netns(), "overlay"), a.mac_of("overlay"));
    for n in 0..5000_u32 {
        let [_, _, x, y] = n.to_be_bytes();
        let group = Ipv4Addr::new(239, 77, x, y);
        wire.send(&report(own, Ipv4Addr::new(10, 5, 0, 1), group));
    }
    // Answered after all of that.
    a.ping("10.5.0.3");
    let witnesses = [&c, &b].map(|pod| Wire::on(&pod.netns(), "overlay"));
    wire.send(&frame::bpdu(own));
    let mut cisco = frame::plain(EVERYBODY, own);
    cisco[..6].copy_from_slice(&[0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd]);
    wire.send(&cisco);
    for heard in &witnesses {
        assert_eq!(heard.hears(Duration::from_millis(400), holds_token), None);
    }
    wire.send(&frame::plain(EVERYBODY, own));
    assert!(
        witnesses[0]
            .hears(Duration::from_secs(2), holds_token)
            .is_some()
    );
}

/// A pod that may have any address may have some, and not all of the memory of every node.
#[test]
fn a_flood_of_addresses_is_learned_only_so_far() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let any = TUNNELS.replace("addresses:", "macs: Any, addresses:");
    let both = peers(&[0, 1]);
    let pods = [(0, "10.5.0.1/24"), (1, "10.5.0.2/24")].map(|(n, ip)| {
        let node = &fabric[n];
        node.apply("policy", &policy("tunnels", "{}", &format!("[{any}]")));
        let pod = node.bare_pod("tenant-a", "p");
        node.configure("tenant-a", "p", "p", &overlay(&both, ip, ""));
        pod
    });
    pods.iter().for_each(|pod| drop(pod.ready("overlay")));
    let wire = Wire::on(&pods[0].netns(), "overlay");
    for n in 0..30_000_u32 {
        let [p, q, r, s] = n.to_be_bytes();
        wire.send(&frame::plain(EVERYBODY, [2, 0x66, p, q, r, s]));
    }
    pods[0].ping("10.5.0.2");
    for node in fabric.nodes() {
        let entries = node.run(&["bridge", "-n", "podconfig", "fdb", "show"]);
        let learned = entries.matches("02:66:").count();
        // Once on the bridge, and where they came from once on the tunnel.
        assert!((1..=2 * 8192).contains(&learned), "{learned}");
    }
}

/// Where a tunnel can not come up, its port may be somebody's service.
#[test]
fn a_tunnel_on_the_port_of_a_service_leaves_the_service_alone() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let service = node.in_net(|| std::net::UdpSocket::bind("0.0.0.0:5353").unwrap());
    service
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    node.apply("policy", &policy("tunnels", "{}", &format!("[{TUNNELS}]")));
    let a = node.bare_pod("tenant-a", "a");
    let links = overlay(&peers(&[1]), "10.5.0.1/24", "").replace("vni:", "port: 5353, vni:");
    node.configure("tenant-a", "a", "a", &links);
    let told = a.reason("overlay", "SegmentInUse");
    assert!(
        told["message"].as_str().unwrap().contains("in use"),
        "{told}"
    );
    node.in_net(|| {
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"hello", "127.0.0.1:5353").unwrap()
    });
    assert_eq!(service.recv(&mut [0; 16]).unwrap(), 5);
    drop(service);
    a.ready("overlay");
}

/// What no event tells is looked at every ten seconds.
#[test]
fn what_an_administrator_does_in_the_switch_by_hand_is_put_right() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let c = joined(node, "c", &peers(&[0, 1]), "10.5.0.3/24");
    c.ready("overlay");
    let name = |link: &serde_json::Value| link["ifname"].as_str().unwrap().to_owned();
    let (device, bridge) = (name(&node.device()), name(&node.bridges()[0]));
    let mine = a
        .mac_of("overlay")
        .map(|byte| format!("{byte:02x}"))
        .join(":");
    let ends: Vec<String> = node.host_ends().iter().map(name).collect();
    node.shell(&format!(
        "for end in {first} {second}; do
             bridge -n podconfig fdb del {mine} dev $end master 2>/dev/null || true
         done
         bridge -n podconfig link set dev {first} locked off learning on
         bridge -n podconfig fdb append 00:00:00:00:00:00 dev {device} dst 10.77.0.99
         ip -n podconfig link set {bridge} down
         ip -n podconfig link set {second} name elsewhere",
        first = ends[0],
        second = ends[1],
    ));
    within(Duration::from_secs(25), "all is as it was", || {
        let (ports, ends) = (node.host_ends(), node.ends());
        let locked = |end: &serde_json::Value| end["linkinfo"]["info_slave_data"]["locked"] == true;
        let entries = node.switch_bridge(&["fdb", "show"]).to_string();
        let bridge = node.bridges()[0]["flags"].to_string();
        let whole = ports.len() == 2
            && ports.iter().all(locked)
            && ends.len() == 1
            && entries.contains(&mine)
            && bridge.contains("\"UP\"");
        seen(whole, format!("{ports:?} {ends:?} {bridge}"))
    });
    a.ready("overlay");
    c.ready("overlay");
    a.ping("10.5.0.2");
    a.ping("10.5.0.3");
}
