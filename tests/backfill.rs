//! Pods that no plugin recorded: found by what the runtime left, and only if it can be proved.

/// A container runtime that is asked.
mod cri;
/// Entries that nobody should trust.
mod hostile;
/// Pods that could not use a link.
mod unsupported;

use std::{fs, time::Duration};

use serde_json::json;

use crate::support::{
    cache::CACHE,
    daemon::Daemon,
    look::index,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
};

/// A link on a bridge of the namespace for the pod of this name.
fn wish(node: &TestNode, pod: &TestPod<'_>) {
    let of = &pod.attachment;
    let address = pod.primary_address().replacen("10.88", "10.1", 1);
    node.connect(&of.namespace, &of.name, "data0", &format!("{address}/16"));
}

/// Who told where the pod is, by its report.
fn recorded_by(pod: &TestPod<'_>) -> String {
    let report = pod.report().unwrap_or_default();
    let by = report["status"]["recordedBy"].as_str();
    by.unwrap_or("nobody").into()
}

fn recorded(daemon: &Daemon, source: &str) -> f64 {
    let (_, text) = daemon.get("/metrics").unwrap();
    let series = format!("reconfd_pods_recorded{{source=\"{source}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.expect("the series is there").parse().unwrap()
}

/// Waits until the pod is told to have no record, for this reason.
fn unproved(pod: &TestPod<'_>, why: &str) {
    eventually(&format!("the report says {why:?}"), || {
        let told = pod.reported("data0").ok_or("no report")?;
        let message = told["message"].as_str().unwrap_or_default();
        seen(told["reason"] == "NoRecord" && message.contains(why), &told)
    });
    assert_eq!(pod.find("data0"), None);
}

#[test]
fn a_pod_from_before_the_installation_is_found_and_linked() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.cached_pod("tenant-a", "old");
    wish(&node, &pod);
    let daemon = node.daemon_with_cache();
    pod.ready("data0");
    assert_eq!(recorded_by(&pod), "Cache");
    assert_eq!(recorded(&daemon, "cache"), 1.0);
    assert_eq!(recorded(&daemon, "plugin"), 0.0);
    // The record folder has one writer, the plugin.
    assert!(node.records().is_empty());
}

#[test]
fn without_the_flag_nobody_but_the_plugin_is_listened_to() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.cached_pod("tenant-a", "old");
    wish(&node, &pod);
    let _daemon = node.daemon();
    unproved(&pod, "started before the plugin was installed");
}

#[test]
fn an_older_runtime_tells_the_path_in_its_result() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.running_pod("tenant-a", "old");
    let mut entry = pod.entry();
    entry.as_object_mut().unwrap().remove("netns");
    pod.cache_as(&entry);
    wish(&node, &pod);
    let _daemon = node.daemon_with_cache();
    pod.ready("data0");
}

/// No chain is possible: the cache is all there is, for the whole life of the pod.
#[test]
fn a_pod_that_starts_later_without_the_plugin_is_linked_and_ends_with_its_entry() {
    let node = TestNode::builder().own_bridges().start();
    let daemon = node.daemon_with_cache();
    let pod = node.running_pod("tenant-a", "new");
    wish(&node, &pod);
    unproved(&pod, "no record");
    let entry = pod.cache();
    let before = index(&pod.ready("data0"));
    fs::remove_file(entry).unwrap();
    // A missing record is not a dead pod.
    pod.reason("data0", "NoRecord");
    assert_eq!(index(&pod.link("data0")), before);
    assert_eq!(recorded(&daemon, "cache"), 0.0);
    // The runtime's next word about it is believed as the first was.
    pod.cache();
    assert_eq!(index(&pod.ready("data0")), before);
}

#[test]
fn a_sandbox_that_is_made_again_is_followed() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with_cache();
    let mut pod = node.cached_pod("tenant-a", "twice");
    wish(&node, &pod);
    pod.ready("data0");
    let first = pod.attachment.container.clone();
    // The old entry stays, as a runtime that was killed leaves it.
    pod.restart_sandbox();
    pod.say(pod.running());
    pod.cache();
    wish(&node, &pod);
    eventually("the report is about the new sandbox", || {
        let report = pod.report().ok_or("no report")?;
        let is_new = report["status"]["sandbox"] == pod.attachment.container.as_str();
        seen(is_new, &report)
    });
    pod.ready("data0");
    assert_ne!(first, pod.attachment.container);
}

