//! What a pod may do to the node from its segment: nothing.

use std::{net::Ipv4Addr, net::UdpSocket, path::PathBuf, thread::sleep, time::Duration};

use crate::support::{
    enter::with_netns,
    frame::{self, EVERYBODY, Mac, holds_token, mac},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
    wire::Wire,
};

const LISTEN: Duration = Duration::from_millis(300);

fn node_net(node: &TestNode) -> PathBuf {
    node.path("/proc/1/ns/net")
}

#[test]
fn a_segment_works_under_bridge_filters_and_a_firewall_that_drops_what_is_forwarded() {
    let node = TestNode::new();
    node.drop_forwarded_and_filter_bridges();
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (a, _b) = node.wired_neighbours();
    let stream = a.ping_on("10.1.0.2");
    stream.lost_nothing();
}

/// What the story above is worth: the same wall does stand, for a bridge that is the node's.
#[test]
fn the_same_filters_and_firewall_do_stop_a_bridge_in_the_nodes_own_namespace() {
    let node = TestNode::new();
    node.add_bridge("br-own", "10.2.0.254/24");
    let pods = ["a", "b"].map(|name| node.bare_pod("tenant-a", name));
    for (number, pod) in pods.iter().enumerate() {
        let netns = pod.netns_name();
        node.shell(&format!(
            "ip link add v{number} master br-own type veth peer name p0 netns {netns}
             ip link set v{number} up"
        ));
        pod.shell(&format!(
            "ip address add 10.2.0.{}/24 dev p0; ip link set p0 up",
            number + 1
        ));
    }
    pods[0].ping("10.2.0.2");
    node.drop_forwarded_and_filter_bridges();
    assert!(!pods[0].reaches("10.2.0.2"), "the wall lets pings through");
    node.run(&["nft", "delete", "table", "inet", "wall"]);
    pods[0].ping("10.2.0.2");
}

/// The door that a routed link and a host bridge would be: the host end is on the node itself.
#[test]
fn a_router_advertisement_over_a_routed_link_or_a_host_bridge_is_not_believed_by_the_node() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    let links = "[{name: r0, veth: {routed: {}}, addresses: [172.31.5.7/32]}, \
                  {name: lan0, veth: {hostBridge: br-lan}, addresses: [192.168.7.10/24]}]";
    node.configure("tenant-a", "x", "a", links);
    pod.ready("r0");
    pod.ready("lan0");
    // A node that takes advertisements although it forwards.
    node.shell("echo 0 >/proc/sys/net/ipv6/conf/all/forwarding");
    let from = pod.mac_of("r0");
    Wire::on(&pod.netns(), "r0").send(&frame::router_advertisement(
        from,
        "fd66::".parse().unwrap(),
    ));
    sleep(LISTEN);
    let routes = node.run(&["ip", "-6", "route"]);
    assert!(
        !routes.contains("proto ra") && !routes.contains("fd66:"),
        "{routes}"
    );
    let port = node.ip(&["link", "show", "master", "br-lan"])[0]["ifname"]
        .as_str()
        .unwrap()
        .to_owned();
    let accepts = node.run(&["cat", &format!("/proc/sys/net/ipv6/conf/{port}/accept_ra")]);
    assert_eq!(accepts.trim(), "0");
}

/// Attack 23: ARP and neighbour discovery for what the node has.
#[test]
fn the_node_answers_no_question_that_is_asked_on_a_segment() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.run(&[
        "ip",
        "address",
        "add",
        "fd07::1/64",
        "dev",
        "br-lan",
        "nodad",
    ]);
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (a, _b) = node.wired_neighbours();
    let (wire, me) = (Wire::on(&a.netns(), "data0"), a.mac_of("data0"));
    let source: Ipv4Addr = "10.1.0.1".parse().unwrap();
    let of_node: Vec<Ipv4Addr> = ["192.168.7.1", "10.88.0.1", "127.0.0.1"]
        .map(|t| t.parse().unwrap())
        .to_vec();
    for target in &of_node {
        wire.send(&frame::arp_request(me, source, *target));
    }
    let bridge = mac(node.bridges()[0]["address"].as_str().unwrap());
    let lan = mac(node.ip(&["link", "show", "br-lan"])[0]["address"]
        .as_str()
        .unwrap());
    let six = [
        "fd07::1".parse().unwrap(),
        frame::link_local(bridge),
        frame::link_local(lan),
    ];
    for target in six {
        wire.send(&frame::neighbour_solicitation(me, target));
    }
    // The neighbour's answer is the proof that questions do leave.
    wire.send(&frame::arp_request(me, source, "10.1.0.2".parse().unwrap()));
    let mut wrong = Vec::new();
    let answered = std::cell::Cell::new(false);
    let answer = wire.hears(LISTEN, |f| {
        if frame::is_arp_reply_of(f, "10.1.0.2".parse().unwrap()) {
            answered.set(true);
        }
        of_node.iter().any(|t| frame::is_arp_reply_of(f, *t))
            || six.iter().any(|t| frame::is_advertisement_of(f, *t))
    });
    wrong.extend(answer);
    assert!(
        answered.get(),
        "the neighbour did not answer: nothing is proved"
    );
    assert_eq!(wrong, Vec::<Vec<u8>>::new());
}

#[test]
fn only_the_other_pod_answers_the_group_of_all_nodes() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.wired_neighbours();
    let text = eventually("an answer from the other pod", || {
        let output = a.try_run(&[
            "ping",
            "-6",
            "-n",
            "-c",
            "3",
            "-i",
            "0.1",
            "-w",
            "2",
            "ff02::1%data0",
        ]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        seen(text.contains("bytes from"), &text).map(|()| text)
    });
    let own: Vec<String> = [&a, &b]
        .map(|pod| frame::link_local(pod.mac_of("data0")).to_string())
        .to_vec();
    for line in text.lines().filter(|line| line.contains("bytes from")) {
        assert!(
            own.iter().any(|address| line.contains(address.as_str())),
            "somebody else answers: {line}\n{own:?}"
        );
    }
}

