//! What the kernel refuses is told, tried again ever less often, and at once when it is asked for otherwise.

use std::time::Duration;

use crate::support::{
    node::TestNode,
    wait::{eventually, seen, stays},
};

/// Nobody knows the way to this gateway, as the pod has no address for it.
const NOWHERE: &str =
    "[{name: data0, veth: {bridge: blue}, routes: [{to: 172.20.0.0/16, via: 10.9.9.9}]}]";

#[test]
fn what_the_kernel_refuses_is_tried_again_ever_less_often() {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let monitor = node.monitor(pod.netns_name());
    node.configure("tenant-a", "x", "web-0", NOWHERE);
    let told = pod.reason("data0", "KernelRefused");
    let message = told["message"].as_str().unwrap_or_default();
    assert!(message.contains("invalid gateway"), "{told}");
    // The pod is looked at each second, and each look could be a try.
    stays("it is refused", Duration::from_secs(8), || {
        let told = pod.reported("data0").ok_or("no report")?;
        seen(told["reason"] == "KernelRefused", told)
    });
    let lines = monitor.lines();
    let gone = |line: &&String| line.contains("Deleted") && line.contains("data0");
    let tries = lines.iter().filter(gone).count();
    assert!((1..=5).contains(&tries), "{tries} tries: {lines:?}");
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 0.0);
    // Other words are tried at once.
    let near = NOWHERE.replace("routes", "addresses: [10.9.9.1/24], routes");
    node.configure("tenant-a", "x", "web-0", &near);
    pod.ready("data0");
}

#[test]
fn the_metrics_say_why_links_are_not_there_and_nothing_is_late() {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
    let pod = node.bare_pod("tenant-a", "web-0");
    let refused = &NOWHERE[1..NOWHERE.len() - 1];
    let links = format!("[{refused}, {{name: data1, veth: {{hostBridge: br-lan}}}}]");
    node.configure("tenant-a", "x", "web-0", &links);
    pod.reason("data0", "KernelRefused");
    pod.reason("data1", "BridgeNotFound");
    let has = |line: &str| {
        eventually(line, || {
            let (_, text) = daemon.get("/metrics")?;
            seen(text.lines().any(|found| found.starts_with(line)), text)
        });
    };
    has("reconfd_links_unready{reason=\"KernelRefused\"} 1");
    has("reconfd_links_unready{reason=\"BridgeNotFound\"} 1");
    has("reconfd_reconciles_total{result=\"KernelRefused\"}");
    stays("nothing is late", Duration::from_secs(2), || {
        let late = daemon.metric("reconfd_oldest_unapplied_seconds");
        seen(late == 0.0, late)
    });
}
