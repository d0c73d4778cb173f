//! What no link may overlap, and what happens when it appears later.

use crate::support::{
    binary,
    daemon::Options,
    look::addresses,
    manifests::{ANY_VETH, on_bridge, policy},
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen},
};

fn ask(node: &TestNode, links: &str) {
    node.configure("tenant-a", "a", "a", links);
}

/// Waits until just this is the reason why not.
fn is_refused(pod: &TestPod<'_>, because: &str) {
    eventually("the link is refused", || {
        let told = pod.reported("data0").ok_or("no report")?;
        seen(
            told["reason"] == "NetworkReserved" && told["message"] == because,
            &told,
        )
    });
}

fn refused(pod: &TestPod<'_>, reason: &str) -> String {
    let told = pod.reason("data0", reason);
    told["message"].as_str().unwrap().to_owned()
}

/// A wire of the node with this network.
fn wire(node: &TestNode, name: &str, address: &str) {
    node.run(&[
        "ip",
        "link",
        "add",
        name,
        "type",
        "veth",
        "peer",
        &format!("{name}x"),
    ]);
    node.run(&["ip", "address", "add", address, "dev", name]);
    for link in [name, &format!("{name}x")] {
        node.run(&["ip", "link", "set", link, "up"]);
    }
}

/// Attack 3: the node's own subnets, by address, by range and by route.
#[test]
fn the_nodes_own_subnets_are_nobodys_to_have() {
    let node = TestNode::new();
    wire(&node, "uplink", "10.9.0.7/24");
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    let said = "10.9.0.0/24, the connected network of interface/uplink (address 10.9.0.7/24)";
    ask(&node, &on_bridge("data0", "blue", "10.9.0.9/24"));
    is_refused(&pod, &format!("10.9.0.9/24 overlaps {said}"));
    ask(
        &node,
        "[{name: data0, veth: {bridge: blue}, ipam: {ranges: [{cidr: 10.9.0.128/25}]}}]",
    );
    is_refused(&pod, &format!("10.9.0.128/25 overlaps {said}"));
    ask(
        &node,
        "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24], routes: [{to: 10.8.0.0/14}]}]",
    );
    is_refused(&pod, &format!("10.8.0.0/14 overlaps {said}"));
    assert!(pod.find("data0").is_none());
    ask(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    pod.ready("data0");
}

#[test]
fn a_route_of_the_node_through_a_gateway_is_an_ordinary_one() {
    let node = TestNode::new();
    wire(&node, "uplink", "192.168.50.7/24");
    node.run(&["ip", "route", "add", "10.0.0.0/8", "via", "192.168.50.1"]);
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    ask(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    pod.ready("data0");
}

/// Attack 12: a route that would take the pod's own traffic away.
#[test]
fn what_the_pod_has_otherwise_is_not_taken_from_it() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.pod("tenant-a", "a");
    let eth0 = pod.find("eth0").unwrap();
    let own = addresses(&eth0).remove(0);
    let network = own.split('.').take(2).collect::<Vec<_>>().join(".");
    ask(
        &node,
        &format!(
            "[{{name: data0, veth: {{bridge: blue}}, addresses: [172.30.0.1/24], routes: [{{to: {network}.0.0/16}}]}}]"
        ),
    );
    let told = refused(&pod, "NetworkReserved");
    assert!(
        told.contains("overlaps") && told.contains("interface/"),
        "{told}"
    );
    assert!(pod.find("data0").is_none());
}

/// The regular check takes one pod a second, so with these it comes to a later one after the patience of a test.
const OTHERS: usize = 45;

/// Something of the pod refuses the link, and is undone.
fn is_retried(make: &str, undo: &str) {
    let node = TestNode::builder().any_veth().daemon().start();
    let others = (0..OTHERS).map(|number| node.bare_pod("tenant-b", &format!("other{number}")));
    let _others: Vec<TestPod<'_>> = others.collect();
    let pod = node.bare_pod("tenant-a", "a");
    pod.shell("ip link add own0 type bridge && ip link set own0 up");
    pod.shell(make);
    ask(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    let told = refused(&pod, "NetworkReserved");
    assert!(told.contains("interface/own0 of the pod"), "{told}");
    assert!(pod.find("data0").is_none());
    pod.shell(undo);
    let link = pod.ready("data0");
    assert!(addresses(&link).contains(&"10.1.0.1/24".to_owned()));
}

#[test]
fn an_interface_of_the_pod_that_goes_lets_the_link_in() {
    is_retried(
        "ip address add 10.1.0.200/16 dev own0",
        "ip link delete own0",
    );
}

#[test]
fn an_address_of_the_pod_that_goes_lets_the_link_in() {
    is_retried(
        "ip address add 10.1.0.200/16 dev own0",
        "ip address delete 10.1.0.200/16 dev own0",
    );
}

/// The daemon follows no routes of others: a pod may have a table of a million.
#[test]
fn a_route_of_the_pod_that_goes_lets_the_link_in() {
    is_retried(
        "ip route add 10.1.0.0/16 dev own0",
        "ip route delete 10.1.0.0/16 dev own0",
    );
}

#[test]
fn special_addresses_are_refused_whatever_a_policy_allows() {
    let node = TestNode::builder().any_veth().daemon().start();
    let pod = node.bare_pod("tenant-a", "a");
    ask(
        &node,
        "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24], routes: [{to: 169.254.169.254/32, via: 10.1.0.2}]}]",
    );
    let told = refused(&pod, "NetworkReserved");
    assert!(
        told.contains("169.254.0.0/16, reserved by the Internet Protocol"),
        "{told}"
    );
}

#[test]
fn a_network_that_appears_later_is_told_at_once_and_the_link_stays_until_it_goes() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let (a, b) = node.neighbours();
    let stream = b.ping_on("10.1.0.1");
    wire(&node, "late", "10.1.0.200/16");
    let status = eventually("the PodConfig says so", || {
        let status = node.status("tenant-a", "a").ok_or("no status")?;
        let all = status["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let conflict = all.into_iter().find(|one| one["type"] == "AddressConflict");
        conflict.ok_or_else(|| status.to_string())
    });
    assert_eq!(status["status"], "True");
    let message = status["message"].as_str().unwrap();
    assert!(
        message
            .contains("10.1.0.1/24 overlaps 10.1.0.0/16, the connected network of interface/late"),
        "{message}"
    );
    assert_eq!(a.reported("data0").unwrap()["reason"], "LinkReady");
    assert!(daemon.metric("reconfd_address_conflicts") > 1.5);
    // Nobody new comes in.
    let c = node.connected("tenant-a", "c", "10.1.0.3/24");
    c.reason("data0", "NetworkReserved");
    stream.lost_nothing();
    node.run(&["ip", "link", "delete", "late"]);
    c.ready("data0");
    eventually("the conflict is over", || {
        let status = node.status("tenant-a", "a").ok_or("no status")?;
        seen(!status.to_string().contains("AddressConflict"), status)
    });
}

/// A conflict is no licence: what is asked for anew must not collide.
#[test]
fn a_link_that_stands_takes_no_route_that_collides() {
    let node = TestNode::new();
    wire(&node, "uplink", "10.9.0.7/24");
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    ask(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    pod.ready("data0");
    ask(
        &node,
        "[{name: data0, veth: {bridge: blue}, addresses: [10.1.0.1/24], routes: [{to: 10.9.0.0/24}]}]",
    );
    refused(&pod, "NetworkReserved");
    assert_eq!(
        pod.ip(&["route", "show", "10.9.0.0/24"])
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert!(addresses(&pod.find("data0").unwrap()).contains(&"10.1.0.1/24".to_owned()));
}

#[test]
fn a_policy_may_take_the_link_away_instead_and_it_comes_back() {
    let node = TestNode::new();
    let strict = policy("strict", "{}", &format!("[{ANY_VETH}]")).replace(
        "mayOverlap: [",
        "mayOverlap: [{prefix: 1.0.0.0/8, sources: [NodeRoutes]}], x: [",
    );
    let strict = strict.split(", x: [").next().unwrap().to_owned() + "}], onConflict: Detach}\n";
    node.apply("policy", &strict);
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    ask(&node, &on_bridge("data0", "blue", "10.1.0.1/24"));
    pod.ready("data0");
    wire(&node, "late", "10.1.0.200/16");
    pod.lacks("data0");
    node.run(&["ip", "link", "delete", "late"]);
    pod.ready("data0");
}

#[test]
fn a_pod_on_the_nodes_own_subnet_needs_a_rule_that_says_so_and_never_gets_the_nodes_address() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let _daemon = node.daemon();
    let pod = node.bare_pod("tenant-a", "a");
    ask(
        &node,
        "[{name: data0, veth: {hostBridge: br-lan}, ipam: {ranges: [{cidr: 192.168.7.0/30}]}}]",
    );
    let link = pod.ready("data0");
    assert!(
        addresses(&link).contains(&"192.168.7.2/30".to_owned()),
        "{link}"
    );
    ask(
        &node,
        "[{name: data0, veth: {hostBridge: br-lan}, addresses: [192.168.7.1/24]}]",
    );
    let told = refused(&pod, "NetworkReserved");
    assert!(
        told.contains("192.168.7.1 overlaps 192.168.7.1/32, an address of"),
        "{told}"
    );
}

#[test]
fn an_administrator_reserves_by_flag_and_by_policy() {
    let node = TestNode::builder().own_bridges().start();
    node.apply(
        "reserves",
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigPolicy\nmetadata: {name: reserves}\n\
         spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: tenant-a}}, reserved: [10.2.0.0/16]}\n",
    );
    let _daemon = node.daemon_with(&Options {
        more: &["--reserve", "10.3.0.0/16"],
        ..Options::default()
    });
    let pod = node.bare_pod("tenant-a", "a");
    ask(&node, &on_bridge("data0", "blue", "10.2.0.1/24"));
    is_refused(
        &pod,
        "10.2.0.1/24 overlaps 10.2.0.0/16, reserved by PodConfigPolicy/reserves (spec.reserved[0])",
    );
    ask(&node, &on_bridge("data0", "blue", "10.3.0.1/24"));
    is_refused(
        &pod,
        "10.3.0.1/24 overlaps 10.3.0.0/16, reserved by flag/--reserve",
    );
    let other = node.connected("tenant-b", "b", "10.2.0.1/24");
    other.ready("data0");
}

