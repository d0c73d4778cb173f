//! The harness itself, without podconfig: a story is worth what its witness is worth.

use std::{path::PathBuf, time::Duration};

use crate::support::{
    enter::with_netns,
    fabric::{self, Fabric},
    frame::{self, holds_token, plain, tagged, vlan_of},
    look::names,
    node::TestNode,
    wait::{eventually, seen},
    wire::Wire,
};

/// Two namespaces joined by a veth, `left` with 10.9.0.1 and `right` with 10.9.0.2.
fn two_namespaces() -> (TestNode, PathBuf, PathBuf) {
    let node = TestNode::new();
    node.shell(
        "ip netns add left; ip netns add right
         ip -n left link add l0 type veth peer name r0 netns right
         ip -n left address add 10.9.0.1/24 dev l0; ip -n right address add 10.9.0.2/24 dev r0
         ip -n left link set l0 up; ip -n right link set r0 up
         # A link that has just come up may lose the first frame.
         ip netns exec left ping -q -n -c 1 -w 5 10.9.0.2",
    );
    let (left, right) = (node.path("/run/netns/left"), node.path("/run/netns/right"));
    (node, left, right)
}

#[test]
fn a_node_has_only_its_own_links_and_folders() {
    let node = TestNode::new();
    let other = TestNode::new();
    other.run(&["ip", "link", "add", "only-there", "type", "bridge"]);
    other.run(&["ip", "netns", "add", "only-there"]);
    let links = names(&node.ip(&["link", "show"]));
    assert!(
        links.contains(&"lo".to_owned()) && !links.contains(&"only-there".to_owned()),
        "{links:?}"
    );
    assert!(!node.path("/run/netns/only-there").exists());
    assert!(!PathBuf::from("/run/netns/only-there").exists());
}

#[test]
fn a_node_takes_its_processes_with_it() {
    let node = TestNode::new();
    let token = format!("7{}", std::process::id());
    let runs = |token: &str| {
        let folder = std::fs::read_dir("/proc").unwrap();
        folder
            .filter_map(|p| std::fs::read(p.ok()?.path().join("cmdline")).ok())
            .any(|line| {
                line.starts_with(b"sleep\0")
                    && line
                        .windows(token.len())
                        .any(|part| part == token.as_bytes())
            })
    };
    node.keep(node.command("sleep").arg(&token).spawn().unwrap());
    eventually("the process runs", || seen(runs(&token), "not yet"));
    drop(node);
    eventually("the process is gone", || seen(!runs(&token), "it runs"));
}

#[test]
fn a_frame_that_is_sent_is_heard_at_the_other_end_alone() {
    let (node, left, right) = two_namespaces();
    let (sender, receiver, outside) = (
        Wire::on(&left, "l0"),
        Wire::on(&right, "r0"),
        Wire::on_all(&node.path("/proc/1/ns/net")),
    );
    sender.send(&plain(frame::EVERYBODY, frame::mac("02:00:00:00:00:07")));
    assert!(
        receiver
            .hears(Duration::from_secs(2), holds_token)
            .is_some()
    );
    assert!(
        outside
            .hears(Duration::from_millis(100), holds_token)
            .is_none()
    );
}

#[test]
fn a_made_router_advertisement_is_believed_by_a_kernel_that_takes_them() {
    let (node, left, right) = two_namespaces();
    let files = "/proc/sys/net/ipv6/conf/r0";
    node.shell(&format!(
        "ip netns exec right sh -ec 'echo 2 >{files}/accept_ra; echo 1 >{files}/autoconf'"
    ));
    let sender = Wire::on(&left, "l0");
    let from = frame::mac("02:00:00:00:00:07");
    eventually("a default route in the other namespace", || {
        sender.send(&frame::router_advertisement(
            from,
            "fd66::".parse().unwrap(),
        ));
        let routes = node.run(&["ip", "-n", "right", "-6", "route", "show", "default"]);
        seen(routes.contains("proto ra"), routes)
    });
    drop(right);
}

