//! A container runtime that is asked, where an administrator says so: believed no more than its cache.

use std::time::Duration;

use serde_json::json;

use super::{recorded, recorded_by, unproved, wish};
use crate::support::{
    cache::CACHE,
    daemon::Options,
    look::index,
    node::TestNode,
    runtime::Mood,
    wait::{eventually, seen, stays, within},
};

#[test]
fn a_pod_that_nobody_else_tells_of_is_asked_for() {
    let node = TestNode::builder().own_bridges().start();
    let runtime = node.runtime();
    let pod = node.running_pod("tenant-a", "old");
    runtime.runs(&pod);
    let daemon = node.daemon_with_runtime();
    wish(&node, &pod);
    let before = index(&pod.ready("data0"));
    assert_eq!(recorded_by(&pod), "CRI");
    assert_eq!(recorded(&daemon, "cri"), 1.0);
    daemon.kill();
    let _daemon = node.daemon_with_runtime();
    assert_eq!(index(&pod.ready("data0")), before);
}

#[test]
fn an_older_runtime_tells_the_path_in_the_specification() {
    let node = TestNode::builder().own_bridges().start();
    let runtime = node.runtime();
    let pod = node.running_pod("tenant-a", "old");
    let namespaces = json!([{"type": "pid"}, {"type": "network", "path": pod.attachment.netns}]);
    let info = json!({"pid": 7, "runtimeSpec": {"linux": {"namespaces": namespaces}}});
    runtime.tells(&pod, info, true);
    let _daemon = node.daemon_with_runtime();
    wish(&node, &pod);
    pod.ready("data0");
}

/// The socket is the node's root: it is left alone as long as nothing is missing.
#[test]
fn a_runtime_is_not_asked_for_pods_that_are_known_or_that_nobody_selects() {
    let node = TestNode::builder().own_bridges().start();
    let runtime = node.runtime();
    let recorded = node.bare_pod("tenant-a", "recorded");
    let cached = node.cached_pod("tenant-a", "cached");
    let unselected = node.running_pod("tenant-a", "unselected");
    let mut on_node = node.unplugged_pod("tenant-a", "on-node", json!(null));
    on_node.say(json!({"spec": {"hostNetwork": true}, "status": on_node.running()["status"]}));
    runtime.runs(&unselected);
    wish(&node, &recorded);
    wish(&node, &cached);
    wish(&node, &on_node);
    let options = Options {
        more: &["--cri-socket", "/run/runtime.sock", "--cni-cache", CACHE],
        ..Options::default()
    };
    let _daemon = node.daemon_with(&options);
    recorded.ready("data0");
    cached.ready("data0");
    on_node.reason("data0", "Unsupported");
    assert_eq!(runtime.questions(), 0);
    wish(&node, &unselected);
    unselected.ready("data0");
    // A list, and a look at the one that is meant.
    assert_eq!(runtime.questions(), 2);
}

#[test]
fn what_the_runtime_says_is_proved_like_anything_else() {
    let node = TestNode::builder().own_bridges().start();
    let runtime = node.runtime();
    let victim = node.bare_pod("tenant-b", "victim");
    let _daemon = node.daemon_with_runtime();
    let path = |path: &str| json!({"sandboxMetadata": {"Metadata": {"NetNSPath": path}}});
    let evil = node.running_pod("tenant-a", "evil");
    runtime.tells(&evil, path(&victim.attachment.netns), true);
    wish(&node, &evil);
    unproved(&evil, "does not have the pod's");
    let outside = node.running_pod("tenant-a", "outside");
    runtime.tells(&outside, path("/proc/1/ns/net"), true);
    wish(&node, &outside);
    unproved(&outside, "outside of the folders");
    let ended = node.running_pod("tenant-a", "ended");
    runtime.tells(&ended, path(&ended.attachment.netns), false);
    wish(&node, &ended);
    unproved(&ended, "no record");
    assert_eq!(victim.find("data0"), None);
}

#[test]
fn a_runtime_that_hangs_or_raves_keeps_nobody_waiting() {
    let node = TestNode::builder().own_bridges().start();
    for mood in [Mood::Hangs, Mood::Raves] {
        let runtime = node.runtime();
        runtime.is_now(mood);
        let name = format!("{mood:?}").to_lowercase();
        let missed = node.running_pod("tenant-a", &format!("missed-{name}"));
        runtime.runs(&missed);
        wish(&node, &missed);
        let daemon = node.daemon_with_runtime();
        eventually("the runtime is asked", || {
            let questions = runtime.questions();
            seen(questions > 0, questions)
        });
        let other = node.bare_pod("tenant-a", &format!("other-{name}"));
        wish(&node, &other);
        other.ready("data0");
        unproved(&missed, "no record");
        let (status, took) = daemon.terminate();
        assert!(
            status.success() && took < Duration::from_secs(2),
            "{took:?}"
        );
    }
}

#[test]
fn a_runtime_that_is_not_there_yet_is_asked_again() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.running_pod("tenant-a", "old");
    wish(&node, &pod);
    let daemon = node.daemon_with_runtime();
    unproved(&pod, "no record");
    eventually("the log says why", || {
        let log = daemon.log();
        seen(log.contains("query the container runtime"), log)
    });
    let runtime = node.runtime();
    runtime.runs(&pod);
    within(Duration::from_secs(10), "the pod is found", || {
        let told = pod.reported("data0").ok_or("no report")?;
        seen(told["reason"] == "LinkReady", &told)
    });
    let questions = runtime.questions();
    stays("nothing more is asked", Duration::from_millis(1500), || {
        seen(runtime.questions() == questions, runtime.questions())
    });
}
