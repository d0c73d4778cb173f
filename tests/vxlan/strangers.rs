//! Strangers, and what keeps them out of a tunnel: a frame of whoever is no peer never arrives.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    path::Path,
    time::Duration,
};

use super::{TUNNELS, VNI, joined, overlay, pair, peers};
use crate::support::{
    enter::with_netns,
    fabric::Fabric,
    frame::{self, EVERYBODY, holds_token, mac},
    manifests::policy,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
    wire::Wire,
};

const LISTEN: Duration = Duration::from_millis(400);

/// A VXLAN datagram's payload: the header, and a frame to everybody that holds the token.
fn payload(vni: u32) -> Vec<u8> {
    let [_, a, b, c] = vni.to_be_bytes();
    let inner = frame::plain(EVERYBODY, mac("02:00:00:00:00:66"));
    [&[8, 0, 0, 0, a, b, c, 0], &inner[..]].concat()
}

/// Sends a frame into the tunnel of a node, as any process may.
pub fn intrude(netns: &Path, to: Ipv4Addr) {
    let sent = with_netns(netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(&payload(VNI), SocketAddrV4::new(to, 4789))
    });
    assert!(sent.is_ok(), "{sent:?}");
}

fn node_net(node: &TestNode) -> std::path::PathBuf {
    node.path("/proc/1/ns/net")
}

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn filter_of(node: &TestNode) -> String {
    let shown = node.try_run(&["nft", "list", "table", "inet", "podconfig-default"]);
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

/// Attack of facts §6.1: a pod, or anybody, sends to the node's UDP port.
#[test]
fn a_frame_of_a_stranger_does_not_arrive() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (a, b) = pair(&fabric);
    a.ping("10.5.0.2");
    let heard = Wire::on(&a.netns(), "overlay");
    intrude(&fabric.outsider().netns(), A);
    assert_eq!(
        heard.hears(LISTEN, holds_token),
        None,
        "of a host beside the peers"
    );
    intrude(&node_net(&fabric[0]), A);
    assert_eq!(
        heard.hears(LISTEN, holds_token),
        None,
        "of a process of the node itself"
    );
    // The same frame from where a peer is arrives: the witness is not deaf.
    intrude(&node_net(&fabric[1]), A);
    assert!(heard.hears(Duration::from_secs(2), holds_token).is_some());
    drop(b);
}

/// A pod of the same node, under its own address and under a peer's.
#[test]
fn a_frame_of_a_pod_of_the_node_does_not_arrive() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (a, _b) = pair(&fabric);
    let hostile = node.pod("tenant-b", "hostile");
    node.shell("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done");
    let heard = Wire::on(&a.netns(), "overlay");
    intrude(&hostile.netns(), A);
    assert_eq!(heard.hears(LISTEN, holds_token), None);
    hostile.shell("ip address add 10.77.0.2/32 dev eth0");
    let sent = with_netns(&hostile.netns(), || {
        let socket = UdpSocket::bind("10.77.0.2:0").unwrap();
        socket.send_to(&payload(VNI), SocketAddrV4::new(A, 4789))
    });
    assert!(sent.is_ok());
    assert_eq!(
        heard.hears(LISTEN, holds_token),
        None,
        "under a peer's address"
    );
}

/// Who is a peer nobody, by any of its pods: they leave by the node with the node's own address.
#[test]
fn a_frame_of_a_pod_of_a_peer_is_stopped_where_it_starts() {
    let fabric = Fabric::new(2);
    let _daemons = [fabric[0].daemon(), fabric[1].daemon()];
    let (_a, b) = pair(&fabric);
    let node = &fabric[0];
    let hostile = node.pod("tenant-b", "hostile");
    node.shell(
        "nft add table ip nat
         nft 'add chain ip nat post { type nat hook postrouting priority 100; }'
         nft add rule ip nat post oifname eth1 masquerade",
    );
    let heard = Wire::on(&b.netns(), "overlay");
    let peer = Ipv4Addr::new(10, 77, 0, 2);
    intrude(&hostile.netns(), peer);
    assert_eq!(heard.hears(LISTEN, holds_token), None);
    without_filter(node, || intrude(&hostile.netns(), peer), &heard);
}

/// The same deed arrives while there is no filter: a story in which nothing could arrive says nothing.
fn without_filter(node: &TestNode, deed: impl Fn(), heard: &Wire) {
    eventually("without a filter it arrives", || {
        node.try_run(&["nft", "delete", "table", "inet", "podconfig-default"]);
        deed();
        let found = heard.hears(Duration::from_millis(50), holds_token);
        seen(found.is_some(), filter_of(node))
    });
}

