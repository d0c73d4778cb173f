//! Plugins that answer wrongly, fail, or leave things behind: `bad` is a script.

use std::time::Duration;

use super::*;
use crate::support::{pod::TestPod, wait::within};

/// What follows is executed for each command; the pod's namespace is entered with `pod`.
const HEAD: &str = "cat >/dev/null
pod() { nsenter --net=$CNI_NETNS \"$@\"; }
result() { echo '{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"net1\",\"sandbox\":\"/run/netns/x\"}]}'; }
attach() { pod ip link add $CNI_IFNAME type bridge; pod ip link set $CNI_IFNAME up; }
detach() { pod ip link delete $CNI_IFNAME; }
";

fn with_plugin(script: &str, link: &str, check: impl FnOnce(&TestNode, &TestPod<'_>)) {
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake("bad", &format!("{HEAD}{script}"));
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", link));
    check(&node, &pod);
    drop(opened.daemon);
}

/// How often a command was executed.
fn count(node: &TestNode, command: &str) -> usize {
    let lines = node.shell(&format!(
        "grep -c {command} /var/lib/cni/commands 2>/dev/null || true"
    ));
    lines.trim().parse().unwrap_or_default()
}

#[test]
fn a_plugin_that_is_killed_half_way_leaves_no_link() {
    let script = "case $CNI_COMMAND in
        ADD) attach; kill -9 $$;;
        DEL) detach; exit 0;;
    esac";
    with_plugin(script, LINK, |node, pod| {
        pod.says("net1", "PluginFailed", "signal 9");
        pod.lacks("net1");
        is_clean(node);
    });
}

#[test]
fn a_plugin_that_changes_another_interface_is_undone() {
    let script = "case $CNI_COMMAND in
        ADD) attach; pod ip address flush dev mine; result;;
        DEL) detach;;
    esac";
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake("bad", &format!("{HEAD}{script}"));
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    pod.shell("ip link add mine type bridge && ip address add 10.50.0.1/24 dev mine");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.says("net1", "ResultInvalid", "another interface");
    pod.lacks("net1");
    is_clean(&node);
    drop(opened.daemon);
}

#[test]
fn a_result_with_too_many_addresses_is_undone() {
    let script = r#"case $CNI_COMMAND in
        ADD) attach; printf '{"cniVersion":"1.0.0","ips":['
            seq 1 4000 | sed 's/.*/{"address":"10.77.0.1\/16"},/'
            echo '{"address":"10.77.0.1/16"}]}';;
        DEL) detach;;
    esac"#;
    with_plugin(script, LINK, |node, pod| {
        pod.reason("net1", "ResultInvalid");
        pod.lacks("net1");
        is_clean(node);
    });
}

#[test]
fn a_result_of_another_version_is_undone() {
    let script = r#"case $CNI_COMMAND in
        ADD) attach; echo '{"cniVersion":"2.0.0"}';;
        DEL) detach;;
    esac"#;
    with_plugin(script, LINK, |node, pod| {
        pod.says("net1", "ResultInvalid", "2.0.0");
        pod.lacks("net1");
        is_clean(node);
    });
}

/// Code 11 means: try again later.
#[test]
fn a_plugin_that_asks_to_be_tried_again_is() {
    let script = r#"echo $CNI_COMMAND >>/var/lib/cni/commands
    case $CNI_COMMAND in
        ADD) if [ $(grep -c ADD /var/lib/cni/commands) -lt 3 ]
            then echo '{"code":11,"msg":"the switch is busy"}'; exit 1
            fi; attach; result;;
        DEL) detach; exit 0;;
    esac"#;
    with_plugin(script, LINK, |node, pod| {
        pod.ready("net1");
        assert_eq!(count(node, "ADD"), 3);
        node.withdraw("web");
        pod.lacks("net1");
        is_clean(node);
    });
}

#[test]
fn a_del_that_fails_is_repeated_until_it_succeeds() {
    let script = r#"echo $CNI_COMMAND >>/var/lib/cni/commands
    case $CNI_COMMAND in
        ADD) attach; result;;
        DEL) if [ $(grep -c DEL /var/lib/cni/commands) -lt 3 ]
            then echo '{"code":100,"msg":"the switch is away"}'; exit 1
            fi; detach;;
    esac"#;
    with_plugin(script, LINK, |node, pod| {
        pod.ready("net1");
        node.withdraw("web");
        pod.lacks("net1");
        is_clean(node);
        assert_eq!(count(node, "DEL"), 3);
    });
}