#[test]
fn made_questions_are_answered_by_a_kernel_that_has_the_address() {
    let (node, left, _right) = two_namespaces();
    node.run(&[
        "ip",
        "-n",
        "right",
        "address",
        "add",
        "fd09::2/64",
        "dev",
        "r0",
        "nodad",
    ]);
    let wire = Wire::on(&left, "l0");
    let me = frame::mac("02:00:00:00:00:07");
    wire.send(&frame::arp_request(
        me,
        "10.9.0.9".parse().unwrap(),
        "10.9.0.2".parse().unwrap(),
    ));
    let answer = wire.hears(Duration::from_secs(2), |f| {
        frame::is_arp_reply_of(f, "10.9.0.2".parse().unwrap())
    });
    assert!(answer.is_some(), "no ARP reply");
    let target = "fd09::2".parse().unwrap();
    wire.send(&frame::neighbour_solicitation(me, target));
    let answer = wire.hears(Duration::from_secs(2), |f| {
        frame::is_advertisement_of(f, target)
    });
    assert!(answer.is_some(), "no neighbour advertisement");
}

#[test]
fn a_made_datagram_is_delivered_by_a_kernel_that_has_the_address() {
    let (node, left, right) = two_namespaces();
    let links = node.run(&["ip", "-n", "right", "-br", "link", "show", "r0"]);
    let to = frame::mac(links.split_whitespace().nth(2).unwrap());
    let listener = with_netns(&right, || {
        std::net::UdpSocket::bind("0.0.0.0:7777").unwrap()
    });
    listener
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let datagram = frame::udp4(
        to,
        frame::mac("02:00:00:00:00:07"),
        "10.9.0.1".parse().unwrap(),
        "10.9.0.2".parse().unwrap(),
        7777,
    );
    Wire::on(&left, "l0").send(&datagram);
    let mut buffer = [0; 64];
    assert_eq!(listener.recv(&mut buffer).unwrap(), frame::TOKEN.len());
}

#[test]
fn a_pod_is_wired_and_recorded_by_a_real_chain() {
    let node = TestNode::new();
    let mut pod = node.pod("tenant-a", "web-0");
    let other = node.pod("tenant-a", "web-1");
    let address = other.find("eth0").unwrap()["addr_info"][0]["local"]
        .as_str()
        .unwrap()
        .to_owned();
    pod.ping(&address);
    let record = std::fs::read_to_string(pod.record()).unwrap();
    assert!(
        record.contains("web-0") && record.contains(&pod.attachment.netns),
        "{record}"
    );
    pod.restart_sandbox();
    pod.ping(&address);
    assert_eq!(node.records().len(), 2);
    pod.delete();
    assert_eq!(node.records(), [other.record()]);
    other.vanish();
    assert!(!other.netns().exists());
}

#[test]
fn a_stream_of_pings_counts_what_is_lost_and_a_monitor_sees_a_link_go_down() {
    let node = TestNode::new();
    let (pod, other) = (node.pod("tenant-a", "web-0"), node.pod("tenant-a", "web-1"));
    let address = other.find("eth0").unwrap()["addr_info"][0]["local"]
        .as_str()
        .unwrap()
        .to_owned();
    let (stream, monitor) = (pod.ping_on(&address), node.monitor(other.netns_name()));
    stream.lost_nothing();
    assert_eq!(monitor.saw_down("eth0"), Vec::<String>::new());
    let stream = pod.ping_on(&address);
    other.shell("ip link set eth0 down; sleep 0.2; ip link set eth0 up");
    let count = stream.count();
    assert!(count.sent > count.received + 10, "{count:?}");
    assert!(
        !monitor.saw_down("eth0").is_empty(),
        "{:?}",
        monitor.lines()
    );
}

/// Seventy pods are no story if they take a minute.
#[test]
fn bare_pods_are_quick_to_make() {
    let node = TestNode::new();
    let start = std::time::Instant::now();
    let pods: Vec<_> = (0..20)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(node.records().len(), pods.len());
}

