//! Links change in place: the same ifindex, never down, no packet lost, and nothing else touched.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    look::index,
    manifests::{config, on_bridge},
    node::TestNode,
    wait::{eventually, seen, stays},
};

/// A link that is edited to another kind.
mod kinds;

fn rewrite(node: &TestNode, links: &str) {
    node.apply("tenant-a-a", &config("tenant-a", "a", "a", links));
}

#[test]
fn the_mtu_changes_while_pings_flow() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let before = index(&a.link("data0"));
    let (monitor, stream) = (node.monitor(a.netns_name()), b.ping_on("10.1.0.1"));
    rewrite(
        &node,
        "[{name: data0, veth: {bridge: blue}, mtu: 4000, addresses: [10.1.0.1/24]}]",
    );
    let link = eventually("the MTU is 4000", || {
        let link = a.find("data0").ok_or("no link")?;
        seen(link["mtu"] == 4000, &link).map(|()| link)
    });
    stream.lost_nothing();
    assert_eq!(index(&link), before);
    assert_eq!(monitor.saw_down("data0"), Vec::<String>::new());
    let wide = node
        .host_ends()
        .iter()
        .filter(|end| end["mtu"] == 4000)
        .count();
    assert_eq!(wide, 1, "the host end follows, and only that one");
}

#[test]
fn a_link_moves_to_another_bridge_without_going_down() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let c = node.bare_pod("tenant-a", "c");
    node.configure(
        "tenant-a",
        "c",
        "c",
        &on_bridge("data0", "red", "10.1.0.3/24"),
    );
    c.ready("data0");
    let before = index(&a.link("data0"));
    let monitor = node.monitor(a.netns_name());
    rewrite(&node, &on_bridge("data0", "red", "10.1.0.1/24"));
    a.ping("10.1.0.3");
    assert_eq!(index(&a.link("data0")), before);
    assert_eq!(monitor.saw_down("data0"), Vec::<String>::new());
    assert!(!b.reaches("10.1.0.1"), "the old segment is left");
    node.withdraw("tenant-a-b");
    b.lacks("data0");
    eventually("the bridge that nobody uses is gone", || {
        let bridges = node.bridges();
        seen(bridges.len() == 1, format!("{bridges:?}"))
    });
}

#[test]
fn a_mac_changes_in_place() {
    let node = TestNode::builder().any_veth().daemon().start();
    let (a, b) = node.neighbours();
    let before = index(&a.link("data0"));
    let monitor = node.monitor(a.netns_name());
    rewrite(
        &node,
        "[{name: data0, veth: {bridge: blue}, mac: '02:00:00:00:07:07', addresses: [10.1.0.1/24]}]",
    );
    eventually("the MAC is as given", || {
        let link = a.find("data0").ok_or("no link")?;
        seen(
            link["address"] == "02:00:00:00:07:07" && index(&link) == before,
            link,
        )
    });
    assert_eq!(monitor.saw_down("data0"), Vec::<String>::new());
    b.shell("ip neighbour flush dev data0");
    b.ping("10.1.0.1");
}

#[test]
fn removing_one_link_touches_no_other() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (a, b) = node.neighbours();
    let both = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24]}, \
                 {name: data1, veth: {bridge: red}, addresses: [10.2.0.1/24]}]";
    rewrite(&node, both);
    a.ready("data1");
    let before = index(&a.link("data0"));
    let (monitor, stream) = (node.monitor(a.netns_name()), b.ping_on("10.1.0.1"));
    rewrite(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    a.lacks("data1");
    stream.lost_nothing();
    assert_eq!(index(&a.link("data0")), before);
    let about: Vec<String> = monitor
        .lines()
        .into_iter()
        .filter(|line| line.contains("data0"))
        .collect();
    assert_eq!(
        about,
        Vec::<String>::new(),
        "the kernel has nothing to tell of the link that stays"
    );
}

#[test]
fn an_edit_that_says_the_same_sends_nothing_to_the_kernel() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (a, _b) = node.neighbours();
    let before = daemon.metric("reconfd_netlink_changes_total");
    assert!(before > 0.0, "the metric counts");
    let same = config(
        "tenant-a",
        "a",
        "a",
        &on_bridge("data0", "blue", "10.1.0.1/24"),
    );
    node.apply(
        "tenant-a-a",
        &same.replace("name: a}", "name: a, annotations: {note: said-again}}"),
    );
    node.apply(
        "unrelated",
        &config(
            "tenant-b",
            "other",
            "nobody",
            &on_bridge("data0", "blue", "10.1.0.1/24"),
        ),
    );
    eventually("the unrelated PodConfig is seen", || {
        node.status("tenant-b", "other")
            .map(|_| ())
            .ok_or_else(|| "no status".to_owned())
    });
    stays("nothing is sent", Duration::from_millis(300), || {
        let now = daemon.metric("reconfd_netlink_changes_total");
        seen((now - before).abs() < 0.5, format!("{before} became {now}"))
    });
    assert_eq!(a.reported("data0").unwrap()["state"], "Ready");
}

#[test]
fn what_cannot_change_in_place_makes_that_link_alone_anew() {
    let node = TestNode::builder().any_veth().daemon().start();
    let a = node.bare_pod("tenant-a", "a");
    let first = "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24]}, \
                  {name: data1, veth: {bridge: red}, addresses: [10.2.0.1/24]}]";
    rewrite(&node, first);
    a.ready("data0");
    let kept = index(&a.ready("data1"));
    let second = first
        .replace("{bridge: blue}", "{routed: {}}")
        .replace("10.1.0.1/24", "10.1.0.1/32");
    rewrite(&node, &second);
    eventually("the node reaches the pod by its host end", || {
        let way = node.ip(&["route", "show", "10.1.0.1"]);
        seen(
            way[0]["dev"]
                .as_str()
                .is_some_and(|dev| dev.starts_with("pc")),
            way,
        )
    });
    a.ping("169.254.1.1");
    assert_eq!(index(&a.link("data1")), kept);
    assert_eq!(node.bridges().len(), 1);
    assert_eq!(a.ready("data0")["addr_info"][0]["prefixlen"], json!(32));
}
