//! Plugins of version 1.1.0 that cannot serve ADD yet: STATUS says so.

use super::*;

/// STATUS fails with a code as long as the file that names one is there.
const STATUS: &str = r#"cat >/dev/null
echo $CNI_COMMAND >>/var/lib/cni/commands
if [ $CNI_COMMAND = STATUS ] && code=$(cat /var/lib/cni/status 2>/dev/null); then
    echo "{\"cniVersion\":\"1.1.0\",\"code\":$code,\"msg\":\"the fabric is down\"}"; exit 1
fi"#;

fn waits_for_a_plugin(code: u16, words: &str) {
    let node = TestNode::new();
    let opened = open(&node);
    opened
        .runner
        .fake("bad", &format!("{STATUS}\n{MAKES_A_LINK}"));
    define(&node, "fast", r#"{"cniVersion": "1.1.0", "type": "bad"}"#);
    node.shell(&format!(
        "mkdir -p /var/lib/cni && echo {code} >/var/lib/cni/status"
    ));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.says("net1", "PluginNotAvailable", "the fabric is down");
    pod.says("net1", "PluginNotAvailable", words);
    // Neither ADD nor the DEL of a failed ADD.
    let executed = || node.shell("sort -u /var/lib/cni/commands");
    assert_eq!(executed().trim(), "STATUS");
    assert_eq!(pod.find("net1"), None);
    assert_eq!(stored(&node), "");
    node.shell("rm /var/lib/cni/status");
    pod.ready("net1");
    // What is attached does not depend on STATUS any more.
    node.shell(&format!("echo {code} >/var/lib/cni/status"));
    node.withdraw("web");
    pod.lacks("net1");
    is_clean(&node);
    drop(opened.daemon);
}

#[test]
fn a_plugin_that_is_not_available_is_waited_for() {
    waits_for_a_plugin(50, "code 50");
}

/// Code 51 is code 50 and more: no ADD can be served either.
#[test]
fn a_plugin_with_limited_connectivity_is_waited_for_and_says_so() {
    waits_for_a_plugin(51, "attached links of the network may have no connection");
}
