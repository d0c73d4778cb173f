//! Addresses that podconfig chooses: one for each pod, never one for two.

use std::{collections::BTreeSet, fs};

use crate::support::{
    daemon::Options,
    look::addresses,
    manifests::{config_for, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

const EVERYBODY: &str = "{}";
const RANGE: &str = "{cidr: 10.7.0.0/24, gateway: 10.7.0.1}";

fn link(ranges: &str) -> String {
    format!("[{{name: data0, veth: {{bridge: blue}}, ipam: {{ranges: [{ranges}]}}}}]")
}

/// Every pod of tenant-a gets an address of each of these.
fn give(node: &TestNode, ranges: &str) {
    let all = config_for("tenant-a", "pool", EVERYBODY, &link(ranges));
    node.apply("pool", &all);
}

fn pods<'n>(node: &'n TestNode, names: &[&str]) -> Vec<TestPod<'n>> {
    names
        .iter()
        .map(|name| node.bare_pod("tenant-a", name))
        .collect()
}

/// The addresses that the kernel shows, but for link-local ones.
fn of(pod: &TestPod<'_>) -> Vec<String> {
    let link = pod.ready("data0");
    let all = addresses(&link).into_iter();
    all.filter(|address| !address.starts_with("fe80")).collect()
}

/// The names of the claims that are kept.
fn claims(node: &TestNode) -> BTreeSet<String> {
    let folder = node.path("/run/podconfig/objects-claims");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("cluster.")).collect()
}

#[test]
fn each_pod_gets_an_address_of_each_range_and_they_reach_each_other() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pods = pods(&node, &["a", "b", "c"]);
    give(&node, &format!("{RANGE}, {{cidr: 'fd07::/64'}}"));
    let all: Vec<Vec<String>> = pods.iter().map(of).collect();
    let different: BTreeSet<&String> = all.iter().flatten().collect();
    assert_eq!(different.len(), 6, "{all:?}");
    for own in &all {
        assert!(
            own[0].starts_with("10.7.0.") && own[0].ends_with("/24"),
            "{own:?}"
        );
        assert!(
            own[1].starts_with("fd07::") && own[1].ends_with("/64"),
            "{own:?}"
        );
        assert!(!["10.7.0.0/24", "10.7.0.1/24", "10.7.0.255/24"].contains(&own[0].as_str()));
    }
    let alone = |address: &String| address.split('/').next().unwrap().to_owned();
    pods[0].ping(&alone(&all[1][0]));
    pods[0].ping(&alone(&all[2][1]));
    assert_eq!(claims(&node).len(), 6);
    let told = pods[0].reported("data0").unwrap();
    assert_eq!(told["domain"], "cluster", "{told}");
}

/// A neighbour that talked with it goes on talking: same address, same MAC.
#[test]
fn a_pod_that_comes_back_has_its_address_and_its_mac_and_answers_at_once() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with(&Options {
        more: &["--address-rest", "30"],
        ..Options::default()
    });
    let neighbour = node.bare_pod("tenant-a", "neighbour");
    give(&node, RANGE);
    neighbour.ready("data0");
    let first = node.bare_pod("tenant-a", "web-0");
    let (address, mac) = (of(&first), first.mac_of("data0"));
    let ip = address[0].split('/').next().unwrap().to_owned();
    neighbour.ping(&ip);
    first.delete();
    eventually("its link is gone", || {
        let ends = node.host_ends();
        seen(ends.len() == 1, format!("{ends:?}"))
    });
    // Another that comes meanwhile does not get it.
    let other = node.bare_pod("tenant-a", "other");
    assert_ne!(of(&other), address);
    let second = node.bare_pod("tenant-a", "web-0");
    assert_eq!(of(&second), address);
    assert_eq!(second.mac_of("data0"), mac);
    assert!(
        neighbour.reaches(&ip),
        "nobody has to wait until he forgets"
    );
}

