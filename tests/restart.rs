//! Killed at any moment and started again: nothing that is right is touched, nothing half-made
//! stays; and a disk that takes nothing is no reason to lose a link.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use crate::support::{
    look::{addresses, index},
    manifests::config_for,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, within},
};

const PODS: usize = 70;
const LINKS_EACH: usize = 3;

/// Seventy pods with three links each, on three bridges.
fn crowd(node: &TestNode) -> Vec<TestPod<'_>> {
    node.allow_own_bridges();
    let links: Vec<String> = (0..LINKS_EACH)
        .map(|n| format!("{{name: data{n}, veth: {{bridge: b{n}}}}}"))
        .collect();
    node.apply(
        "all",
        &config_for("tenant-a", "all", "{}", &format!("[{}]", links.join(", "))),
    );
    (0..PODS)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect()
}

/// Every host end's name and index, and every pod's links'.
fn fingerprint(node: &TestNode, pods: &[TestPod<'_>]) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for link in node
        .switch_ip(&["link", "show"])
        .as_array()
        .into_iter()
        .flatten()
    {
        all.insert(format!("switch/{}", link["ifname"]), index(link));
    }
    for pod in pods {
        for link in pod.ip(&["link", "show"]).as_array().into_iter().flatten() {
            all.insert(
                format!("{}/{}", pod.attachment.name, link["ifname"]),
                index(link),
            );
        }
    }
    all
}

#[test]
fn a_restart_with_two_hundred_links_changes_nothing_and_loses_no_packet() {
    let node = TestNode::new();
    let mut daemon = node.daemon();
    let pods = crowd(&node);
    within(Duration::from_secs(20), "all links are there", || {
        let ends = node.host_ends().len();
        seen(ends == PODS * LINKS_EACH, format!("{ends} host ends"))
    });
    // Two more with addresses carry the pings.
    let (a, b) = (
        node.bare_pod("tenant-b", "a"),
        node.bare_pod("tenant-b", "b"),
    );
    node.connect("tenant-b", "a", "data0", "10.1.0.1/24");
    node.connect("tenant-b", "b", "data0", "10.1.0.2/24");
    a.ready("data0");
    b.ready("data0");
    // The kernel tells of a new bridge once more, up to a second later.
    sleep(Duration::from_millis(1200));
    let before = fingerprint(&node, &pods);
    let (stream, monitor) = (a.ping_on("10.1.0.2"), node.monitor("podconfig"));
    for round in 0..3 {
        daemon.kill();
        sleep(Duration::from_millis(50 * round));
        daemon = node.daemon();
        sleep(Duration::from_millis(150));
        assert!(
            daemon.metric("reconfd_netlink_changes_total").abs() < 0.5,
            "a restart sent changes"
        );
    }
    stream.lost_nothing();
    assert_eq!(fingerprint(&node, &pods), before);
    assert_eq!(
        monitor.lines(),
        Vec::<String>::new(),
        "the kernel saw a change in the switch"
    );
    assert!(
        daemon.resident() < 64 << 20,
        "{} bytes resident",
        daemon.resident()
    );
}

#[test]
fn what_changed_while_the_daemon_was_away_is_made_true_at_its_start() {
    let node = TestNode::new();
    node.allow_own_bridges();
    let daemon = node.daemon();
    let pods: Vec<TestPod<'_>> = ["gone", "wished-off", "changed"]
        .map(|n| node.bare_pod("tenant-a", n))
        .into();
    for (number, pod) in pods.iter().enumerate() {
        node.connect(
            "tenant-a",
            &pod.attachment.name,
            "data0",
            &format!("10.1.0.{}/24", number + 1),
        );
        pod.ready("data0");
    }
    let before = index(&pods[2].link("data0"));
    daemon.kill();
    pods[0].vanish();
    node.withdraw("tenant-a-wished-off");
    node.connect("tenant-a", "changed", "data0", "10.1.0.33/24");
    let new = node.bare_pod("tenant-a", "new");
    node.connect("tenant-a", "new", "data0", "10.1.0.44/24");
    let _daemon = node.daemon();
    pods[1].lacks("data0");
    new.link("data0");
    eventually("the change is in force, in place", || {
        let link = pods[2].find("data0").ok_or("no link")?;
        seen(
            addresses(&link) == ["10.1.0.33/24"] && index(&link) == before,
            link,
        )
    });
    eventually("two host ends are left", || {
        let ends = node.host_ends();
        seen(ends.len() == 2, format!("{ends:?}"))
    });
}
