//! Pods and links come, go, and come back; each time exactly what is wanted is there.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    chain,
    look::{addresses, index},
    manifests::{config_for, on_bridge},
    node::TestNode,
    wait::{eventually, seen, stays, within},
};

#[test]
fn a_pod_that_ends_in_order_leaves_nothing() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.pod("tenant-a", "web-0");
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    pod.ready("data0");
    pod.delete();
    node.is_clean();
    assert_eq!(node.records(), Vec::<std::path::PathBuf>::new());
    eventually("the report goes with the pod", || {
        let report = node.report("tenant-a", "web-0");
        seen(report.is_none(), format!("{report:?}"))
    });
}

#[test]
fn a_pod_whose_namespace_vanishes_leaves_nothing() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let kept = node.bare_pod("tenant-a", "kept");
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    node.connect("tenant-a", "kept", "data0", "10.1.0.2/24");
    pod.ready("data0");
    let before = index(&kept.ready("data0"));
    pod.vanish();
    eventually("one host end is left", || {
        let ends = node.host_ends();
        seen(ends.len() == 1, format!("{ends:?}"))
    });
    assert_eq!(index(&kept.link("data0")), before);
    eventually(
        "the report says what happened, or is gone with the pod",
        || {
            let told = pod.reported("data0");
            seen(
                told.as_ref().is_none_or(|t| t["reason"] == "NamespaceGone"),
                format!("{told:?}"),
            )
        },
    );
}

#[test]
fn the_last_pod_on_a_bridge_takes_it_along_also_when_its_namespace_just_vanishes() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    pod.vanish();
    node.is_clean();
    assert_eq!(node.records().len(), 1, "nobody has called DEL");
}

#[test]
fn the_namespace_of_a_dead_pod_is_not_kept_alive() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    // A witness that only the death of the namespace can take: its veth to the node.
    node.run(&[
        "ip",
        "link",
        "add",
        "witness",
        "type",
        "veth",
        "peer",
        "name",
        "w1",
        "netns",
        pod.netns_name(),
    ]);
    pod.vanish();
    eventually("the namespace died", || {
        let links = node.ip(&["link", "show"]);
        seen(
            !links.to_string().contains("\"witness\""),
            format!("{links}\n{:?}", daemon.open_files()),
        )
    });
}

#[test]
fn a_label_that_goes_takes_the_links_and_brings_them_back() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let mut pod = node.bare_pod("tenant-a", "web-0");
    let selector = "{matchExpressions: [{key: role, operator: In, values: [cnf]}]}";
    node.apply(
        "x",
        &config_for(
            "tenant-a",
            "x",
            selector,
            &on_bridge("data0", "blue", "10.1.0.1/24"),
        ),
    );
    eventually("nobody is selected", || {
        let status = node.status("tenant-a", "x").ok_or("no status")?;
        seen(
            status["status"].to_string().contains("NoPodsSelected"),
            status,
        )
    });
    assert!(pod.find("data0").is_none());
    pod.relabel(json!({"role": "cnf"}));
    pod.ready("data0");
    pod.relabel(json!({"role": "other"}));
    pod.lacks("data0");
    node.is_clean();
    pod.relabel(json!({"role": "cnf"}));
    pod.link("data0");
}

/// Attack 10: every link that is made or taken away holds a lock of the whole kernel.
#[test]
fn a_label_that_flaps_makes_few_links_and_what_it_says_last_counts() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let mut pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.ready("data0");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        for label in ["other", "web-0"] {
            pod.relabel(json!({"pod": label}));
            sleep(Duration::from_millis(8));
        }
    }
    let operations = daemon.metric("reconfd_link_operations_total");
    assert!(operations < 110.0, "{operations} links made and removed");
    pod.link("data0");
    assert!(daemon.metric("reconfd_drift_repairs_total").abs() < 0.5);
    pod.relabel(json!({"pod": "other"}));
    within(
        Duration::from_millis(500),
        "the link is gone at once",
        || {
            let found = pod.find("data0");
            seen(found.is_none(), format!("{found:?}"))
        },
    );
    node.is_clean();
}

#[test]
fn a_new_sandbox_of_the_same_pod_gets_the_links_again() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let mut pod = node.pod("tenant-a", "web-0");
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    let before = pod.ready("data0");
    pod.restart_sandbox();
    let after = pod.link("data0");
    assert_eq!(addresses(&after), addresses(&before));
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 0.0);
    assert_eq!(after["address"], before["address"]);
    eventually("only the new sandbox has a host end", || {
        let ends = node.host_ends();
        seen(ends.len() == 1, format!("{ends:?}"))
    });
    eventually("the report names the new sandbox", || {
        let report = pod.report().ok_or("no report")?;
        seen(
            report["status"]["sandbox"] == pod.attachment.container.as_str(),
            report,
        )
    });
}

