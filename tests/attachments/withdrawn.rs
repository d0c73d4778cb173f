//! Links that were attached, and that the rules of today do not allow.

use std::time::Duration;

use super::*;
use crate::support::{
    pod::TestPod,
    wait::{stays, within},
};

/// Longer than the backoff of a refused ADD waits at first.
const SOME_TIME: Duration = Duration::from_secs(5);

/// A plugin that gives one address and one route, and lists its commands.
const LISTS_COMMANDS: &str = r#"cat >/dev/null
echo $CNI_COMMAND >>/var/lib/cni/commands
case $CNI_COMMAND in
ADD) nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type bridge
nsenter --net=$CNI_NETNS ip address add 10.77.3.5/24 dev $CNI_IFNAME
nsenter --net=$CNI_NETNS ip link set $CNI_IFNAME up
echo '{"cniVersion":"1.0.0","interfaces":[{"name":"net1","sandbox":"/run/netns/x"}],"ips":[{"address":"10.77.3.5/24","interface":0}],"routes":[{"dst":"10.88.0.0/16"}]}';;
DEL) nsenter --net=$CNI_NETNS ip link delete $CNI_IFNAME; exit 0;;
esac"#;

/// A rule for the definition `fast`, which it trusts.
fn allow(node: &TestNode, addresses: &str, routes: &str, more: &str) {
    let rule = format!(
        "{{cni: {{definitions: [{{namespace: networks, names: [fast]}}]}}, addresses: [{addresses}], routes: [{routes}]}}"
    );
    let object = policy("telco", "{}", &format!("[{rule}]"));
    let object = object.trim_end().strip_suffix('}').unwrap();
    node.apply("policy", &format!("{object}{more}}}\n"));
}

