use super::*;

#[test]
fn a_restarted_daemon_keeps_what_is_attached_and_undoes_it_later() {
    let node = TestNode::new();
    let opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    let before = pod.link("net1");
    opened.daemon.kill();
    let daemon = node.daemon_with(&options());
    pod.ready("net1");
    assert_eq!(pod.link("net1")["ifindex"], before["ifindex"]);
    node.withdraw("web");
    pod.lacks("net1");
    is_clean(&node);
    drop(daemon);
}

/// The daemon is away while the link is withdrawn and the pod ends.
#[test]
fn what_ended_while_the_daemon_was_away_is_undone_at_its_start() {
    let node = TestNode::new();
    let opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    opened.daemon.kill();
    pod.delete();
    let daemon = node.daemon_with(&options());
    is_clean(&node);
    drop(daemon);
}

/// The plugin has made its link, and does not know it yet.
#[test]
fn a_daemon_that_is_killed_during_add_leaves_nothing_half_made() {
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake(
        "bad",
        "cat >/dev/null
case $CNI_COMMAND in
ADD) nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type bridge; sleep 1.5; echo '{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"net1\",\"sandbox\":\"x\"}]}';;
DEL) nsenter --net=$CNI_NETNS ip link delete $CNI_IFNAME; exit 0;;
esac",
    );
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    eventually("the plugin has made its link", || {
        seen(pod.find("net1").is_some(), "no link")
    });
    opened.daemon.kill();
    node.withdraw("web");
    let daemon = node.daemon_with(&options());
    pod.lacks("net1");
    is_clean(&node);
    drop(daemon);
}
