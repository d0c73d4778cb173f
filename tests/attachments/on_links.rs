//! Links that plugins make on another link of the pod, with `linkInContainer`.

use super::*;

/// As macvlan of version 1.2 and later, which Debian does not have: it needs the link that `master` names. Without one it
/// makes a bridge.
const ON_LINK: &str = r#"master=$(sed -n 's/.*"master":"\([^"]*\)".*/\1/p')
echo $CNI_COMMAND $CNI_IFNAME >>/var/lib/cni/commands
case $CNI_COMMAND in
ADD) [ -z "$master" ] && kind=bridge || kind="macvlan mode bridge"
if ! nsenter --net=$CNI_NETNS ip link add ${master:+link $master} name $CNI_IFNAME type $kind; then
    echo '{"cniVersion":"1.0.0","code":7,"msg":"no master"}'; exit 1; fi
nsenter --net=$CNI_NETNS ip link set $CNI_IFNAME up
echo "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"x\"}]}";;
DEL) nsenter --net=$CNI_NETNS ip link delete $CNI_IFNAME; exit 0;;
esac"#;
/// The link `net2` is before the one that it needs.
const LINKS: &str = "[{name: net2, cni: {networkAttachmentDefinition: networks/fast}}, {name: net1, cni: {networkAttachmentDefinition: networks/slow}}]";

fn on(master: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "type": "bad", "master": "{master}", "linkInContainer": true}}"#
    )
}

fn opened(node: &TestNode, master: &str) -> Opened {
    let opened = open(node);
    opened.runner.fake("bad", ON_LINK);
    define(node, "fast", &on(master));
    opened
}

#[test]
fn a_link_waits_for_the_one_that_it_is_made_on_and_goes_before_it() {
    let node = TestNode::new();
    let _opened = opened(&node, "net1");
    define(&node, "slow", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINKS));
    pod.ready("net1");
    pod.ready("net2");
    let parent = |pod: &crate::support::pod::TestPod<'_>| {
        let link = pod.find("net2").unwrap_or_default();
        (link["link"].clone(), link["ifindex"].clone())
    };
    let before = parent(&pod);
    assert_eq!(before.0, "net1");
    // No ADD has failed.
    let commands = || node.shell("cat /var/lib/cni/commands");
    assert_eq!(commands(), "ADD net1\nADD net2\n");
    // Another net1: net2 would go with the old one, and its plugin would not know.
    define(
        &node,
        "slow",
        r#"{"cniVersion": "1.0.0", "type": "bad", "mtu": 1400}"#,
    );
    eventually("net2 is made anew on the new net1", || {
        let now = parent(&pod);
        seen(now.0 == "net1" && now.1 != before.1, now.1)
    });
    let all = "ADD net1\nADD net2\nDEL net2\nDEL net1\nADD net1\nADD net2\n";
    assert_eq!(commands(), all);
    node.withdraw("web");
    pod.lacks("net1");
    pod.lacks("net2");
    is_clean(&node);
    assert_eq!(commands(), format!("{all}DEL net2\nDEL net1\n"));
}

/// The plugin is tried again once the link is there.
#[test]
fn a_link_may_be_made_on_one_of_podconfigs() {
    let node = TestNode::new();
    let _opened = opened(&node, "data0");
    node.apply(
        "native",
        &policy(
            "native",
            "{}",
            "[{veth: {bridges: Own}, addresses: [10.99.0.0/16]}]",
        ),
    );
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("cni", &config("tenant-a", "cni", "web", LINK));
    pod.reason("net1", "PluginFailed");
    node.connect("tenant-a", "web", "data0", "10.99.0.10/24");
    pod.ready("data0");
    pod.ready("net1");
    assert_eq!(pod.link("net1")["link"], "data0");
}