/// The node allows all that the plugin gives; its link is ready.
fn with_link(check: impl FnOnce(&TestNode, Opened, &TestPod<'_>)) {
    let node = TestNode::new();
    let runner = prepare(&node);
    runner.fake("bad", LISTS_COMMANDS);
    allow(&node, "10.77.0.0/16", "10.88.0.0/16", "");
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let daemon = node.daemon_with(&options());
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    check(&node, Opened { daemon, runner }, &pod);
}

/// ADD and DEL, in their order.
fn commands(node: &TestNode) -> String {
    let lines = node.shell("grep -E 'ADD|DEL' /var/lib/cni/commands || true");
    lines.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The link is gone with all of it, the report says why, and no plugin runs again.
fn is_withdrawn(node: &TestNode, pod: &TestPod<'_>, reason: &str, words: &str) {
    pod.lacks("net1");
    is_clean(node);
    pod.says("net1", reason, words);
    stays("nothing is tried again", SOME_TIME, || {
        let ran = commands(node);
        seen(ran == "ADD DEL", ran)?;
        let report = pod.reported("net1").unwrap_or_default();
        seen(report["reason"] == reason, report)
    });
}

#[test]
fn addresses_that_a_policy_no_longer_allows_take_the_link_away_until_it_does() {
    with_link(|node, _opened, pod| {
        allow(node, "10.77.0.0/24", "10.88.0.0/16", "");
        is_withdrawn(node, pod, "NotAllowed", "10.77.3.5");
        eventually("its claim is released", || {
            let claims = node.shell("ls /run/podconfig/objects-claims | grep -c yaml || true");
            seen(claims.trim() == "0", claims)
        });
        allow(node, "10.77.0.0/16", "10.88.0.0/16", "");
        pod.ready("net1");
        assert_eq!(commands(node), "ADD DEL ADD");
    });
}

#[test]
fn routes_that_a_policy_no_longer_allows_take_the_link_away_until_it_does() {
    with_link(|node, _opened, pod| {
        allow(node, "10.77.0.0/16", "", "");
        is_withdrawn(node, pod, "NotAllowed", "route to 10.88.0.0/16");
        allow(node, "10.77.0.0/16", "10.0.0.0/8", "");
        pod.ready("net1");
    });
}

/// A rule that still allows all of the result changes nothing.
#[test]
fn a_narrower_policy_keeps_a_link_that_it_allows() {
    with_link(|node, opened, pod| {
        let before = pod.ready("net1")["ifindex"].clone();
        allow(node, "10.77.3.0/24", "10.88.0.0/16", "");
        opened.daemon.reconciles(1);
        assert_eq!(pod.ready("net1")["ifindex"], before);
        assert_eq!(commands(node), "ADD");
    });
}

/// What IPAM gave out is free again, and given out again.
#[test]
fn the_reservation_of_a_withdrawn_link_is_freed() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.3.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    assert!(reservations(&node).contains("10.77.3."));
    allow(&node, "10.77.0.0/24", "", "");
    pod.says("net1", "NotAllowed", "10.77.3.");
    pod.lacks("net1");
    is_clean(&node);
    allow(&node, "10.77.0.0/16", "", "");
    pod.ready("net1");
}

/// The configuration is not known any more; the rule for its addresses is.
#[test]
fn a_link_without_its_definition_is_judged_as_well() {
    with_link(|node, _opened, pod| {
        node.withdraw("definition-fast");
        pod.reason("net1", "DefinitionNotFound");
        assert_eq!(commands(node), "ADD");
        allow(node, "10.77.0.0/24", "10.88.0.0/16", "");
        pod.lacks("net1");
        is_clean(node);
        pod.reason("net1", "DefinitionNotFound");
        assert_eq!(commands(node), "ADD DEL");
    });
}

/// As with every other link: it stays, and the conflict is reported.
#[test]
fn a_network_that_appears_later_leaves_the_link_and_is_reported() {
    with_link(|node, _opened, pod| {
        let before = pod.ready("net1")["ifindex"].clone();
        appear(node);
        eventually("the PodConfig says so", || {
            let status = node.status("tenant-a", "web").ok_or("no status")?;
            let is_told = status.to_string().contains("10.77.3.5/24 overlaps");
            seen(is_told, status)
        });
        assert_eq!(pod.ready("net1")["ifindex"], before);
        node.run(&["ip", "link", "delete", "late"]);
        eventually("the conflict is over", || {
            let status = node.status("tenant-a", "web").ok_or("no status")?;
            seen(!status.to_string().contains("AddressConflict"), status)
        });
        assert_eq!(pod.ready("net1")["ifindex"], before);
        assert_eq!(commands(node), "ADD");
    });
}

#[test]
fn with_on_conflict_detach_it_goes_and_comes_back_with_the_network_gone() {
    with_link(|node, opened, pod| {
        allow(node, "10.77.0.0/16", "10.88.0.0/16", ", onConflict: Detach");
        opened.daemon.reconciles(1);
        assert_eq!(commands(node), "ADD");
        appear(node);
        is_withdrawn(node, pod, "AddressConflict", "10.77.3.5/24 overlaps");
        node.run(&["ip", "link", "delete", "late"]);
        pod.ready("net1");
        assert_eq!(commands(node), "ADD DEL ADD");
    });
}

/// A network of the node that a result overlaps.
fn appear(node: &TestNode) {
    node.shell("ip link add late type bridge && ip address add 10.77.0.200/16 dev late && ip link set late up");
}

#[test]
fn a_network_that_is_gone_lets_a_refused_link_in_at_once() {
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake("bad", LISTS_COMMANDS);
    allow(&node, "10.77.0.0/16", "10.88.0.0/16", "");
    appear(&node);
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    // The fourth try is eight seconds away, the fifth sixteen.
    within(Duration::from_secs(60), "four tries are refused", || {
        let ran = commands(&node);
        seen(ran == "ADD DEL ADD DEL ADD DEL ADD DEL", ran)
    });
    pod.reason("net1", "NetworkReserved");
    node.run(&["ip", "link", "delete", "late"]);
    within(SOME_TIME, "the link is ready", || {
        let report = pod.reported("net1").unwrap_or_default();
        seen(report["reason"] == "LinkReady", report)
    });
}

#[test]
fn a_restart_keeps_what_is_allowed_and_judges_the_rest() {
    with_link(|node, opened, pod| {
        let before = pod.ready("net1")["ifindex"].clone();
        opened.daemon.kill();
        let daemon = node.daemon_with(&options());
        daemon.reconciles(1);
        assert_eq!(pod.ready("net1")["ifindex"], before);
        assert_eq!(commands(node), "ADD");
        daemon.kill();
        allow(node, "10.77.0.0/24", "10.88.0.0/16", "");
        let daemon = node.daemon_with(&options());
        is_withdrawn(node, pod, "NotAllowed", "10.77.3.5");
        // It knows of no result before; the next one is refused as well.
        daemon.kill();
        let _daemon = node.daemon_with(&options());
        eventually("it was tried once more", || {
            let ran = commands(node);
            seen(ran.starts_with("ADD DEL ADD DEL"), ran)
        });
        pod.says("net1", "NotAllowed", "10.77.3.5");
        pod.lacks("net1");
        allow(node, "10.77.0.0/16", "10.88.0.0/16", "");
        pod.ready("net1");
    });
}