/// What the kernel made is deleted when the plugin leaves it.
#[test]
fn a_del_that_succeeds_and_leaves_all_leaves_no_link() {
    let script = "case $CNI_COMMAND in
        ADD) attach; result;;
        DEL) exit 0;;
    esac";
    with_plugin(script, LINK, |node, pod| {
        pod.ready("net1");
        node.withdraw("web");
        pod.lacks("net1");
        is_clean(node);
    });
}

/// It is listed, it can be forgotten, and neither its pod nor another one waits for it.
#[test]
fn a_del_that_fails_for_ever_holds_up_nothing() {
    let script = r#"case $CNI_COMMAND in
        ADD) attach; result;;
        DEL) echo '{"code":100,"msg":"the switch is away"}'; exit 1;;
    esac"#;
    with_plugin(script, LINK, |node, pod| {
        pod.ready("net1");
        node.withdraw("web");
        eventually("DEL has failed", || {
            let events = node.shell("cat /run/podconfig/state/default/attachments/results/*");
            seen(events.contains("the switch is away"), events)
        });
        let other = node.bare_pod("tenant-a", "other");
        define(node, "slow", &macvlan("10.77.1.0/24"));
        let link = LINK.replace("fast", "slow");
        node.apply("other", &config("tenant-a", "other", "other", &link));
        other.ready("net1");
    });
}

/// CHECK runs after a change in the pod, at most once in ten seconds.
const CHECKED: Duration = Duration::from_secs(15);

const DRIFTING: &str = r#"case $CNI_COMMAND in
    ADD) rm -f /var/lib/cni/drifted; attach; result;;
    CHECK) [ ! -e /var/lib/cni/drifted ] || { echo '{"code":100,"msg":"it has drifted"}'; exit 1; };;
    DEL) detach;;
esac"#;

/// Waits for the first CHECK, then the plugin's world drifts with the link.
fn drift(node: &TestNode, pod: &TestPod<'_>) -> Value {
    pod.ready("net1");
    eventually("the baseline of CHECK is stored", || {
        let stored = node.shell("cat /run/podconfig/state/default/attachments/results/*");
        seen(stored.contains("baseline"), stored)
    });
    node.shell("touch /var/lib/cni/drifted");
    let before = pod.find("net1").expect("the link is there");
    pod.shell("ip link set net1 mtu 1400");
    before["ifindex"].clone()
}

#[test]
fn what_has_drifted_is_reported_and_left_as_it_is() {
    with_plugin(DRIFTING, LINK, |node, pod| {
        let index = drift(node, pod);
        within(CHECKED, "the drift is reported", || {
            let report = pod.reported("net1").unwrap_or_default();
            let message = report["message"].as_str().unwrap_or_default();
            let is_said = message.contains("it has drifted");
            seen(report["reason"] == "Drifted" && is_said, report)
        });
        let link = pod.find("net1").expect("the link is there");
        assert_eq!(
            (&link["ifindex"], &link["mtu"]),
            (&index, &Value::from(1400))
        );
    });
}

#[test]
fn what_has_drifted_is_made_anew_where_that_is_asked_for() {
    let link = "[{name: net1, cni: {networkAttachmentDefinition: networks/fast, check: Repair}}]";
    with_plugin(DRIFTING, link, |node, pod| {
        let index = drift(node, pod);
        within(CHECKED, "another link has its place", || {
            let link = pod.find("net1").unwrap_or_default();
            seen(
                link["ifindex"].is_u64() && link["ifindex"] != index,
                link.clone(),
            )
        });
        pod.ready("net1");
    });
}

/// ADD takes more than its chain may: it is reported in these words, and undone.
fn is_ended(takes: &str, words: &str) {
    let script = format!(
        "echo $CNI_COMMAND >>/var/lib/cni/commands
        case $CNI_COMMAND in
            ADD) attach; {takes};;
            DEL) detach; exit 0;;
        esac"
    );
    with_plugin(&script, LINK, |node, pod| {
        pod.says("net1", "PluginFailed", words);
        pod.lacks("net1");
        is_clean(node);
        assert!(count(node, "DEL") > 0, "DEL did not follow");
    });
}

#[test]
fn a_plugin_that_allocates_without_end_is_undone() {
    let words = "took more than 128 MiB of memory, and were ended";
    is_ended("tail /dev/zero", words);
}

#[test]
fn a_fork_bomb_is_undone() {
    let words = "had more than 128 processes and threads, and was ended";
    is_ended("bomb() { bomb & bomb & exec sleep 20; }; bomb", words);
}
