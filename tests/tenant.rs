//! A tenant with root in the pod: may break its own network, nobody else's, and nothing of the node.

use std::time::{Duration, Instant};

use crate::support::{
    look::{OUR_GROUP, addresses, index},
    manifests::policy,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays, within},
};

/// A pod with data0 on blue, and a neighbour that must never notice anything.
fn victim_and_neighbour(node: &TestNode) -> (TestPod<'_>, TestPod<'_>) {
    let pods = (node.pod("tenant-a", "a"), node.bare_pod("tenant-a", "b"));
    node.connect("tenant-a", "a", "data0", "10.1.0.1/24");
    node.connect("tenant-a", "b", "data0", "10.1.0.2/24");
    pods.0.ready("data0");
    pods.1.ready("data0");
    pods
}

fn has_address(pod: &TestPod<'_>) -> serde_json::Value {
    eventually("data0 is back, up and with its address", || {
        let link = pod.find("data0").ok_or("no link")?;
        let up = link["operstate"] == "UP" && addresses(&link).contains(&"10.1.0.1/24".to_owned());
        seen(up, &link).map(|()| link)
    })
}

/// Attack 8.
#[test]
fn a_link_that_the_tenant_renames_gets_its_name_back() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, neighbour) = victim_and_neighbour(&node);
    let before = index(&neighbour.link("data0"));
    pod.shell("ip link set data0 down; ip link set data0 name mine");
    has_address(&pod);
    pod.lacks("mine");
    assert_eq!(node.host_ends().len(), 2, "no second link was made");
    assert_eq!(index(&neighbour.link("data0")), before);
    assert!(daemon.metric("reconfd_drift_repairs_total") > 0.0);
}

/// Attack 8.
#[test]
fn a_link_that_the_tenant_deletes_comes_back() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (pod, neighbour) = victim_and_neighbour(&node);
    pod.run(&["ip", "link", "delete", "data0"]);
    has_address(&pod);
    pod.ping("10.1.0.2");
    neighbour.ping("10.1.0.1");
    assert_eq!(node.host_ends().len(), 2);
}

#[test]
fn what_the_tenant_takes_from_a_link_comes_back() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (pod, _neighbour) = victim_and_neighbour(&node);
    let before = index(&pod.link("data0"));
    let mac = pod.link("data0")["address"].clone();
    for deed in [
        "ip address flush dev data0",
        "ip link set data0 down",
        "ip link set data0 mtu 1280",
        "ip link set data0 address 02:66:66:66:66:66",
    ] {
        pod.shell(deed);
        within(
            Duration::from_secs(8),
            &format!("`{deed}` is undone"),
            || {
                let link = pod.find("data0").ok_or("no link")?;
                let right = addresses(&link) == ["10.1.0.1/24"]
                    && link["operstate"] == "UP"
                    && link["mtu"] == 1500
                    && link["address"] == mac;
                seen(right, link)
            },
        );
    }
    assert_eq!(index(&pod.link("data0")), before, "repaired, not made anew");
    pod.ping("10.1.0.2");
}

#[test]
fn a_mark_that_the_tenant_strips_or_forges_on_the_pod_end_is_of_no_consequence() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, _neighbour) = victim_and_neighbour(&node);
    let before = index(&pod.link("data0"));
    pod.shell("ip link set data0 alias podconfig:v1:default:someone-else:x:data0:0; ip link set data0 group 0");
    daemon.reconciles(1);
    daemon.kill();
    let _daemon = node.daemon();
    assert_eq!(index(&has_address(&pod)), before);
    assert_eq!(node.host_ends().len(), 2);
    node.withdraw("tenant-a-a");
    pod.lacks("data0");
    eventually("its host end is gone", || {
        let ends = node.host_ends();
        seen(ends.len() == 1, format!("{ends:?}"))
    });
}

/// Attack 8: decoys with our form of name, our group and our alias.
#[test]
fn decoys_in_the_pod_are_never_acted_on() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, _neighbour) = victim_and_neighbour(&node);
    let end = node.host_ends()[0].clone();
    let alias = end["ifalias"].as_str().unwrap();
    pod.shell(&format!(
        "ip link add pcaaaaaaaaaaaaa type veth peer name decoy1
         ip link set pcaaaaaaaaaaaaa group {OUR_GROUP} alias '{alias}'
         ip link add pcbbbbbbbbbbbbb type bridge; ip link set pcbbbbbbbbbbbbb group {OUR_GROUP}
         ip link set decoy1 group {OUR_GROUP} alias '{alias}'"
    ));
    let all = |pod: &TestPod<'_>| {
        let mut names = crate::support::look::names(&pod.ip(&["link", "show"]));
        names.sort();
        names
    };
    let before = all(&pod);
    daemon.kill();
    let _daemon = node.daemon();
    node.withdraw("tenant-a-a");
    pod.lacks("data0");
    let rest: Vec<String> = before.into_iter().filter(|name| name != "data0").collect();
    stays(
        "the tenant's own links stay",
        Duration::from_millis(150),
        || {
            let now = all(&pod);
            seen(now == rest, format!("{now:?}, not {rest:?}"))
        },
    );
}

