//! Who else is on a segment whose ends are found: other PodConfigs, other namespaces, nobody at all.

use super::{AUTO, finder, named, publish, slice, told_end};
use crate::{
    support::{
        fabric::Fabric,
        look::index,
        manifests::{config_born, policy},
        node::TestNode,
        pod::TestPod,
        wait::{eventually, seen},
    },
    vxlan::{TUNNELS, overlay, peers},
};

fn asks<'n>(node: &'n TestNode, namespace: &str, pod: &str, ip: &str) -> TestPod<'n> {
    let asks = node.bare_pod(namespace, pod);
    node.configure(namespace, pod, pod, &overlay(AUTO, ip, ""));
    asks
}

fn allow(node: &TestNode, rule: &str) {
    node.apply("policy", &policy("tunnels", "{}", &format!("[{rule}]")));
}

#[test]
fn ends_that_are_found_differ_from_ends_that_are_written_down() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    allow(node, TUNNELS);
    let (a, b) = (
        node.bare_pod("tenant-a", "a"),
        node.bare_pod("tenant-a", "b"),
    );
    let c = node.bare_pod("tenant-a", "c");
    let born = |year: u32, pod: &str, peers: &str, ip: &str| {
        let links = overlay(peers, ip, "");
        node.apply(
            pod,
            &config_born(
                "tenant-a",
                pod,
                &format!("{year}-01-01T00:00:00Z"),
                pod,
                &links,
            ),
        );
    };
    born(2020, "a", AUTO, "10.5.0.1/24");
    a.ready("overlay");
    born(2021, "b", &peers(&[0, 1]), "10.5.0.2/24");
    let told = b.reason("overlay", "SegmentDiffers");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("discovered") && message.contains("10.77.0.2"),
        "{message}"
    );
    born(2022, "c", AUTO, "10.5.0.3/24");
    c.ready("overlay");
    a.ping("10.5.0.3");
    node.withdraw("a");
    node.withdraw("c");
    b.ready("overlay");
    node.sends_to(&["10.77.0.2"]);
    assert!(
        told_end(&b).is_null(),
        "ends that are written down are not told"
    );
}

/// Namespaces that share a segment share its ends, and no pod's pass takes those of the other away.
#[test]
fn two_namespaces_that_share_a_segment_have_the_ends_of_both() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    allow(
        node,
        &TUNNELS.replace("underlays:", "sharing: AcrossNamespaces, underlays:"),
    );
    node.apply(
        "slice-a",
        &slice("tenant-a", 0, &named(&["10.77.0.1", "10.77.0.2"])),
    );
    node.apply(
        "slice-b",
        &slice("tenant-b", 0, &named(&["10.77.0.1", "10.77.0.3"])),
    );
    let a = asks(node, "tenant-a", "a", "10.5.0.1/24");
    a.ready("overlay");
    node.sends_to(&["10.77.0.2"]);
    let b = asks(node, "tenant-b", "b", "10.5.0.2/24");
    b.ready("overlay");
    node.sends_to(&["10.77.0.2", "10.77.0.3"]);
    node.apply("slice-b", &slice("tenant-b", 0, &named(&["10.77.0.4"])));
    node.sends_to(&["10.77.0.2", "10.77.0.4"]);
    // What was sent is counted behind the pass; then each pod is reconciled once without any event.
    daemon.reconciles(1);
    let changes = daemon.metric("reconfd_netlink_changes_total");
    daemon.reconciles(3);
    assert_eq!(daemon.metric("reconfd_netlink_changes_total"), changes);
    node.withdraw("b");
    b.lacks("overlay");
    node.sends_to(&["10.77.0.2"]);
}

/// The device itself follows the list in place, and that is nobody's tampering.
#[test]
fn a_pod_that_has_the_device_itself_finds_others_too() {
    let fabric = Fabric::new(2);
    let (daemon, _other) = (fabric[0].daemon(), fabric[1].daemon());
    allow(
        &fabric[0],
        &TUNNELS.replace("underlays:", "modes: [Exclusive], underlays:"),
    );
    let a = fabric[0].bare_pod("tenant-a", "a");
    let whole = overlay(AUTO, "10.5.0.1/24", "").replace("vni:", "mode: Exclusive, vni:");
    fabric[0].configure("tenant-a", "a", "a", &whole);
    let b = finder(&fabric[1], 1);
    b.ready("overlay");
    let link = a.ready("overlay");
    assert_eq!(link["linkinfo"]["info_kind"], "vxlan");
    publish(fabric.nodes(), &[&a, &b]);
    a.ping("10.5.0.2");
    let entries = || a.run(&["bridge", "fdb", "show", "dev", "overlay"]);
    let told = a.reported("overlay").unwrap();
    for last in 3..13 {
        let last = format!("10.77.0.{last}");
        let known = named(&["10.77.0.1", "10.77.0.2", &last]);
        fabric[0].apply("slice-0", &slice("tenant-a", 0, &known));
        eventually("the list is followed", || {
            seen(entries().contains(&format!("{last} ")), entries())
        });
    }
    assert_eq!(index(&a.ready("overlay")), index(&link), "in place");
    let now = a.reported("overlay").unwrap();
    assert_eq!(now, told, "where it leads to is no news of the link");
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 0.0);
    // What the pod does to the list is undone, and is a repair.
    a.run(&[
        "bridge",
        "fdb",
        "del",
        "00:00:00:00:00:00",
        "dev",
        "overlay",
        "dst",
        "10.77.0.2",
    ]);
    eventually("the end is back", || {
        let repairs = daemon.metric("reconfd_drift_repairs_total");
        seen(repairs == 1.0, format!("{repairs} repairs, {}", entries()))
    });
    let everybody = |line: &str| line.starts_with("00:00") && line.contains("10.77.0.2 ");
    assert!(entries().lines().any(everybody), "{}", entries());
    // The address of the node changes: the device is made anew, which is nobody's tampering either.
    fabric[0].shell("ip address del 10.77.0.1/24 dev eth1; ip address add 10.77.0.61/24 dev eth1");
    eventually("the new end is told", || {
        seen(told_end(&a)["address"] == "10.77.0.61", told_end(&a))
    });
    publish(fabric.nodes(), &[&a, &b]);
    a.ping("10.5.0.2");
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 1.0);
}

#[test]
fn a_tunnel_over_the_pods_own_link_finds_nobody() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    allow(node, TUNNELS);
    let _pod = node.bare_pod("tenant-a", "a");
    let links = overlay(AUTO, "10.5.0.1/24", "").replace("underlay:", "underlayLink:");
    node.configure("tenant-a", "a", "a", &links);
    eventually("it is refused in words", || {
        let refused = std::fs::read_to_string(node.path("/run/podconfig/reports/refused.yaml"));
        let refused = refused.unwrap_or_default();
        seen(refused.contains("peers.auto are other nodes"), refused)
    });
}