#[test]
fn nodes_on_a_wire_and_outsiders_reach_each_other() {
    let fabric = Fabric::new(3);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        fabric[from].ping(&fabric::address(to));
        fabric[from].ping(&fabric::address6(to));
    }
    let (first, second) = (fabric.outsider(), fabric.outsider());
    fabric[0].ping(&first.address());
    fabric[2].ping(&second.address6());
    first.run(&["ping", "-n", "-c", "1", "-W", "2", &second.address()]);
    first.run(&["ping", "-n", "-c", "1", "-W", "2", &fabric::address(1)]);
}

#[test]
fn a_multicast_datagram_reaches_all_other_nodes() {
    let fabric = Fabric::new(3);
    let group: std::net::Ipv4Addr = "239.7.7.7".parse().unwrap();
    let member = |number: usize| {
        fabric[number].in_net(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:7777").unwrap();
            let own = fabric::address(number).parse().unwrap();
            socket.join_multicast_v4(&group, &own).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(2)))
                .unwrap();
            socket
        })
    };
    let members = [member(1), member(2)];
    // A link that has just come up may lose the first frame.
    (1..=2).for_each(|number| fabric[0].ping(&fabric::address(number)));
    fabric[0].in_net(|| {
        let socket = std::net::UdpSocket::bind((fabric::address(0), 0)).unwrap();
        socket.send_to(frame::TOKEN, (group, 7777)).unwrap();
    });
    for member in members {
        let mut buffer = [0; 64];
        assert_eq!(member.recv(&mut buffer).unwrap(), frame::TOKEN.len());
    }
}

#[test]
fn a_tap_hears_each_frame_on_the_wire_once_and_with_its_tag() {
    let fabric = Fabric::new(2);
    let (tap, outsider) = (fabric.tap(), fabric.outsider());
    outsider.run(&[
        "ping",
        "-q",
        "-n",
        "-c",
        "1",
        "-w",
        "5",
        &fabric::address(1),
    ]);
    let (sender, plain) = (
        outsider.wire(),
        plain(frame::EVERYBODY, frame::mac("02:00:00:00:00:07")),
    );
    let receiver = Wire::on(&fabric[1].path("/proc/1/ns/net"), fabric::UPLINK);
    sender.send(&plain);
    sender.send(&tagged(7, &plain));
    let ours = |tag| move |frame: &[u8]| holds_token(frame) && vlan_of(frame) == tag;
    assert!(
        receiver
            .hears(Duration::from_secs(2), ours(Some(7)))
            .is_some(),
        "the tag does not arrive"
    );
    for tag in [None, Some(7)] {
        assert!(
            tap.hears(Duration::from_secs(2), ours(tag)).is_some(),
            "{tag:?} is not heard"
        );
    }
    assert_eq!(tap.counts(Duration::from_millis(100), holds_token), 0);
}

#[test]
fn the_uplink_of_a_node_takes_another_mtu_and_comes_back_after_it_was_down() {
    let fabric = Fabric::with_mtu(2, 9000);
    let (first, second) = (&fabric[0], &fabric[1]);
    let answered = |bytes: &str| {
        let words = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", bytes];
        let said = first.try_run(&[&words[..], &[&fabric::address(1)]].concat());
        said.status.success()
    };
    first.ping(&fabric::address(1));
    assert!(answered("8900"), "9000 is the MTU of both");
    second.run(&["ip", "link", "set", fabric::UPLINK, "mtu", "1500"]);
    assert!(!answered("8900"), "1500 is the MTU of one");
    assert!(answered("1400"));
    second.run(&["ip", "link", "set", fabric::UPLINK, "down"]);
    assert!(!answered("1400"), "the other's link is down");
    second.run(&["ip", "link", "set", fabric::UPLINK, "up"]);
    first.ping(&fabric::address(1));
}

#[test]
fn nodes_on_a_wire_have_pods_and_daemons_of_their_own() {
    let fabric = Fabric::new(2);
    let daemons: Vec<_> = fabric.nodes().iter().map(TestNode::daemon).collect();
    for node in fabric.nodes() {
        node.allow_everything();
        let pod = node.connected("tenant-a", "a", "10.1.0.1/24");
        pod.ready("data0");
        assert_eq!(node.host_ends().len(), 1);
    }
    drop(daemons);
}
