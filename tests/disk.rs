//! A disk that takes nothing is no reason to lose a link, or to keep a pod from starting.

use std::time::Duration;

use crate::support::{
    look::{addresses, index},
    manifests::on_bridge,
    node::TestNode,
    wait::{eventually, seen, within},
};

#[test]
fn a_full_disk_keeps_no_link_from_coming_and_the_report_follows() {
    let node = TestNode::new();
    node.run(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=16k,nr_inodes=200",
        "full",
        "/run/podconfig/reports",
    ]);
    node.allow_own_bridges();
    let _daemon = node.daemon();
    let _ = node.try_run(&["sh", "-c", "cat /dev/zero >/run/podconfig/reports/.ballast"]);
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    eventually("the link comes", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(addresses(&link) == ["10.1.0.1/24"], link)
    });
    node.run(&["rm", "/run/podconfig/reports/.ballast"]);
    within(
        Duration::from_secs(15),
        "the report follows when there is room",
        || {
            let told = pod.reported("data0").ok_or("no report")?;
            seen(told["reason"] == "LinkReady", told)
        },
    );
}

#[test]
fn a_disk_that_takes_no_writes_keeps_links_as_they_are() {
    let node = TestNode::new();
    node.run(&["mount", "-t", "tmpfs", "reports", "/run/podconfig/reports"]);
    node.allow_own_bridges();
    let daemon = node.daemon();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    let before = index(&pod.ready("data0"));
    node.run(&["mount", "-o", "remount,ro", "/run/podconfig/reports"]);
    daemon.kill();
    let daemon = node.daemon();
    node.configure(
        "tenant-a",
        "x",
        "web-0",
        &on_bridge("data1", "red", "10.2.0.1/24"),
    );
    eventually("a new link comes", || {
        seen(pod.find("data1").is_some(), "no link")
    });
    assert_eq!(index(&pod.link("data0")), before);
    assert!(daemon.is_alive());
    node.run(&["mount", "-o", "remount,rw", "/run/podconfig/reports"]);
    within(Duration::from_secs(15), "the report follows", || {
        let told = pod.reported("data1").ok_or("no report")?;
        seen(told["reason"] == "LinkReady", told)
    });
}

#[test]
fn a_record_folder_without_room_keeps_no_pod_from_starting() {
    let node = TestNode::new();
    node.run(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=4k,nr_inodes=3,mode=700",
        "full",
        "/run/podconfig/records",
    ]);
    let _ = node.try_run(&["sh", "-c", "cat /dev/zero >/run/podconfig/records/.ballast"]);
    node.allow_own_bridges();
    let _daemon = node.daemon();
    // The recorder passes the result through; the harness checks that.
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    pod.reason("data0", "NoRecord");
}
