//! An ADD without a result: what its plugins have made is deleted though some find it by the result alone.

use super::*;
use crate::support::pod::TestPod;

/// firewall accepts the pod's addresses, by its result; the bridge plugin masquerades them. `bad` runs after both.
const CHAIN: &str = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "bridge", "bridge": "cbr", "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}}, {"type": "firewall"}, {"type": "bad"}]}"#;

fn requested<'a>(node: &'a TestNode, runner: &TestRunner, script: &str) -> TestPod<'a> {
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    runner.fake("bad", &format!("cat >/dev/null\n{script}"));
    define(node, "fast", CHAIN);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod
}

fn rules(node: &TestNode) -> String {
    node.shell("iptables-save | grep '^-A.*10.77.0.' || true")
}

fn has_no_rules(node: &TestNode) {
    is_clean(node);
    eventually("no rule is left", || {
        seen(rules(node).is_empty(), rules(node))
    });
}

fn runner(node: &TestNode) -> TestRunner {
    node.runner(&["bridge", "firewall", "host-local", "bad"], &[])
}

/// The last plugin fails, and the tenant has deleted the link before.
#[test]
fn a_failed_add_leaves_no_rule() {
    let node = TestNode::new();
    let runner = runner(&node);
    let _daemon = node.daemon_with(&options());
    let fails =
        "[ $CNI_COMMAND != ADD ] || { nsenter --net=$CNI_NETNS ip link delete net1; exit 1; }";
    let pod = requested(&node, &runner, fails);
    pod.reason("net1", "PluginFailed");
    node.withdraw("web");
    has_no_rules(&node);
    drop(pod);
}

/// The daemon ends while the last plugin runs, so no result is known to anything.
#[test]
fn an_add_that_is_cut_off_leaves_no_rule() {
    let node = TestNode::new();
    let runner = runner(&node);
    let daemon = node.daemon_with(&options());
    let pod = requested(&node, &runner, "[ $CNI_COMMAND != ADD ] || exec sleep 60");
    eventually("the rules are there", || {
        let rules = rules(&node);
        seen(rules.contains("-s 10.77.0.2/32 -j ACCEPT"), rules)
    });
    daemon.kill();
    node.withdraw("web");
    let _daemon = node.daemon_with(&options());
    has_no_rules(&node);
    pod.lacks("net1");
}