/// Everybody who must not hear what a pod says on its segment.
struct Ears {
    socket: UdpSocket,
    wires: [Wire; 2],
}

impl Ears {
    /// On the node, and at another tenant's pod.
    fn prick(node: &TestNode, bystander: &TestPod<'_>) -> Self {
        // For both families: the kernel's default is that such a socket takes IPv4 as well.
        let socket = with_netns(&node_net(node), || UdpSocket::bind("[::]:7777").unwrap());
        socket
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let wires = [node_net(node), bystander.netns()].map(|netns| Wire::on_all(&netns));
        Self { socket, wires }
    }

    fn heard_nothing(&self) {
        let mut buffer = [0; 64];
        assert!(
            self.socket.recv(&mut buffer).is_err(),
            "a socket of the node took {buffer:?}"
        );
        for (wire, place) in self.wires.iter().zip(["node", "bystander"]) {
            let frame = wire.hears(Duration::from_millis(100), holds_token);
            assert_eq!(frame, None, "a frame came to the {place}");
        }
    }
}

/// IPv4 cannot be switched off, and takes a broadcast where somebody listens for it.
#[test]
fn nobody_listens_in_the_switch() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let _pods = node.neighbours();
    for file in ["tcp", "udp", "udplite", "raw", "packet", "icmp"] {
        let path = format!("/proc/net/{file}");
        let table = node.run(&["ip", "netns", "exec", "podconfig", "cat", &path]);
        assert_eq!(table.lines().count(), 1, "a socket in the switch: {table}");
    }
}

/// A frame to the bridge's own MAC would be the node's to take, were the bridge on the node.
#[test]
fn a_packet_to_the_bridge_or_to_any_address_of_the_node_reaches_nothing() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (a, b) = node.wired_neighbours();
    let bystander = node.pod("tenant-b", "bystander");
    let ears = Ears::prick(&node, &bystander);
    let (neighbour, wire) = (Wire::on(&b.netns(), "data0"), Wire::on(&a.netns(), "data0"));
    let bridge = mac(node.bridges()[0]["address"].as_str().unwrap());
    let port = mac(node.host_ends()[0]["address"].as_str().unwrap());
    let eth0 = bystander.find("eth0").unwrap();
    let far = eth0["addr_info"][0]["local"].as_str().unwrap().to_owned();
    let (me, source) = (a.mac_of("data0"), "10.1.0.1".parse().unwrap());
    for to in [bridge, port, EVERYBODY] {
        for target in [
            "192.168.7.1",
            "10.88.0.1",
            "127.0.0.1",
            "255.255.255.255",
            &far,
        ] {
            wire.send(&frame::udp4(to, me, source, target.parse().unwrap(), 7777));
        }
    }
    assert!(
        neighbour.hears(LISTEN, holds_token).is_some(),
        "the neighbour hears what is for everybody"
    );
    ears.heard_nothing();
}

#[test]
fn a_packet_to_any_ipv6_address_of_the_node_or_of_the_bridge_reaches_nothing() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    // With a MAC that stays and a port that has carrier, so that all of its addresses are in force.
    node.shell(
        "ip link set br-lan address 02:00:00:00:07:01
         ip link add port0 master br-lan type veth peer name far0
         ip link set port0 up; ip link set far0 up
         ip address add fd07::1/64 dev br-lan nodad",
    );
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let (a, b) = node.wired_neighbours();
    let bystander = node.pod("tenant-b", "bystander");
    let ears = Ears::prick(&node, &bystander);
    let (neighbour, wire) = (Wire::on(&b.netns(), "data0"), Wire::on(&a.netns(), "data0"));
    let [bridge, port] = [&node.bridges()[0], &node.host_ends()[0]]
        .map(|link| mac(link["address"].as_str().unwrap()));
    let lan = &node.ip(&["link", "show", "br-lan"])[0];
    let lan = mac(lan["address"].as_str().unwrap());
    let me = a.mac_of("data0");
    let targets = [
        "fd07::1".parse().unwrap(),
        "::1".parse().unwrap(),
        "ff02::1".parse().unwrap(),
        frame::link_local(bridge),
        frame::link_local(port),
        frame::link_local(lan),
    ];
    let send = |wire: &Wire, to: Mac| {
        for source in [frame::link_local(me), "fd07::66".parse().unwrap()] {
            for target in targets {
                wire.send(&frame::udp6(to, me, source, target, 7777));
            }
        }
    };
    for to in [bridge, port, lan, EVERYBODY, [0x33, 0x33, 0, 0, 0, 1]] {
        send(&wire, to);
    }
    assert!(
        neighbour.hears(LISTEN, holds_token).is_some(),
        "the neighbour hears what is for everybody"
    );
    ears.heard_nothing();
    // The same packets on a bridge of the node itself are taken: they are well made.
    let netns = a.netns_name();
    node.shell(&format!(
        "ip link add open master br-lan type veth peer name open0 netns {netns}
         ip link set open up"
    ));
    a.run(&["ip", "link", "set", "open0", "up"]);
    let open = Wire::on(&a.netns(), "open0");
    eventually("the socket of the node takes such a packet", || {
        send(&open, lan);
        let taken = ears.socket.recv(&mut [0; 64]);
        seen(taken.is_ok(), format!("{taken:?}"))
    });
}
