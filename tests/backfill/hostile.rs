//! Entries that nobody should trust: a namespace is the pod's when it is proved, and not before.

use std::{fs, os::unix::fs::symlink, time::Duration};

use serde_json::{Value, json};

use super::{unproved, wish};
use crate::support::{
    cache::CACHE,
    look::names,
    node::TestNode,
    pod::TestPod,
    wait::{seen, stays},
};

#[test]
fn a_namespace_without_the_pods_address_is_not_taken() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with_cache();
    let pod = node.cached_pod("tenant-a", "old");
    pod.shell("ip address flush dev lo; ip address add 10.88.99.99/16 dev lo");
    wish(&node, &pod);
    unproved(
        &pod,
        &format!("does not have the pod's {}", pod.primary_address()),
    );
    // An address that every namespace has proves nothing.
    let mut loopback = node.running_pod("tenant-a", "loopback");
    loopback.say(json!({"status": {"podIPs": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}}));
    loopback.shell("ip link set lo up");
    loopback.cache();
    wish(&node, &loopback);
    unproved(&loopback, "states no address");
}

#[test]
fn a_namespace_of_another_pod_is_not_taken() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with_cache();
    let recorded = node.bare_pod("tenant-b", "recorded");
    let cached = node.cached_pod("tenant-b", "cached");
    for (victim, address) in [(&recorded, "10.88.0.200"), (&cached, "10.88.0.201")] {
        victim.run(&[
            "ip",
            "address",
            "add",
            &format!("{address}/16"),
            "dev",
            "lo",
        ]);
        // Its own address is elsewhere.
        let evil = node.running_pod("tenant-a", &format!("evil-{}", victim.attachment.name));
        let mut entry = evil.entry();
        entry["netns"] = victim.attachment.netns.as_str().into();
        evil.cache_as(&entry);
        wish(&node, &evil);
        unproved(&evil, "does not have the pod's");
        // And if it states the very address, the namespace has its owner.
        let mut liar = node.running_pod("tenant-a", &format!("liar-{}", victim.attachment.name));
        liar.say(json!({"status": {"podIPs": [{"ip": address}]}}));
        let mut entry = liar.entry();
        entry["netns"] = victim.attachment.netns.as_str().into();
        liar.cache_as(&entry);
        wish(&node, &liar);
        unproved(&liar, "is that of another pod");
        assert_eq!(victim.find("data0"), None);
    }
}

#[test]
fn an_entry_that_outlived_its_pod_tells_nothing_of_the_next() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with_cache();
    // Another pod of that name, whose uid was another.
    let pod = node.running_pod("tenant-a", "web-0");
    let mut entry = pod.entry();
    entry["cniArgs"][2][1] = "00000000-0000-4000-9000-000000000001".into();
    pod.cache_as(&entry);
    wish(&node, &pod);
    unproved(&pod, "of an earlier pod");
    // A namespace that is gone, and one that has its place.
    let gone = node.running_pod("tenant-a", "web-1");
    let path = gone.entry()["netns"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    gone.run(&["ip", "address", "flush", "dev", "lo"]);
    gone.cache();
    wish(&node, &gone);
    unproved(&gone, &format!("{path} does not have"));
    gone.vanish();
    gone.cache_as(&json!({"torn": true}));
    gone.cache();
    super::eventually("the report says that it is gone", || {
        let told = gone.reported("data0").ok_or("no report")?;
        let message = told["message"].as_str().unwrap_or_default();
        seen(message.contains("No such file"), &told)
    });
}