/// As a Job's pod does: its sandbox ends before its object says that it has completed.
#[test]
fn a_pod_that_completes_is_not_said_to_lack_a_record() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let mut pod = node.connected("tenant-a", "job", "10.1.0.1/24");
    pod.ready("data0");
    let before = daemon.log().len();
    pod.end_sandbox();
    pod.reason("data0", "NamespaceGone");
    stays("its end is its end", Duration::from_secs(4), || {
        let told = pod.reported("data0").ok_or("no report")?;
        seen(told["reason"] == "NamespaceGone", told)
    });
    assert_eq!(daemon.metric("reconfd_pods_unrecorded"), 0.0);
    pod.say(json!({"status": {"phase": "Succeeded"}}));
    eventually("the report is gone", || {
        let report = pod.report();
        seen(report.is_none(), format!("{report:?}"))
    });
    let log = daemon.log();
    assert!(!log[before..].contains("NoRecord"), "{log}");
}

#[test]
fn a_container_that_restarts_changes_nothing() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let pod = node.pod("tenant-a", "web-0");
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    let before = index(&pod.ready("data0"));
    let changes = daemon.metric("reconfd_netlink_changes_total");
    node.shell(&format!(
        "ip netns pids {} | xargs kill -9",
        pod.netns_name()
    ));
    pod.spawn(&["sleep", "infinity"]);
    daemon.reconciles(1);
    assert_eq!(index(&pod.link("data0")), before);
    assert!((daemon.metric("reconfd_netlink_changes_total") - changes).abs() < 0.5);
}

/// Attack 6: the pod is swapped for another of the same name.
#[test]
fn another_pod_of_the_same_name_is_another_pod() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let first = node.connected("tenant-a", "db-0", "10.1.0.1/24");
    first.ready("data0");
    // The new pod's record and manifest come while the old sandbox is still there.
    let second = node.bare_pod("tenant-a", "db-0");
    second.link("data0");
    first.lacks("data0");
    eventually("the report is of the new pod", || {
        let report = second.report().ok_or("no report")?;
        seen(
            report["status"]["podUID"] == second.attachment.uid.as_str(),
            report,
        )
    });
    assert_eq!(node.host_ends().len(), 1);
}

#[test]
fn a_record_may_come_before_the_pod_and_the_pod_before_its_podconfig() {
    let node = TestNode::builder().own_bridges().start();
    let pod = node.bare_pod("tenant-a", "late");
    node.withdraw("pod-tenant-a-late");
    node.connect("tenant-a", "late", "data0", "10.1.0.1/24");
    let _daemon = node.daemon();
    stays(
        "a record without a pod gets nothing",
        Duration::from_millis(150),
        || {
            let found = pod.find("data0");
            seen(found.is_none(), format!("{found:?}"))
        },
    );
    let mut pod = pod;
    pod.relabel(json!({"pod": "late"}));
    pod.ready("data0");
}

#[test]
fn a_pod_without_a_record_is_told() {
    let (node, daemon) = TestNode::builder().own_bridges().start_with_daemon();
    let are_counted = |wanted: u32| {
        eventually(&format!("{wanted} pods without a record"), || {
            let counted = daemon.metric("reconfd_pods_unrecorded");
            seen((counted - f64::from(wanted)).abs() < 0.5, counted)
        });
    };
    let pod = node.bare_pod("tenant-a", "web-0");
    let record = pod.record();
    let content = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    node.connect("tenant-a", "web-0", "data0", "10.1.0.1/24");
    pod.reason("data0", "NoRecord");
    are_counted(1);
    let name = record.file_name().unwrap().to_string_lossy().into_owned();
    node.plant_record(&name, &content);
    pod.ready("data0");
    are_counted(0);
    // A missing record is not a dead pod.
    std::fs::remove_file(&record).unwrap();
    are_counted(1);
    let before = index(&pod.link("data0"));
    stays(
        "the link outlives its record",
        Duration::from_millis(200),
        || {
            let found = pod.find("data0").ok_or("the link is gone")?;
            seen(index(&found) == before, found)
        },
    );
}

#[test]
fn a_del_that_comes_twice_or_for_nobody_is_forgiven() {
    let node = TestNode::new();
    let pod = node.bare_pod("tenant-a", "web-0");
    let entry = json!({"type": "podconfig-cni", "recordsDir": chain::RECORDS});
    for _ in 0..2 {
        let output = chain::invoke(&node, &pod.attachment, "DEL", &entry, None);
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(node.records(), Vec::<std::path::PathBuf>::new());
}
