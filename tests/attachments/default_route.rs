//! `default-route` of an element: one through the link in place of the pod's own, and back.

use serde_json::json;

use super::{
    annotation::{NETWORKS, element, index_of, start},
    *,
};
use crate::support::pod::TestPod;

const RULE: &str = "{cni: {definitions: [{namespace: networks, names: [fast]}]}, addresses: [10.77.0.0/16, fd77::/64], ROUTES}";
const BOTH: &str = r#"{"cniVersion": "1.0.0", "type": "macvlan", "master": "up0", "mode": "bridge", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd77::/64"}]], "routes": [{"dst": "0.0.0.0/0"}]}}"#;
/// What the runtime has given to the pod.
const CLUSTER: &str = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link add eth0 type bridge && ip link set eth0 up && ip link set lo up
ip address add 10.1.1.2/24 dev eth0 && ip address add fd01::2/64 dev eth0 nodad
ip route add default via 10.1.1.1 dev eth0 mtu 1400 && ip route add default via 10.1.1.3 dev eth0 metric 50
ip -6 route add default metric 7 nexthop via fd01::1 dev eth0 nexthop via fd01::3 dev eth0";

fn set_up(node: &TestNode, routes: &str) -> Opened {
    let runner = prepare(node);
    let rule = RULE.replace("ROUTES", routes);
    node.apply("policy", &policy("telco", "{}", &format!("[{rule}]")));
    define(node, "fast", BOTH);
    Opened {
        daemon: start(node, "match"),
        runner,
    }
}

const ANY: &str = "routes: [0.0.0.0/0, \"::/0\"]";

fn cluster_pod(node: &TestNode) -> TestPod<'_> {
    let pod = node.bare_pod("tenant-a", "web");
    pod.shell(CLUSTER);
    pod
}

fn ask(pod: &mut TestPod<'_>, gateways: &[&str]) {
    let mut asked = element("fast", "ens58");
    asked["default-route"] = json!(gateways);
    pod.annotate(json!({NETWORKS: json!([asked]).to_string()}));
}

/// As `ip` prints them, without what changes by itself.
fn default_routes(pod: &TestPod<'_>) -> String {
    pod.shell("for family in -4 -6; do ip $family route show default | grep -v 'proto ra' | sed 's/ linkdown//; s/ *$//; s/ pref medium//'; done")
}

fn through_link(pod: &TestPod<'_>) {
    let found = default_routes(pod);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2, "{found}");
    assert!(
        lines[0].starts_with("default via 10.77.0.1 dev ens58"),
        "{found}"
    );
    assert!(
        lines[1].starts_with("default via fd77::1 dev ens58"),
        "{found}"
    );
}

#[test]
fn a_default_route_replaces_the_pods_and_gives_way_to_them_at_the_end() {
    let node = TestNode::new();
    let opened = set_up(&node, ANY);
    let mut pod = cluster_pod(&node);
    let before = default_routes(&pod);
    assert_eq!(
        before
            .lines()
            .filter(|line| line.starts_with("default"))
            .count(),
        3
    );
    ask(&mut pod, &["10.77.0.1", "fd77::1"]);
    pod.ready("ens58");
    through_link(&pod);
    // The daemon that undoes it is not the one that set it.
    opened.daemon.kill();
    let _daemon = start(&node, "match");
    pod.ready("ens58");
    through_link(&pod);
    pod.annotate(json!({}));
    pod.lacks("ens58");
    is_clean(&node);
    assert_eq!(default_routes(&pod), before);
}

/// Of the other family it keeps what it has.
#[test]
fn a_default_route_that_is_asked_for_later_is_set_and_one_family_leaves_the_other_alone() {
    let node = TestNode::new();
    let _opened = set_up(&node, ANY);
    let mut pod = cluster_pod(&node);
    let before = default_routes(&pod);
    let ipv6 = before.lines().skip(2).collect::<Vec<_>>().join("\n");
    pod.annotate(json!({NETWORKS: json!([element("fast", "ens58")]).to_string()}));
    pod.ready("ens58");
    let index = index_of(&pod, "ens58");
    ask(&mut pod, &["10.77.0.1"]);
    eventually("the link is made anew", || {
        let found = pod.find("ens58").unwrap_or_default();
        seen(found.is_object() && found["ifindex"] != index, found)
    });
    eventually("the link is whole", || {
        let found = default_routes(&pod);
        let first = found.lines().next().unwrap_or_default();
        let rest: Vec<&str> = found.lines().skip(1).collect();
        let leads_through = first.starts_with("default via 10.77.0.1 dev ens58");
        seen(leads_through && rest.join("\n") == ipv6, found)
    });
    pod.ready("ens58");
}

#[test]
fn without_the_rules_routes_nothing_changes() {
    let node = TestNode::new();
    let _opened = set_up(&node, "routes: [10.0.0.0/8]");
    let mut pod = cluster_pod(&node);
    let before = default_routes(&pod);
    ask(&mut pod, &["10.77.0.1"]);
    pod.says("ens58", "NotAllowed", "0.0.0.0/0");
    assert_eq!((pod.find("ens58"), default_routes(&pod)), (None, before));
}

#[test]
fn a_gateway_that_the_link_does_not_reach_is_refused_and_nothing_stays_changed() {
    let node = TestNode::new();
    let _opened = set_up(&node, ANY);
    let mut pod = cluster_pod(&node);
    let before = default_routes(&pod);
    ask(&mut pod, &["10.77.0.1", "fd99::1"]);
    pod.says("ens58", "KernelRefused", "default-route fd99::1");
    pod.lacks("ens58");
    is_clean(&node);
    assert_eq!(default_routes(&pod), before);
}

/// A pod that sets its own meanwhile is not overruled.
#[test]
fn a_default_route_that_the_pod_has_set_itself_stays() {
    let node = TestNode::new();
    let _opened = set_up(&node, ANY);
    let mut pod = cluster_pod(&node);
    ask(&mut pod, &["10.77.0.1"]);
    pod.ready("ens58");
    // The first CHECK is what later ones are compared with.
    eventually("the plugins have been checked", || {
        let stored = node.shell("cat /run/podconfig/state/default/attachments/results/*");
        seen(stored.contains("baseline"), stored)
    });
    pod.shell("ip route del default dev ens58 && ip route add default via 10.1.1.9 dev eth0");
    pod.says("ens58", "Drifted", "default-route 10.77.0.1");
    pod.annotate(json!({}));
    pod.lacks("ens58");
    is_clean(&node);
    let found = default_routes(&pod);
    assert!(
        found.starts_with("default via 10.1.1.9 dev eth0\n"),
        "{found}"
    );
    assert!(!found.contains("10.1.1.1 "), "{found}");
}

/// Of two elements the first has it.
#[test]
fn a_second_default_route_of_a_family_is_invalid() {
    let node = TestNode::new();
    let _opened = set_up(&node, ANY);
    let mut pod = cluster_pod(&node);
    let (mut first, mut second) = (element("fast", "ens58"), element("fast", "ens59"));
    first["default-route"] = json!(["10.77.0.1"]);
    second["default-route"] = json!(["10.77.0.2"]);
    pod.annotate(json!({NETWORKS: json!([first, second]).to_string()}));
    pod.says("ens59", "Invalid", "interface ens58");
    pod.ready("ens58");
    assert!(default_routes(&pod).starts_with("default via 10.77.0.1 dev ens58"));
}