/// Nothing else happens on the node that would bring another look.
#[test]
fn a_sandbox_that_was_told_of_before_the_earlier_one_ended_is_found() {
    let node = TestNode::builder().own_bridges().start();
    let daemon = node.daemon_with_cache();
    let mut pod = node.cached_pod("tenant-a", "twice");
    wish(&node, &pod);
    pod.ready("data0");
    let (first, address) = (pod.netns_name().to_owned(), pod.primary_address());
    pod.lose_end_of_sandbox();
    let both = [address, pod.primary_address()].map(|ip| json!({"ip": ip}));
    pod.say(json!({"status": {"phase": "Running", "podIPs": both}}));
    pod.cache();
    daemon.reconciles(1);
    node.run(&["ip", "netns", "delete", &first]);
    eventually("the report is about the new sandbox", || {
        let report = pod.report().ok_or("no report")?;
        let is_new = report["status"]["sandbox"] == pod.attachment.container.as_str();
        seen(is_new, &report)
    });
    pod.ready("data0");
}

#[test]
fn an_address_that_comes_after_the_entry_is_waited_for() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with_cache();
    let mut pod = node.unplugged_pod("tenant-a", "new", json!({"status": {"phase": "Running"}}));
    pod.cache();
    wish(&node, &pod);
    unproved(&pod, "states no address");
    pod.say(pod.running());
    pod.ready("data0");
}

#[test]
fn a_cache_that_comes_later_is_heard_of() {
    let node = TestNode::builder().own_bridges().start();
    assert!(!node.path(CACHE).exists());
    let _daemon = node.daemon_with_cache();
    let pod = node.cached_pod("tenant-a", "new");
    wish(&node, &pod);
    pod.ready("data0");
}

#[test]
fn a_daemon_that_is_started_again_finds_the_same_and_changes_nothing() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.cached_pod("tenant-a", "old");
    wish(&node, &pod);
    let daemon = node.daemon_with_cache();
    let before = pod.ready("data0");
    daemon.kill();
    let daemon = node.daemon_with_cache();
    assert_eq!(pod.ready("data0"), before);
    assert_eq!(daemon.metric("reconfd_netlink_changes_total"), 0.0);
    assert_eq!(recorded_by(&pod), "Cache");
}

#[test]
fn the_plugins_record_goes_before_what_the_cache_says() {
    let node = TestNode::builder().own_bridges().start();
    let daemon = node.daemon_with_cache();
    let mut pod = node.cached_pod("tenant-a", "old");
    wish(&node, &pod);
    let before = index(&pod.ready("data0"));
    pod.check();
    eventually("the report says who recorded the pod", || {
        let by = recorded_by(&pod);
        seen(by == "Plugin", by)
    });
    eventually("the plugin's record is counted", || {
        let recorded = recorded(&daemon, "plugin");
        seen(recorded == 1.0, recorded)
    });
    // From here on the entry says nothing that matters.
    fs::remove_file(node.path(CACHE).join(pod.entry_name())).unwrap();
    stays("the link stays ready", Duration::from_millis(300), || {
        let told = pod.reported("data0").ok_or("no report")?;
        seen(told["reason"] == "LinkReady", &told)
    });
    assert_eq!(index(&pod.link("data0")), before);
    // The plugin's DEL names it by container and interface.
    pod.delete();
    eventually("the record is gone", || {
        seen(node.records().is_empty(), format!("{:?}", node.records()))
    });
}

/// The plugin's DEL is the first of the chain: for a moment the entry, the namespace and the address in it
/// are all there, and yet the pod has ended.
#[test]
fn an_entry_that_is_still_there_when_the_plugin_is_told_to_delete_counts_no_more() {
    let node = TestNode::builder().own_bridges().start();
    let daemon = node.daemon_with_cache();
    let mut pod = node.cached_pod("tenant-a", "ending");
    wish(&node, &pod);
    pod.check();
    eventually("the plugin's record counts", || {
        let by = recorded_by(&pod);
        seen(by == "Plugin", by)
    });
    fs::remove_file(pod.record()).unwrap();
    pod.reason("data0", "NoRecord");
    stays("nobody records it", Duration::from_millis(1500), || {
        let by = recorded_by(&pod);
        seen(by == "nobody", by)
    });
    assert_eq!(recorded(&daemon, "cache"), 0.0);
}

#[test]
fn a_pod_that_ends_takes_its_found_record_with_it() {
    let node = TestNode::builder().own_bridges().start();
    let daemon = node.daemon_with_cache();
    let pod = node.cached_pod("tenant-a", "old");
    wish(&node, &pod);
    pod.ready("data0");
    // Its entry stays for ever, as some do.
    pod.vanish();
    pod.reason("data0", "NamespaceGone");
    eventually("no pod is recorded", || {
        let recorded = recorded(&daemon, "cache");
        seen(recorded == 0.0, recorded)
    });
}
