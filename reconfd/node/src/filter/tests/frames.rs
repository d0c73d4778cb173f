use std::{collections::BTreeSet, net::UdpSocket, time::Duration};

use super::{
    node::{Node, OTHERS, OURS, OURS_V6, PORT},
    packet::{send, send_burst, vxlan},
    place::{on_a_node, run},
    ways::{all_ways, divided_v4, ip, plain},
    *,
};

#[test]
fn a_stranger_s_frames_reach_no_tunnel_however_they_are_hidden() {
    on_a_node(|| {
        let node = Node::new();
        // From a stranger beside the peer.
        let ways = || all_ways(["10.9.0.3", "fd00:9::3"], ["10.9.0.1", "fd00:9::1"]);
        let words: BTreeSet<String> = ways().iter().map(|(word, _)| (*word).into()).collect();
        // Each of them reaches a device that nobody guards, or it would prove nothing.
        for (_, sending) in ways() {
            sending.sent_by(&node.peer);
        }
        assert_eq!(node.hears(), words);
        let _filter = node.set();
        for (_, sending) in ways() {
            sending.sent_by(&node.peer);
        }
        assert_eq!(node.hears(), BTreeSet::new());
    });
}

#[test]
fn a_peer_s_address_by_another_link_reaches_no_tunnel() {
    on_a_node(|| {
        let node = Node::new();
        let spoof = || {
            for (from, to, vni, word) in [
                ("10.9.0.2", "10.9.0.1", OURS, "v4"),
                ("10.9.0.2", "10.8.0.1", OURS, "v4 to another address"),
                ("fd00:9::2", "fd00:9::1", OURS_V6, "v6"),
            ] {
                plain(from, to, vni, word).sent_by(&node.pod);
            }
        };
        spoof();
        assert_eq!(node.hears().len(), 3);
        let _filter = node.set();
        spoof();
        // The node's own processes are no peers either.
        send(
            ip("10.9.0.1"),
            &plain("10.9.0.2", "10.9.0.1", OURS, "lo").packets,
        );
        assert_eq!(node.hears(), BTreeSet::new());
    });
}

#[test]
fn a_peer_s_frames_arrive_also_in_large_fragments() {
    on_a_node(|| {
        let node = Node::new();
        let _filter = node.set();
        node.peer.does(|| {
            let socket = UdpSocket::bind("10.9.0.2:0").unwrap();
            let mut frame = vxlan(OURS, "large");
            frame.resize(4000, 0);
            socket.send_to(&frame, ("10.9.0.1", PORT)).unwrap();
        });
        assert_eq!(node.hears(), ["large".to_owned()].into());
    });
}

#[test]
fn tunnels_that_are_not_guarded_and_other_ports_are_left_alone() {
    on_a_node(|| {
        let node = Node::new();
        let _filter = node.set();
        plain("10.8.0.2", "10.9.0.1", OTHERS, "of others").sent_by(&node.pod);
        assert_eq!(node.hears(), ["of others".to_owned()].into());
        // Fragments and short datagrams to another port; it may look like a tunnel.
        let other = UdpSocket::bind("10.9.0.1:4790").unwrap();
        other
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut buffer = [0; 8192];
        for length in [0, 3, 100, 5000] {
            node.pod.does(move || {
                let mut payload = vxlan(OURS, "x");
                payload.resize(length, 0);
                let socket = UdpSocket::bind("10.8.0.2:0").unwrap();
                socket.send_to(&payload, "10.9.0.1:4790").unwrap();
            });
            assert_eq!(other.recv(&mut buffer).unwrap(), length);
        }
    });
}

#[test]
fn a_frame_that_is_translated_on_its_way_reaches_no_tunnel() {
    on_a_node(|| {
        let node = Node::new();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        run(
            "nft 'table ip services { chain services { type nat hook prerouting priority dstnat; \
             udp dport 1000 dnat to 10.9.0.1:4789; udp dport 2000 dnat to 10.9.0.2:4789; }; \
             chain leave { type nat hook postrouting priority srcnat; oif under masquerade; }; }'",
        );
        let send = |port: u16| {
            node.pod.does(move || {
                let socket = UdpSocket::bind("10.8.0.2:0").unwrap();
                let frame = vxlan(OURS, "translated");
                socket.send_to(&frame, ("10.8.0.1", port)).unwrap();
            });
        };
        // Somebody on another node, who sees the node's address.
        let far = node.peer.does(|| UdpSocket::bind("10.9.0.2:4789").unwrap());
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 8192];
        [1000, 2000].into_iter().for_each(send);
        assert_eq!(node.hears(), ["translated".to_owned()].into());
        assert_eq!(far.recv_from(&mut buffer).unwrap().1.ip(), ip("10.9.0.1"));
        let _filter = node.set();
        [1000, 2000].into_iter().for_each(send);
        assert_eq!(node.hears(), BTreeSet::new());
        far.set_nonblocking(true).unwrap();
        assert!(far.recv(&mut buffer).is_err());
    });
}

#[test]
fn a_frame_behind_another_in_a_burst_needs_a_closed_port_to_be_stopped() {
    on_a_node(|| {
        let node = Node::new();
        let mut filter = node.set();
        let burst = || {
            node.pod.does(|| {
                let datagrams = [vxlan(OTHERS, "before"), vxlan(OURS, "behind")];
                send_burst("10.9.0.1:4789".parse().unwrap(), &datagrams);
            });
        };
        burst();
        // No rule can see it. If this fails, the kernel has learned better.
        assert!(node.hears().contains("behind"));
        filter.close(PORT, Some([node.underlay].into())).unwrap();
        burst();
        assert_eq!(node.hears(), BTreeSet::new());
        // Others' frames still come by the underlay.
        plain("10.9.0.3", "10.9.0.1", OTHERS, "of others").sent_by(&node.peer);
        assert_eq!(node.hears(), ["of others".to_owned()].into());
    });
}

#[test]
fn a_guard_of_nobody_lets_nobody_in() {
    on_a_node(|| {
        let node = Node::new();
        let mut filter = node.set();
        plain("10.9.0.2", "10.9.0.1", OTHERS, "before").sent_by(&node.peer);
        assert_eq!(node.hears().len(), 1);
        filter
            .set(tunnel(OTHERS), peer_filter(node.underlay, &[]))
            .unwrap();
        plain("10.9.0.2", "10.9.0.1", OTHERS, "after").sent_by(&node.peer);
        assert_eq!(node.hears(), BTreeSet::new());
    });
}

#[test]
fn a_pod_s_frame_does_not_pass_through_the_node_to_another() {
    on_a_node(|| {
        let node = Node::new();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let far = node.peer.does(|| UdpSocket::bind("10.9.0.2:4789").unwrap());
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // Under the address of a third node, which is a peer of both.
        let (from, to) = (ip("10.9.0.4"), ip("10.9.0.2"));
        let send = || {
            plain("10.9.0.4", "10.9.0.2", OURS, "plain").sent_by(&node.pod);
            divided_v4(from, to, "hidden", 8, 0).sent_by(&node.pod);
        };
        let mut buffer = [0; 8192];
        send();
        assert_eq!(far.recv_from(&mut buffer).unwrap().1.ip(), from);
        assert_eq!(far.recv_from(&mut buffer).unwrap().1.ip(), from);
        let mut filter = node.set();
        let peers = peer_filter(node.underlay, &["10.9.0.0/24"]);
        filter.set(tunnel(OURS), peers).unwrap();
        send();
        assert_eq!(node.hears(), BTreeSet::new());
        far.set_nonblocking(true).unwrap();
        assert!(far.recv(&mut buffer).is_err());
    });
}