/// Paths out of the folder, into the host, through links.
#[test]
fn an_entry_that_leads_elsewhere_is_not_followed() {
    let node = TestNode::builder().own_bridges().start();
    node.shell(
        "ip address add 10.88.0.99/16 dev lo
         ln -s /proc/1/ns/net /run/netns/link-to-host
         touch /run/netns/plain-file; mkfifo /run/netns/fifo; mkdir /run/netns/folder
         touch /run/netns/uts; mount --bind /proc/self/ns/uts /run/netns/uts
         touch /run/netns/host; mount --bind /proc/1/ns/net /run/netns/host",
    );
    let links = names(&node.ip(&["link", "show"]));
    let daemon = node.daemon_with_cache();
    let paths = [
        "/proc/1/ns/net",
        "/proc/self/ns/net",
        "/run/netns/link-to-host",
        "/run/netns/host",
        "/run/netns/../../proc/1/ns/net",
        "/run/netns/plain-file",
        "/run/netns/fifo",
        "/run/netns/folder",
        "/run/netns/uts",
        "/run/netns/podconfig",
        "/run/netns/never-was",
        "/run/netns",
        "/etc/passwd",
        "run/netns/host",
    ];
    for (number, path) in paths.into_iter().enumerate() {
        let mut pod = node.running_pod("tenant-a", &format!("evil-{number}"));
        // The node has this address, so only the door keeps it out.
        pod.say(json!({"status": {"podIPs": [{"ip": "10.88.0.99"}]}}));
        let mut entry = pod.entry();
        entry["netns"] = path.into();
        pod.cache_as(&entry);
        wish(&node, &pod);
        pod.reason("data0", "NoRecord");
    }
    // Links of pods are made in the switch: here nothing came, and there neither.
    assert_eq!(names(&node.ip(&["link", "show"])), links);
    let switch = names(&node.switch_ip(&["link", "show"]));
    assert!(
        !switch.iter().any(|name| name.starts_with("pc")),
        "{switch:?}"
    );
    assert!(daemon.is_alive());
}

/// Files that are no entries: the good ones beside them count as always, and nobody waits for them.
fn survives(node: &TestNode, healthy: &TestPod<'_>) {
    stays(
        "the healthy pod is linked",
        Duration::from_millis(200),
        || {
            let told = healthy.reported("data0").ok_or("no report")?;
            seen(told["reason"] == "LinkReady", &told)
        },
    );
    let fresh = node.cached_pod("tenant-a", "fresh");
    wish(node, &fresh);
    fresh.ready("data0");
}

#[test]
fn what_is_no_entry_disturbs_none_that_is_one() {
    let node = TestNode::builder().own_bridges().start();
    let healthy = node.cached_pod("tenant-a", "healthy");
    wish(&node, &healthy);
    let spoilt = node.running_pod("tenant-a", "spoilt");
    wish(&node, &spoilt);
    let whole = spoilt.entry().to_string();
    let at = |name: &str| node.path(CACHE).join(name);
    let spoil = |entry: &mut Value, field: &str, value: Value| entry[field] = value;
    node.cache("half", &whole.as_bytes()[..100]);
    node.cache("empty", b"");
    node.cache("binary", &[0xff; 4096]);
    node.cache("deep", "[".repeat(200_000).as_bytes());
    node.cache("copy", whole.as_bytes());
    node.cache("huge", b"");
    fs::File::options()
        .write(true)
        .open(at("huge"))
        .unwrap()
        .set_len(1 << 33)
        .unwrap();
    node.shell(&format!("mkfifo -m 600 {CACHE}/fifo; mkdir {CACHE}/folder"));
    symlink("/dev/zero", at("endless")).unwrap();
    symlink("fifo", at("link")).unwrap();
    for (field, value) in [
        ("netns", json!(7)),
        ("cniArgs", json!("K8S_POD_NAME=x")),
        ("containerId", json!("../../etc")),
        ("ifName", json!("sixteen-bytes-16")),
    ] {
        let mut entry = spoilt.entry();
        spoil(&mut entry, field, value);
        node.cache(&format!("wrong-{field}"), entry.to_string().as_bytes());
    }
    let daemon = node.daemon_with_cache();
    healthy.ready("data0");
    spoilt.reason("data0", "NoRecord");
    survives(&node, &healthy);
    assert!(daemon.is_alive());
    assert!(daemon.resident() < 64 << 20, "{}", daemon.resident());
}

#[test]
fn an_entry_that_others_may_write_or_that_is_a_link_is_not_read() {
    let node = TestNode::builder().own_bridges().start();
    let _daemon = node.daemon_with_cache();
    let writable = node.running_pod("tenant-a", "writable");
    let linked = node.running_pod("tenant-a", "linked");
    wish(&node, &writable);
    wish(&node, &linked);
    let hidden = node.cache(".hidden", writable.entry().to_string().as_bytes());
    node.shell(&format!("chmod 666 {CACHE}/.hidden"));
    fs::rename(hidden, node.path(CACHE).join(writable.entry_name())).unwrap();
    node.cache(".elsewhere", linked.entry().to_string().as_bytes());
    symlink(".elsewhere", node.path(CACHE).join(linked.entry_name())).unwrap();
    for pod in [&writable, &linked] {
        stays("nothing is taken", Duration::from_millis(300), || {
            let found = pod.find("data0");
            seen(found.is_none(), format!("{found:?}"))
        });
        pod.reason("data0", "NoRecord");
    }
}