#[test]
fn a_full_range_is_told_with_numbers_and_whoever_waits_gets_what_comes_free() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with(&Options {
        more: &["--address-rest", "1"],
        ..Options::default()
    });
    let mut two = pods(&node, &["a", "b"]);
    give(&node, "{cidr: 10.7.0.0/29, start: 10.7.0.2, end: 10.7.0.3}");
    let held: BTreeSet<Vec<String>> = two.iter().map(of).collect();
    assert_eq!(held.len(), 2);
    let late = node.bare_pod("tenant-a", "late");
    let told = late.reason("data0", "RangeFull");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("2 of 2 in use") && message.contains("oldest claim"),
        "{message}"
    );
    let going = two.remove(0);
    let freed = of(&going);
    going.delete();
    assert_eq!(of(&late), freed);
}

#[test]
fn a_static_and_a_chosen_address_never_meet() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let fixed = node.bare_pod("tenant-a", "fixed");
    // On another bridge, and in another namespace: the routing domain is the same.
    let elsewhere = node.bare_pod("tenant-b", "fixed");
    node.connect("tenant-a", "fixed", "eth1", "10.7.0.2/24");
    node.connect("tenant-b", "fixed", "eth1", "10.7.0.3/24");
    fixed.ready("eth1");
    elsewhere.ready("eth1");
    let chosen = pods(&node, &["a", "b"]);
    node.apply(
        "pool",
        &config_for(
            "tenant-a",
            "pool",
            "{matchExpressions: [{key: pod, operator: In, values: [a, b]}]}",
            &link("{cidr: 10.7.0.0/24, start: 10.7.0.2, end: 10.7.0.4}"),
        ),
    );
    let got = eventually("one of the two has the one that is free", || {
        let told: Vec<String> = chosen
            .iter()
            .filter_map(|pod| Some(pod.reported("data0")?["reason"].to_string()))
            .collect();
        seen(told.len() == 2 && told[0] != told[1], format!("{told:?}")).map(|()| told)
    });
    assert!(got.contains(&"\"RangeFull\"".to_owned()), "{got:?}");
    let lucky = chosen
        .iter()
        .find(|pod| pod.find("data0").is_some())
        .unwrap();
    assert_eq!(of(lucky), ["10.7.0.4/24"]);
}

#[test]
fn a_range_that_moves_gives_a_new_address_in_place_and_the_old_one_back() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    give(&node, RANGE);
    let before = of(&pod);
    let index = pod.find("data0").unwrap()["ifindex"].clone();
    give(&node, "{cidr: 10.8.0.0/24}");
    let after = eventually("the address is of the new range", || {
        let now = of(&pod);
        seen(now[0].starts_with("10.8.0."), format!("{now:?}")).map(|()| now)
    });
    assert_ne!(before, after);
    assert_eq!(
        pod.find("data0").unwrap()["ifindex"],
        index,
        "it is the same link"
    );
    eventually("the old claim is gone", || {
        let claims = claims(&node);
        seen(
            claims.len() == 1 && claims.iter().all(|name| name.contains("10.8.0.")),
            format!("{claims:?}"),
        )
    });
}

#[test]
fn routes_without_a_gateway_go_through_that_of_the_range() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    let links = format!(
        "[{{name: data0, veth: {{bridge: blue}}, ipam: {{ranges: [{RANGE}]}}, routes: [{{to: 172.20.0.0/16}}]}}]"
    );
    node.configure("tenant-a", "pool", "a", &links);
    pod.ready("data0");
    let routes = pod.ip(&["route", "show", "172.20.0.0/16"]);
    assert_eq!(routes[0]["gateway"], "10.7.0.1", "{routes}");
}

#[test]
fn a_restart_keeps_every_address_and_a_crash_loses_none() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pods = pods(&node, &["a", "b", "c"]);
    give(&node, RANGE);
    let before: Vec<_> = pods.iter().map(of).collect();
    let stream = pods[0].ping_on(before[1][0].split('/').next().unwrap());
    daemon.kill();
    let daemon = node.daemon();
    let after: Vec<_> = pods.iter().map(of).collect();
    assert_eq!(before, after);
    stream.lost_nothing();
    assert_eq!(claims(&node).len(), 3);
    drop(daemon);
}