/// Somebody on the wire who is no pod of podconfig.
#[test]
fn an_address_that_somebody_answers_for_is_not_taken() {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.run(&["ip", "netns", "add", "stranger"]);
    node.shell(
        "ip link add port type veth peer eth0 netns stranger && ip link set port master br-lan up \
         && ip -n stranger link set eth0 up && ip -n stranger address add 192.168.7.9/24 dev eth0 \
         && ip -n stranger address add fd07::9/64 dev eth0 nodad",
    );
    node.allow_everything();
    let _daemon = node.daemon_with(&Options {
        more: &["--probe-addresses"],
        ..Options::default()
    });
    let pod = node.bare_pod("tenant-a", "a");
    for taken in ["192.168.7.9/24", "fd07::9/64"] {
        let links =
            format!("[{{name: data0, veth: {{hostBridge: br-lan}}, addresses: [\"{taken}\"]}}]");
        ask(&node, &links);
        let told = refused(&pod, "AddressInUse");
        assert!(told.contains("is in use by"), "{told}");
        let link = pod.find("data0").unwrap();
        assert!(!addresses(&link).contains(&taken.to_owned()), "{link}");
    }
    ask(
        &node,
        "[{name: data0, veth: {hostBridge: br-lan}, addresses: [192.168.7.10/24, 'fd07::10/64']}]",
    );
    let link = pod.ready("data0");
    assert!(
        addresses(&link).contains(&"192.168.7.10/24".to_owned()),
        "{link}"
    );
    assert!(pod.reaches("192.168.7.9"));
}

