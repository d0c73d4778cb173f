//! The kernel notifies the daemon of the daemon's own changes as well: they must not have it reconcile the
//! pod once more.

use std::time::{Duration, Instant};

use crate::support::{
    daemon::Daemon,
    manifests::config,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, within},
};

const PODS: usize = 20;

/// One link of each place that a host end can be in. `net` is in each address.
fn links(number: usize, (net, mtu): (u8, u32)) -> String {
    let last = number + 1;
    format!(
        "[{{name: a0, veth: {{bridge: blue}}, mtu: {mtu}, addresses: [10.6{net}.0.{last}/16]}},\n\
         {{name: b0, veth: {{hostBridge: br-lan}}, mtu: {mtu}, addresses: [10.7{net}.0.{last}/16]}},\n\
         {{name: r0, veth: {{routed: {{}}}}, mtu: {mtu}, addresses: [172.31.{net}.{last}/32, 'fd31:{net}::{last}/128']}}]"
    )
}

/// How often the daemon has reconciled a pod, at a moment when it does nothing else than its regular check.
fn reconciles(daemon: &Daemon) -> f64 {
    eventually("the daemon is idle", || {
        let before = daemon.metric("reconfd_reconciles_total");
        std::thread::sleep(Duration::from_millis(1500));
        let now = daemon.metric("reconfd_reconciles_total");
        seen(now - before <= 2.0, format!("{before}, then {now}"))
    });
    daemon.metric("reconfd_reconciles_total")
}

/// Applies the same to all pods, and waits until their links have it.
fn apply_to_all(node: &TestNode, pods: &[TestPod<'_>], what: (u8, u32)) {
    let of_pod = |n| {
        let name = format!("p{n}");
        config("tenant-a", &name, &name, &links(n, what))
    };
    let text: Vec<String> = (0..PODS).map(of_pod).collect();
    node.apply("all", &text.join("\n---\n"));
    for pod in pods {
        within(Duration::from_secs(30), "the links are ready", || {
            let ready = ["a0", "b0", "r0"].map(|link| {
                let reported = pod.reported(link).unwrap_or_default();
                reported["reason"] == "LinkReady" && reported["mtu"] == what.1
            });
            seen(ready == [true; 3], format!("{ready:?}"))
        });
    }
}

#[test]
fn a_pod_whose_links_are_made_or_changed_is_reconciled_once() {
    let (node, daemon) = TestNode::builder().any_veth().start_with_daemon();
    node.add_bridge("br-lan", "10.71.255.254/16");
    let pods: Vec<TestPod<'_>> = (0..PODS)
        .map(|n| node.bare_pod("tenant-a", &format!("p{n}")))
        .collect();
    for what in [(1, 1500), (2, 1400)] {
        let (before, start) = (reconciles(&daemon), Instant::now());
        apply_to_all(&node, &pods, what);
        let reconciled = reconciles(&daemon) - before;
        // Beside them the regular check takes one pod a second.
        let checks = start.elapsed().as_secs_f64() + 1.0;
        assert!(
            reconciled >= PODS as f64 && reconciled <= PODS as f64 + checks,
            "{what:?}: {reconciled} reconciles of {PODS} pods in {checks:.0} s"
        );
    }
}
