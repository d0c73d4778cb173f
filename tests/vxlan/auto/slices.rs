//! Slices that come and go, that are broken, that speak of others, and that are many.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{AUTO, finder, named, slice, slice_of, told_end};
use crate::{
    support::{
        fabric::Fabric,
        look::index,
        manifests::policy,
        node::TestNode,
        pod::TestPod,
        wait::{eventually, seen, stays},
    },
    vxlan::{TUNNELS, VNI, joined, set},
};

const A_WHILE: Duration = Duration::from_millis(400);

/// A node that has a pod on the tunnel and knows of a second one.
fn acquainted(node: &TestNode) -> TestPod<'_> {
    let pod = finder(node, 0);
    pod.ready("overlay");
    node.apply(
        "slice-0",
        &slice("tenant-a", 0, &named(&["10.77.0.1", "10.77.0.2"])),
    );
    node.sends_to(&["10.77.0.2"]);
    pod
}

fn keeps_its_ends(what: &str, node: &TestNode) {
    stays(what, A_WHILE, || {
        let ends = node.ends();
        let is_so = ends == set(&["10.77.0.2"]) && node.lets_in() == ends;
        seen(is_so, format!("{ends:?}, let in {:?}", node.lets_in()))
    });
}

#[test]
fn a_list_that_can_not_be_read_is_not_an_empty_one() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let pod = acquainted(node);
    node.apply("slice-0", "{{{{");
    keeps_its_ends("a slice that is torn", node);
    let with_fault = slice("tenant-a", 0, &named(&["10.77.0.2", "ten dot seven"]));
    node.apply("slice-0", &with_fault);
    keeps_its_ends("a slice with a fault", node);
    let folder = node.path("/run/podconfig/objects");
    fs::rename(&folder, node.path("/run/podconfig/elsewhere")).unwrap();
    keeps_its_ends("a folder that is gone", node);
    fs::rename(node.path("/run/podconfig/elsewhere"), &folder).unwrap();
    pod.ready("overlay");
}

#[test]
fn a_slice_that_is_deleted_is_gone_with_its_nodes_and_the_link_stays() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let pod = acquainted(node);
    node.apply("slice-1", &slice("tenant-a", 1, &named(&["10.77.0.3"])));
    node.sends_to(&["10.77.0.2", "10.77.0.3"]);
    let before = (index(&pod.ready("overlay")), index(&node.device()));
    node.withdraw("slice-1");
    node.sends_to(&["10.77.0.2"]);
    node.withdraw("slice-0");
    node.sends_to(&[]);
    assert!(node.lets_in().is_empty(), "{:?}", node.lets_in());
    let after = (index(&pod.ready("overlay")), index(&node.device()));
    assert_eq!(before, after);
    assert_eq!(
        told_end(&pod)["address"],
        "10.77.0.1",
        "it can be found again"
    );
    // Another object of the same tunnel says the same: its name is nobody's concern.
    node.apply("slice-9", &slice("tenant-a", 9, &named(&["10.77.0.2"])));
    node.sends_to(&["10.77.0.2"]);
}

#[test]
fn a_slice_that_speaks_of_another_tunnel_from_now_on_leaves_this_one() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let _pod = acquainted(node);
    let other = slice_of("tenant-a", (VNI + 1, 4789), 0, &named(&["10.77.0.2"]));
    let renamed = other.replace(&format!("vxlan-{}", VNI + 1), &format!("vxlan-{VNI}"));
    node.apply("slice-0", &renamed);
    node.sends_to(&[]);
    node.apply("slice-0", &slice("tenant-a", 0, &named(&["10.77.0.2"])));
    node.sends_to(&["10.77.0.2"]);
}

#[test]
fn slices_of_others_are_not_read() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    let _pod = acquainted(node);
    let stranger = named(&["10.77.0.9"]);
    node.apply("other-namespace", &slice("tenant-b", 0, &stranger));
    node.apply("other-vni", &slice_of("tenant-a", (7, 4789), 0, &stranger));
    node.apply(
        "other-port",
        &slice_of("tenant-a", (VNI, 4790), 0, &stranger),
    );
    keeps_its_ends("slices of others", node);
}