/// What the daemon goes by can be read by whoever may.
#[test]
fn the_table_of_networks_says_where_each_was_read() {
    let node = TestNode::new();
    wire(&node, "uplink", "10.9.0.7/24");
    let daemon = node.daemon_with(&Options {
        more: &["--reserve", "10.3.0.0/16"],
        ..Options::default()
    });
    let table = || {
        let program = binary("RECONFD_BIN", "reconfd");
        node.run(&[&program, "networks", "--run-dir", "/run/podconfig"])
    };
    let line = |prefix: &str| {
        let lines = table();
        let mut lines = lines.lines();
        let found = lines
            .find(|line| line.starts_with(prefix))
            .map(str::to_owned);
        found.ok_or_else(table)
    };
    for (prefix, words) in [
        ("10.3.0.0/16", ["Reserved", "Administrator", "--reserve"]),
        ("10.9.0.0/24", ["Connected", "NodeRoutes", "uplink"]),
        ("10.9.0.7/32", ["Address", "NodeAddresses", "uplink"]),
        ("169.254.0.0/16", ["Special", "Protocol", "link-local"]),
    ] {
        let line = line(prefix).unwrap_or_else(|table| panic!("no {prefix} in\n{table}"));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    node.run(&["ip", "link", "delete", "uplink"]);
    eventually("the network is gone from the table", || {
        let found = line("10.9.0.0/24");
        seen(found.is_err(), format!("{found:?}"))
    });
    drop(daemon);
}