#[test]
fn the_filter_follows_the_peers() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[0, 2]), "10.5.0.1/24");
    a.ready("overlay");
    let heard = Wire::on(&a.netns(), "overlay");
    intrude(&node_net(&fabric[1]), A);
    assert_eq!(heard.hears(LISTEN, holds_token), None);
    let links = overlay(&peers(&[0, 1, 2]), "10.5.0.1/24", "");
    node.configure("tenant-a", "a", "a", &links);
    eventually("the second node is let in", || {
        intrude(&node_net(&fabric[1]), A);
        let found = heard.hears(Duration::from_millis(50), holds_token);
        seen(found.is_some(), filter_of(node))
    });
}

/// With a group the other ends are not told one by one: the policy's networks are.
#[test]
fn a_tunnel_to_a_group_takes_frames_from_the_policys_networks_alone() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let narrow = TUNNELS.replace("10.77.0.0/24, 'fd77::/64'", "10.77.0.2/32");
    node.apply("policy", &policy("tunnels", "{}", &format!("[{narrow}]")));
    let a = node.bare_pod("tenant-a", "a");
    let links = overlay("{group: 239.1.1.1}", "10.5.0.1/24", "");
    node.configure("tenant-a", "a", "a", &links);
    a.ready("overlay");
    let heard = Wire::on(&a.netns(), "overlay");
    intrude(&fabric.outsider().netns(), A);
    assert_eq!(heard.hears(LISTEN, holds_token), None);
    intrude(&node_net(&fabric[1]), A);
    assert!(heard.hears(Duration::from_secs(2), holds_token).is_some());
}

#[test]
fn the_filter_comes_before_the_device_goes_with_the_last_one_and_touches_nobody_elses() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let mut daemon = node.daemon();
    node.shell(
        "nft add table inet podconfig-defaul; nft add table inet mine
         nft 'add chain inet mine in { type filter hook input priority 0; }'
         nft add rule inet mine in udp dport 4789 counter",
    );
    let others = node.run(&["nft", "list", "table", "inet", "mine"]);
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    let b = node.bare_pod("tenant-a", "b");
    let second = overlay(&peers(&[1]), "10.5.1.1/24", "").replace("10042", "77");
    node.configure("tenant-a", "b", "b", &second);
    a.ready("overlay");
    b.ready("overlay");
    assert!(
        filter_of(node).contains("vni77.port4789"),
        "{}",
        filter_of(node)
    );
    daemon.kill();
    stays("it outlives the daemon", Duration::from_millis(100), || {
        let filter = filter_of(node);
        seen(filter.contains("10.77.0.2"), filter)
    });
    daemon = node.daemon();
    daemon.changed_nothing();
    node.withdraw("b");
    b.lacks("overlay");
    eventually("only the first tunnel is left in it", || {
        let filter = filter_of(node);
        seen(
            !filter.contains("vni77") && filter.contains("vni10042"),
            filter,
        )
    });
    node.withdraw("a");
    a.lacks("overlay");
    eventually("it is gone", || {
        seen(filter_of(node).is_empty(), filter_of(node))
    });
    assert_eq!(node.run(&["nft", "list", "table", "inet", "mine"]), others);
    assert!(
        node.run(&["nft", "list", "tables"])
            .contains("podconfig-defaul\n")
    );
}

#[test]
fn a_filter_that_somebody_takes_away_is_there_again_within_a_second_or_two() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let a = joined(node, "a", &peers(&[1]), "10.5.0.1/24");
    a.ready("overlay");
    for deed in [
        "nft delete table inet podconfig-default",
        "nft flush ruleset",
        "nft flush chain inet podconfig-default input",
    ] {
        let before = filter_of(node);
        node.shell(deed);
        eventually(deed, || {
            let filter = filter_of(node);
            seen(filter == before, filter)
        });
    }
}

/// Nobody sees a pod's burst for what it is; so nothing comes to a tunnel's port but by its underlay.
#[test]
fn a_port_of_a_tunnel_is_open_to_its_underlay_alone() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let _daemons = [node.daemon(), fabric[1].daemon()];
    let (_a, _b) = pair(&fabric);
    let hostile: TestPod<'_> = node.pod("tenant-b", "hostile");
    // Another's tunnel on the port may be on any link, or on this one: then it stays open for it.
    assert!(
        filter_of(node).contains("port4789.links"),
        "{}",
        filter_of(node)
    );
    node.shell("ip link add other0 type vxlan external dstport 4789");
    eventually("the port is open", || {
        let filter = filter_of(node);
        seen(!filter.contains("port4789.links"), filter)
    });
    drop(hostile);
}
