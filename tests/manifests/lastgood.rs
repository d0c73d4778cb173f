//! The last good version stays in force until the next good one.

use std::time::Duration;

use super::refusal;
use crate::support::{
    look::{addresses, index},
    manifests::{config, on_bridge},
    node::TestNode,
    wait::{eventually, seen, stays},
};

#[test]
fn the_last_good_version_stays_in_force_until_the_next_good_one() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    let before = index(&pod.ready("data0"));
    node.apply(
        "tenant-a-web-0",
        &config(
            "tenant-a",
            "web-0",
            "web-0",
            "[{name: data0, veth: {bridge: blue}, mtu: 1}]",
        ),
    );
    let told = eventually("it is refused", || {
        refusal(&node, "tenant-a-web-0").ok_or_else(|| node.refused())
    });
    assert!(told.contains("mtu") && told.contains("web-0"), "{told}");
    stays("the link is as it was", Duration::from_millis(150), || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(
            index(&link) == before && addresses(&link) == ["10.1.0.1/24"],
            link,
        )
    });
    eventually("the status says so too", || {
        let status = node.status("tenant-a", "web-0").ok_or("no status")?;
        seen(status["status"].to_string().contains("Invalid"), status)
    });
    node.connect("tenant-a", "web-0", "data0", "10.1.0.2/24");
    eventually("the next good version is in force", || {
        let link = pod.find("data0").ok_or("no link")?;
        seen(
            addresses(&link) == ["10.1.0.2/24"] && refusal(&node, "tenant-a-web-0").is_none(),
            link,
        )
    });
}

#[test]
fn one_broken_document_of_several_disturbs_no_other() {
    let node = TestNode::builder().own_bridges().daemon().start();
    let pod = node.bare_pod("tenant-a", "web-0");
    let parts = [
        config(
            "tenant-a",
            "first",
            "web-0",
            &on_bridge("data0", "blue", "10.1.0.1/24"),
        ),
        config(
            "tenant-a",
            "second",
            "web-0",
            "[{name: data1, veth: {bridge: red}, mtu: 1}]",
        ),
        config(
            "tenant-a",
            "third",
            "web-0",
            &on_bridge("data2", "green", "10.3.0.1/24"),
        ),
    ];
    node.apply("several", &parts.join("---\n"));
    pod.ready("data0");
    pod.ready("data2");
    let told = eventually("the second is refused", || {
        refusal(&node, "several").ok_or_else(|| node.refused())
    });
    let one: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(one["document"], 2, "{told}");
    assert!(told.contains("mtu"), "{told}");
    assert!(pod.find("data1").is_none());
}

#[test]
fn a_policy_that_breaks_neither_opens_nor_closes() {
    let node = TestNode::new();
    node.apply(
        "policy",
        &crate::support::manifests::policy(
            "p",
            "{}",
            "[{veth: {bridges: Own}, addresses: [10.1.0.0/16]}]",
        ),
    );
    let _daemon = node.daemon();
    let pod = node.connected("tenant-a", "web-0", "10.1.0.1/24");
    let before = index(&pod.ready("data0"));
    node.apply(
        "policy",
        &crate::support::manifests::policy(
            "p",
            "{}",
            "[{veth: {bridges: All}, addresses: [0.0.0.0/0]}]",
        ),
    );
    eventually("it is refused", || {
        refusal(&node, "policy").ok_or_else(|| node.refused())
    });
    node.configure(
        "tenant-a",
        "x",
        "web-0",
        &on_bridge("data1", "red", "10.2.0.1/24"),
    );
    pod.reason("data1", "NotAllowed");
    assert_eq!(index(&pod.link("data0")), before);
}
