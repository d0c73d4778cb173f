//! Links whose host end is not where it belongs: somebody with rights on the node deleted it, renamed it or
//! took it to another namespace, and what the pod still has of the link is in nobody's way.

use serde_json::Value;

use crate::support::{
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

/// The host end of the pod's link.
fn host_end(node: &TestNode, pod: &TestPod<'_>) -> Option<String> {
    let is_of_pod = |link: &&Value| {
        let alias = link["ifalias"].as_str().unwrap_or_default();
        alias.contains(&pod.attachment.uid)
    };
    let ends = node.host_ends();
    let end = ends.iter().find(is_of_pod)?;
    end["ifname"].as_str().map(str::to_owned)
}

/// What a pod does with its link: routes of its own, one for a group among them.
fn use_link(pod: &TestPod<'_>) {
    pod.shell(
        "ip route replace 239.1.0.0/16 dev data0
         ip route replace 10.1.0.128/25 dev data0
         ip -6 route replace ff15::/16 dev data0",
    );
}

fn comes_back(node: &TestNode, a: &TestPod<'_>, b: &TestPod<'_>, after: &str) {
    eventually(&format!("the link is back after {after}"), || {
        let end = host_end(node, a).ok_or_else(|| format!("{:?}", a.reported("data0")))?;
        let reaches = b.reaches("10.1.0.1");
        seen(reaches, format!("{end}; {:?}", a.reported("data0")))
    });
    a.ready("data0");
    let links = a.ip(&["link", "show", "type", "veth"]);
    let veths = links.as_array().map_or(0, Vec::len);
    assert_eq!(
        veths, 1,
        "nothing of the old one is left after {after}: {links}"
    );
}

/// What somebody does to a host end; `END` is its name.
const DEEDS: [(&str, &str); 5] = [
    ("a deletion", "ip -n podconfig link delete END"),
    ("a move", "ip -n podconfig link set END netns away"),
    (
        "a move into the pod",
        "ip -n podconfig link set END netns POD",
    ),
    (
        "a move with another name",
        "ip -n podconfig link set END netns away name mine0",
    ),
    ("another name", "ip -n podconfig link set END name mine0"),
];

fn done(node: &TestNode, pod: &TestPod<'_>, deed: &str) {
    let end = host_end(node, pod).expect("the link has a host end");
    let netns = pod.netns_name().to_owned();
    node.shell(&deed.replace("END", &end).replace("POD", &netns));
}

#[test]
fn a_link_whose_host_end_is_gone_comes_back_and_does_not_collide_with_itself() {
    let node = TestNode::builder().own_bridges().daemon().start();
    node.run(&["ip", "netns", "add", "away"]);
    let (a, b) = node.neighbours();
    for (what, deed) in DEEDS {
        use_link(&a);
        done(&node, &a, deed);
        comes_back(&node, &a, &b, what);
    }
}

#[test]
fn a_link_whose_host_end_went_while_the_daemon_was_away_comes_back() {
    let (node, mut daemon) = TestNode::builder().own_bridges().start_with_daemon();
    node.run(&["ip", "netns", "add", "away"]);
    let (a, b) = node.neighbours();
    // The mark of a moved host end tells whose it is, if it has its name too and is where no tenant writes marks.
    for (what, deed) in &DEEDS[..2] {
        use_link(&a);
        daemon.terminate();
        done(&node, &a, deed);
        daemon = node.daemon();
        comes_back(&node, &a, &b, what);
    }
}

#[test]
fn what_is_left_of_a_link_goes_with_its_podconfig() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    node.run(&["ip", "netns", "add", "away"]);
    let (a, _b) = node.neighbours();
    daemon.terminate();
    done(&node, &a, DEEDS[1].1);
    node.withdraw("tenant-a-a");
    let _daemon = node.daemon();
    a.lacks("data0");
    let left = node.run(&["ip", "-n", "away", "-o", "link", "show", "type", "veth"]);
    assert_eq!(left, "");
}