/// Attack 8: our marks on what the cluster gave.
#[test]
fn marks_planted_on_eth0_are_never_acted_on() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, _neighbour) = victim_and_neighbour(&node);
    let uid = &pod.attachment.uid;
    pod.shell(&format!(
        "ip link set eth0 group {OUR_GROUP} alias podconfig:v1:default:{uid}:gone:data9:0"
    ));
    let before = pod.find("eth0").unwrap();
    daemon.kill();
    let daemon = node.daemon();
    node.withdraw("tenant-a-a");
    pod.lacks("data0");
    daemon.reconciles(1);
    assert_eq!(pod.find("eth0").unwrap(), before);
    pod.ping("10.88.0.1");
}

/// Attack 8: the link is moved into a namespace of the tenant's own.
#[test]
fn a_link_that_the_tenant_moves_away_is_made_anew_and_the_old_one_is_gone() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let (pod, neighbour) = victim_and_neighbour(&node);
    node.run(&["ip", "netns", "add", "tenants-own"]);
    pod.shell("ip link set data0 netns tenants-own");
    has_address(&pod);
    pod.ping("10.1.0.2");
    eventually("the moved one is gone", || {
        let there = node.run(&["ip", "-n", "tenants-own", "-br", "link"]);
        seen(!there.contains("data0"), there)
    });
    assert_eq!(node.host_ends().len(), 2);
    neighbour.ping("10.1.0.1");
}

/// Attack 4: an altname takes the name that the link should have.
#[test]
fn an_altname_of_the_tenant_that_takes_the_name_is_told_and_not_touched() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.pod("tenant-a", "a");
    pod.run(&[
        "ip", "link", "property", "add", "dev", "eth0", "altname", "data0",
    ]);
    let before = pod.find("eth0").unwrap();
    node.connect("tenant-a", "a", "data0", "10.1.0.1/24");
    pod.reason("data0", "ForeignLink");
    assert_eq!(pod.find("eth0").unwrap(), before);
    pod.run(&[
        "ip", "link", "property", "del", "dev", "eth0", "altname", "data0",
    ]);
    within(
        Duration::from_secs(8),
        "the link comes once the name is free",
        || {
            seen(
                pod.find("data0").is_some(),
                format!("{:?}", pod.reported("data0")),
            )
        },
    );
}

#[test]
fn a_tenant_that_undoes_everything_at_once_is_slowed_down_and_others_are_served() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, neighbour) = victim_and_neighbour(&node);
    pod.spawn(&[
        "sh",
        "-c",
        "while :; do ip link delete data0 2>/dev/null; done",
    ]);
    pod.reason("data0", "BackingOff");
    let (before, start) = (
        daemon.metric("reconfd_netlink_changes_total"),
        Instant::now(),
    );
    daemon.reconciles(5);
    let sent = daemon.metric("reconfd_netlink_changes_total") - before;
    let span = start.elapsed().as_secs_f64().max(1.0);
    assert!(
        sent < 600.0 * span,
        "{sent} changes in {span} s for one hostile pod"
    );
    node.apply(
        "second",
        &crate::support::manifests::config(
            "tenant-a",
            "second",
            "b",
            "[{name: data1, veth: {bridge: red}, addresses: [10.2.0.2/24]}]",
        ),
    );
    neighbour.ready("data1");
    node.shell(&format!(
        "ip netns pids {} | xargs -r kill -9 || true",
        pod.netns_name()
    ));
    within(
        Duration::from_secs(30),
        "the link comes back when the tenant stops",
        || {
            let link = pod.find("data0").ok_or("no link")?;
            seen(link["operstate"] == "UP", link)
        },
    );
}

/// Attack 17: who undoes one link for ever must not keep another that was taken away.
#[test]
fn a_tenant_that_undoes_one_link_does_not_keep_another_that_was_withdrawn() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, _neighbour) = victim_and_neighbour(&node);
    let second = "[{name: data1, veth: {bridge: red}, addresses: [10.2.0.1/24]}]";
    node.configure("tenant-a", "second", "a", second);
    pod.ready("data1");
    pod.spawn(&[
        "sh",
        "-c",
        "while :; do ip link delete data0 2>/dev/null; sleep 0.01; done",
    ]);
    // The wait doubles from repair to repair.
    within(Duration::from_secs(20), "repairs wait for seconds", || {
        let repairs = daemon.metric("reconfd_drift_repairs_total");
        seen(repairs >= 7.0, repairs)
    });
    pod.reason("data0", "BackingOff");
    let only_blue = "[{veth: {bridges: Own}, addresses: [10.1.0.0/16]}]";
    node.apply("policy", &policy("own-bridges", "{}", only_blue));
    within(Duration::from_millis(700), "data1 is gone", || {
        let found = pod.find("data1");
        seen(found.is_none(), format!("{found:?}"))
    });
    pod.reason("data0", "BackingOff");
    pod.reason("data1", "NotAllowed");
}

/// The kernel answers the tenant's own deeds; the daemon must not.
#[test]
fn what_the_tenant_adds_to_its_link_stays() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (pod, _neighbour) = victim_and_neighbour(&node);
    pod.shell("ip route add 203.0.113.0/24 via 10.1.0.2 dev data0; ip rule add from 10.1.0.1 lookup 77 priority 77");
    daemon.reconciles(1);
    daemon.kill();
    let daemon = node.daemon();
    daemon.reconciles(1);
    assert_eq!(
        pod.ip(&["route", "show", "203.0.113.0/24"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(pod.run(&["ip", "rule", "show"]).contains("lookup 77"));
}
