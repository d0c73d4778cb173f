//! Pods that could not use a link: told, and left alone.

use serde_json::json;

use super::wish;
use crate::support::{
    look::names,
    node::TestNode,
    wait::{eventually, seen},
};

/// Its entry is all true: the path leads to the node's own namespace, and the node's address is there.
#[test]
fn a_pod_on_the_nodes_network_is_told_and_the_node_is_left_alone() {
    let node = TestNode::builder().own_bridges().start();
    node.shell(
        "ip address add 10.88.0.1/16 dev lo
         touch /run/netns/host; mount --bind /proc/1/ns/net /run/netns/host",
    );
    let before = names(&node.ip(&["link", "show"]));
    let daemon = node.daemon_with_cache();
    let mut pod = node.unplugged_pod("tenant-a", "host", json!(null));
    pod.say(json!({
        "spec": {"hostNetwork": true},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.88.0.1"}]},
    }));
    let mut entry = pod.entry();
    entry["netns"] = "/run/netns/host".into();
    pod.cache_as(&entry);
    wish(&node, &pod);
    let told = pod.reason("data0", "Unsupported");
    assert_eq!(told["state"], "Failed", "{told}");
    assert!(
        told["message"].to_string().contains("hostNetwork"),
        "{told}"
    );
    assert_eq!(names(&node.ip(&["link", "show"])), before);
    assert_eq!(daemon.metric("reconfd_pods_unrecorded"), 0.0);
    let status = eventually("the PodConfig says so", || {
        let status = node.status("tenant-a", "host").ok_or("no status")?;
        seen(status["status"]["failed"] == 1, &status).map(|()| status)
    });
    assert_eq!(status["status"]["failures"][0]["reason"], "Unsupported");
}

#[test]
fn a_pod_in_a_virtual_machine_is_told_although_it_is_recorded() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let class = |name: &str| json!({"spec": {"runtimeClassName": name}});
    let mut pod = node.bare_pod_saying("tenant-a", "guest", class("kata-qemu"));
    let usual = node.bare_pod_saying("tenant-a", "usual", class("crun"));
    wish(&node, &pod);
    wish(&node, &usual);
    usual.ready("data0");
    let told = pod.reason("data0", "Unsupported");
    assert!(told["message"].to_string().contains("kata-qemu"), "{told}");
    assert_eq!(pod.find("data0"), None);
    // It is the class that counts, whenever it becomes known, and what was made goes again.
    pod.say(class("runc"));
    pod.ready("data0");
    pod.say(class("kata"));
    pod.lacks("data0");
    pod.reason("data0", "Unsupported");
}

#[test]
fn an_administrator_says_which_classes_these_are() {
    let node = TestNode::builder().own_bridges().start();
    let options = crate::support::daemon::Options {
        more: &["--unsupported-runtime-classes", "guests-*"],
        ..Default::default()
    };
    let _daemon = node.daemon_with(&options);
    let class = |name: &str| json!({"spec": {"runtimeClassName": name}});
    let guest = node.bare_pod_saying("tenant-a", "guest", class("guests-1"));
    let usual = node.bare_pod_saying("tenant-a", "usual", class("kata"));
    wish(&node, &guest);
    wish(&node, &usual);
    usual.ready("data0");
    guest.reason("data0", "Unsupported");
}