/// Whoever wrote it: no node outside of the rule is one, nor is this one, nor what is no node.
#[test]
fn a_hostile_slice_opens_nothing_that_the_rule_does_not() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let _daemon = node.daemon();
    node.run(&["ip", "address", "add", "10.77.0.77/24", "dev", "lo"]);
    let pod = acquainted(node);
    let hostile = [
        "10.77.0.2",
        "10.66.0.1",
        "8.8.8.8",
        "10.77.1.1",
        "fd77::2",
        "10.77.0.77",
        "10.77.0.1",
    ];
    node.apply("slice-0", &slice("tenant-a", 0, &named(&hostile)));
    keeps_its_ends("what the rule does not hold", node);
    for odd in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "10.77.0.0/24",
    ] {
        node.apply(
            "slice-0",
            &slice("tenant-a", 0, &named(&["10.77.0.9", odd])),
        );
        keeps_its_ends("what is no node is refused with its slice", node);
    }
    let many: Vec<String> = (1..=101).map(|n| format!("10.77.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    node.apply("slice-0", &slice("tenant-a", 0, &named(&many)));
    keeps_its_ends("a slice of more than a hundred is refused", node);
    let narrow = TUNNELS.replace("10.77.0.0/24", "10.77.0.0/31");
    let rules = policy("tunnels", "{}", &format!("[{narrow}]"));
    node.apply("policy", &rules);
    node.sends_to(&[]);
    pod.ready("overlay");
}

#[test]
fn three_hundred_nodes_in_three_slices_come_and_go_in_place() {
    let fabric = Fabric::new(2);
    let node = &fabric[0];
    let (daemon, _other) = (node.daemon(), fabric[1].daemon());
    let wide = TUNNELS.replace("10.77.0.0/24", "10.77.0.0/16");
    let rules = policy("tunnels", "{}", &format!("[{wide}]"));
    let (a, b) = (finder(node, 0), finder(&fabric[1], 1));
    fabric
        .nodes()
        .iter()
        .for_each(|node| node.apply("policy", &rules));
    a.ready("overlay");
    b.ready("overlay");
    let all: Vec<String> = (0..300)
        .map(|n| format!("10.77.{}.{}", n / 100, n % 100 + 1))
        .collect();
    let publish = |known: &TestNode, count: usize| {
        for (number, part) in all[..count].chunks(100).enumerate() {
            let part: Vec<&str> = part.iter().map(String::as_str).collect();
            let name = format!("slice-{number}");
            known.apply(&name, &slice("tenant-a", number, &named(&part)));
        }
    };
    publish(&fabric[1], 2);
    publish(node, 2);
    let stream = a.ping_on("10.5.0.2");
    let before = (index(&a.ready("overlay")), index(&node.device()));
    let start = Instant::now();
    publish(node, 300);
    eventually("all of them", || {
        let ends = node.ends().len();
        seen(ends == 299, ends)
    });
    println!("299 ends after {:?}", start.elapsed());
    stream.lost_nothing();
    let elements = node.lets_in();
    assert!(
        elements.iter().any(|e| e.contains("10.77.2.")),
        "{elements:?}"
    );
    node.withdraw("slice-2");
    eventually("two hundred", || {
        let ends = node.ends().len();
        seen(ends == 199, ends)
    });
    let after = (index(&a.ready("overlay")), index(&node.device()));
    assert_eq!(before, after);
    assert_eq!(daemon.metric("reconfd_drift_repairs_total"), 0.0);
    drop(b);
}

/// The device of all pods of the tunnel is one, and other pods of the namespace have nothing to do with it.
#[test]
fn a_segment_is_reconciled_without_its_pods() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    let _pod = acquainted(node);
    let _apart: Vec<_> = (0..10)
        .map(|number| node.bare_pod("tenant-a", &format!("apart-{number}")))
        .collect();
    let beside: Vec<_> = (0..10)
        .map(|n| {
            joined(
                node,
                &format!("beside-{n}"),
                AUTO,
                &format!("10.5.1.{n}/16"),
            )
        })
        .collect();
    beside.iter().for_each(|pod| drop(pod.ready("overlay")));
    daemon.reconciles(1);
    let looks = || daemon.metric("reconfd_reconciles_total");
    let (before, start) = (looks(), Instant::now());
    for last in 3..13 {
        let last = format!("10.77.0.{last}");
        node.apply(
            "slice-0",
            &slice("tenant-a", 0, &named(&["10.77.0.2", &last])),
        );
        node.sends_to(&["10.77.0.2", &last]);
        let device = node.device()["ifname"].as_str().unwrap().to_owned();
        let change = format!("ip -n podconfig link set {device} mtu 1300");
        node.run(&change.split(' ').collect::<Vec<_>>());
        eventually("the device has its MTU again", || {
            let device = node.device();
            seen(device["mtu"] == 1450, device)
        });
    }
    // And one each second, whatever happens.
    let looked = looks() - before - start.elapsed().as_secs_f64().ceil();
    assert!(
        looked <= 5.0,
        "{looked} looks for ten slices and ten changes of the device"
    );
}

/// A pod that is not what it shall be may not be able to see to the tunnel: then the others do.
#[test]
fn a_pod_in_trouble_does_not_keep_the_list_from_the_others() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let daemon = node.daemon();
    let pod = acquainted(node);
    let other = joined(node, "other", AUTO, "10.5.0.2/24");
    other.ready("overlay");
    // Its link is another's in name, and is not there.
    daemon.kill();
    pod.shell("ip link delete overlay; ip link add overlay type bridge");
    let _daemon = node.daemon();
    pod.reason("overlay", "ForeignLink");
    node.apply(
        "slice-0",
        &slice("tenant-a", 0, &named(&["10.77.0.2", "10.77.0.3"])),
    );
    node.sends_to(&["10.77.0.2", "10.77.0.3"]);
    other.ready("overlay");
}
