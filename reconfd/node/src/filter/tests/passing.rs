use std::collections::BTreeSet;

use super::{
    node::{Beyond, Node, OURS},
    place::{Neighbour, on_a_node, run},
    ways::{Sending, all_ways, divided_v4, ip, plain},
};

const POD: [&str; 2] = ["10.8.0.2", "fd00:8::2"];
const PEER: [&str; 2] = ["10.9.0.2", "fd00:9::2"];
const STRANGER: [&str; 2] = ["10.9.0.3", "fd00:9::3"];

fn words(ways: &[(&str, Sending)]) -> BTreeSet<String> {
    ways.iter().map(|(word, _)| (*word).to_owned()).collect()
}

/// Sends in all ways; what arrives beyond the node.
fn sent(
    by: &Neighbour,
    from: [&'static str; 2],
    to: [&'static str; 2],
    heard_by: &Beyond,
) -> BTreeSet<String> {
    for (_, sending) in all_ways(from, to) {
        sending.sent_by(by);
    }
    heard_by.hears((by, from[0]), to[0])
}

#[test]
fn strangers_have_tunnels_of_the_same_numbers_through_the_node() {
    on_a_node(|| {
        let node = Node::new();
        let [beside, pod] = node.passes();
        let _filter = node.set();
        let all = words(&all_ways(POD, STRANGER));
        assert_eq!(sent(&node.pod, POD, STRANGER, &beside), all);
        assert_eq!(sent(&node.peer, STRANGER, POD, &pod), all);
        // A peer may talk to strangers too.
        assert_eq!(sent(&node.peer, PEER, POD, &pod), all);
        assert_eq!(node.hears(), BTreeSet::new());
    });
}

#[test]
fn a_pod_s_frames_pass_to_no_peer_however_they_are_hidden() {
    on_a_node(|| {
        let node = Node::new();
        let [peer, _] = node.passes();
        // Under the addresses of a third node.
        let third = ["10.9.0.4", "fd00:9::4"];
        let all = words(&all_ways(third, PEER));
        assert_eq!(sent(&node.pod, third, PEER, &peer), all);
        let _filter = node.set();
        // Where even the ports are hidden, it is for the peer's own filter.
        let left = all.iter().filter(|word| word.contains("with its ports"));
        let left: BTreeSet<String> = left.cloned().collect();
        assert_eq!(sent(&node.pod, third, PEER, &peer), left);
    });
}

#[test]
fn a_pod_s_frames_under_the_node_s_address_pass_to_strangers_and_to_no_peer() {
    on_a_node(|| {
        let node = Node::new();
        let [beside, _] = node.passes();
        run(
            "nft 'table ip leave { chain leave { type nat hook postrouting priority srcnat; \
             oif under masquerade; }; }'",
        );
        let heard = |to: &'static str| {
            plain(POD[0], to, OURS, "plain").sent_by(&node.pod);
            divided_v4(ip(POD[0]), ip(to), "divided", 8, 0).sent_by(&node.pod);
            beside.hears((&node.pod, POD[0]), to)
        };
        let both: BTreeSet<String> = ["plain".into(), "divided".into()].into();
        assert_eq!(heard(PEER[0]), both);
        let _filter = node.set();
        assert_eq!(heard(PEER[0]), BTreeSet::new());
        assert_eq!(heard(STRANGER[0]), both);
    });
}