/// What a pod leaves while nobody looks is found and given back.
#[test]
fn a_pod_that_ends_while_the_daemon_is_away_leaves_no_claim() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pod = node.bare_pod("tenant-a", "a");
    give(&node, RANGE);
    of(&pod);
    daemon.kill();
    pod.delete();
    assert_eq!(claims(&node).len(), 1);
    let _daemon = node.daemon();
    eventually("the claim is given back", || {
        let claims = claims(&node);
        seen(claims.is_empty(), format!("{claims:?}"))
    });
}

#[test]
fn a_claim_that_somebody_deletes_is_made_again_under_the_link() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    give(&node, RANGE);
    let address = of(&pod);
    let name = claims(&node).pop_first().unwrap();
    fs::remove_file(node.path("/run/podconfig/objects-claims").join(&name)).unwrap();
    eventually("the claim is there again", || {
        let claims = claims(&node);
        seen(claims.contains(&name), format!("{claims:?}"))
    });
    assert_eq!(of(&pod), address);
}

/// What stands decides, and not where a search would begin.
#[test]
fn claims_that_are_gone_after_a_restart_are_made_again_for_the_addresses_that_stand() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let mut pods = pods(&node, &["a", "b", "c", "d", "e", "f"]);
    give(&node, "{cidr: 10.7.0.0/28, start: 10.7.0.1, end: 10.7.0.6}");
    let all: Vec<_> = pods.iter().map(of).collect();
    pods.drain(..3).for_each(TestPod::delete);
    eventually("three claims are given back", || {
        let claims = claims(&node);
        seen(claims.len() == 3, format!("{claims:?}"))
    });
    daemon.kill();
    for name in claims(&node) {
        fs::remove_file(node.path("/run/podconfig/objects-claims").join(name)).unwrap();
    }
    let _daemon = node.daemon();
    let now: Vec<_> = pods.iter().map(of).collect();
    assert_eq!(now, all[3..]);
    assert_eq!(claims(&node).len(), 3);
}

/// An address that was released is nobody's for a while: a neighbour may still take it for the old pod's.
#[test]
fn an_address_rests_before_another_pod_has_it() {
    let node = TestNode::builder().own_bridges().start();
    let daemon = node.daemon_with(&Options {
        more: &["--address-rest", "2"],
        ..Options::default()
    });
    let first = node.bare_pod("tenant-a", "first");
    give(&node, "{cidr: 10.7.0.0/30, start: 10.7.0.2}");
    let address = of(&first);
    first.delete();
    eventually("its claim rests", || {
        let name = claims(&node).pop_first().ok_or("it is gone")?;
        let file = node.path("/run/podconfig/objects-claims").join(name);
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        seen(text.contains("released"), text)
    });
    let second = node.bare_pod("tenant-a", "second");
    let told = second.reason("data0", "RangeFull");
    assert!(
        told["message"].as_str().unwrap().contains("1 resting"),
        "{told}"
    );
    daemon.reconciles(2);
    assert!(second.find("data0").is_none());
    assert_eq!(of(&second), address);
}

#[test]
fn a_domain_that_no_policy_lists_is_refused_and_two_domains_are_two_worlds() {
    let node = TestNode::new();
    let rule = "{veth: {bridges: Own}, addresses: [10.7.0.0/24], domains: [red, blue]}";
    node.apply("policy", &policy("domains", "{}", &format!("[{rule}]")));
    let _daemon = node.daemon();
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-b", "b"),
    );
    let of_domain = |domain: &str| {
        format!(
            "[{{name: data0, veth: {{bridge: x}}, ipam: {{domain: {domain}, ranges: [{{cidr: 10.7.0.0/30, start: 10.7.0.2}}]}}}}]"
        )
    };
    node.configure("tenant-a", "a", "a", &of_domain("red"));
    node.configure("tenant-b", "b", "b", &of_domain("blue"));
    assert_eq!(of(&a), of(&b));
    node.configure("tenant-b", "b", "b", &of_domain("cluster"));
    let told = b.reason("data0", "NotAllowed");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("ipam.domain \"cluster\""),
        "{told}"
    );
}
