//! Records that nobody should trust: told, never followed, never the end of the daemon.

/// Records of sandboxes that have ended.
mod dead;
/// The files themselves, and whose they are.
mod files;

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    look::{index, names},
    manifests::config,
    node::TestNode,
    pod::TestPod,
    wait::{eventually, seen, stays},
};

/// A healthy pod, and a node whose own links are remembered; after the story the daemon must
/// serve a new wish, and the node's own namespace must be as it was.
fn survives(story: impl FnOnce(&TestNode, &TestPod<'_>, &Daemon)) {
    let node = TestNode::new();
    node.add_bridge("br-lan", "192.168.7.1/24");
    node.allow_everything();
    let daemon = node.daemon();
    let pod = node.connected("tenant-a", "healthy", "10.1.0.1/24");
    let before = index(&pod.ready("data0"));
    let links = names(&node.ip(&["link", "show"]));
    story(&node, &pod, &daemon);
    assert!(daemon.is_alive());
    assert_eq!(index(&pod.link("data0")), before);
    assert_eq!(
        names(&node.ip(&["link", "show"])),
        links,
        "the node's own namespace was touched"
    );
    let fresh = node.connected("tenant-a", "fresh", "10.1.0.200/24");
    fresh.ready("data0");
    let home: Vec<String> = daemon.thread_namespaces();
    assert!(
        home.windows(2).all(|pair| pair[0] == pair[1]),
        "a thread was left in a pod's namespace: {home:?}"
    );
}

fn content(pod: &TestPod<'_>) -> Value {
    serde_json::from_slice(&fs::read(pod.record()).unwrap()).unwrap()
}

/// A record file's name, with the healthy pod's container id replaced.
fn file_name(pod: &TestPod<'_>, container: &str) -> String {
    let name = pod
        .record()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    name.replace(&pod.attachment.container, container)
}

/// A pod object that only a hostile record speaks of, with a wish for it.
fn wish_for(node: &TestNode, name: &str, uid: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "tenant-a", "name": name, "uid": uid, "labels": {"pod": name}},
    });
    node.apply(&format!("pod-{name}"), &pod.to_string());
    let links = "[{name: evil0, veth: {bridge: blue}}]";
    node.apply(
        &format!("wish-{name}"),
        &config("tenant-a", name, name, links),
    );
}

/// Plants a changed copy of the healthy record for a pod of its own, and waits for the verdict.
fn plant(
    node: &TestNode,
    healthy: &TestPod<'_>,
    number: usize,
    change: impl FnOnce(&mut Value),
) -> String {
    let (name, container) = (format!("evil-{number}"), format!("{number:0>64}"));
    let uid = format!("00000000-0000-4000-9000-{number:012}");
    let mut record = content(healthy);
    record["podName"] = name.as_str().into();
    record["podUid"] = uid.as_str().into();
    record["containerId"] = container.as_str().into();
    change(&mut record);
    wish_for(node, &name, &uid);
    node.plant_record(
        &file_name(healthy, &container),
        record.to_string().as_bytes(),
    );
    eventually(&format!("{record} is told"), || {
        let report = node.report("tenant-a", &name).ok_or("no report")?;
        let reason = report["status"]["links"][0]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let told = ["BadRecord", "NamespaceGone", "NoRecord"].contains(&reason.as_str());
        seen(told, &report).map(|()| reason)
    })
}

/// Attack 7: wrong JSON types, one field after the other.
#[test]
fn a_record_with_a_field_of_the_wrong_kind_is_not_believed() {
    survives(|node, healthy, _| {
        let wrong = [
            ("netns", json!(7)),
            ("netns", json!(["/run/netns"])),
            ("cookie", json!("many")),
            ("cookie", json!(-1)),
            ("cookie", json!(1e300)),
            ("cookie", Value::Null),
            ("inode", json!({})),
            ("device", json!(0.5)),
            ("schema", json!(99)),
            ("bootId", json!("another-boot")),
            ("addresses", json!("10.0.0.1")),
            ("annotations", json!([1, 2])),
        ];
        for (number, (field, value)) in wrong.into_iter().enumerate() {
            plant(node, healthy, number, |record| record[field] = value);
        }
    });
}

/// Attacks 5 and 7: paths out of the folder, into the host, through links.
#[test]
fn a_record_that_leads_elsewhere_is_not_followed() {
    survives(|node, healthy, _| {
        node.shell(
            "ln -s /proc/1/ns/net /run/netns/link-to-host
             touch /run/netns/plain-file; mkfifo /run/netns/fifo; mkdir /run/netns/folder
             touch /run/netns/uts; mount --bind /proc/self/ns/uts /run/netns/uts
             touch /run/netns/host; mount --bind /proc/1/ns/net /run/netns/host",
        );
        let paths = [
            "/proc/1/ns/net",
            "/proc/self/ns/net",
            "/run/netns/link-to-host",
            "/run/netns/host",
            "/run/netns/../../proc/1/ns/net",
            "/run/netns/./../netns/host",
            "/run/netns/plain-file",
            "/run/netns/fifo",
            "/run/netns/folder",
            "/run/netns/uts",
            "/run/netns/podconfig",
            "/run/netns/never-was",
            "/run/netns",
            "/etc/passwd",
            "run/netns/host",
            "",
        ];
        for (number, path) in paths.into_iter().enumerate() {
            plant(node, healthy, number, |record| {
                record["netns"] = path.into()
            });
        }
    });
}

/// Attack 5: the node's own namespace, with its true identity, as a pod with hostNetwork would have it.
#[test]
fn a_record_of_the_nodes_own_namespace_is_refused_although_all_of_it_is_true() {
    survives(|node, healthy, _| {
        node.shell("touch /run/netns/host; mount --bind /proc/1/ns/net /run/netns/host");
        let file = node.path("/run/netns/host");
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
        let cookie = cookie_of(&file);
        plant(node, healthy, 1, |record| {
            record["netns"] = "/run/netns/host".into();
            record["inode"] = inode.into();
            record["cookie"] = cookie.into();
        });
    });
}

fn cookie_of(netns: &Path) -> u64 {
    let socket = crate::support::enter::with_netns(netns, || {
        std::net::UdpSocket::bind("0.0.0.0:0").unwrap()
    });
    crate::support::wire::netns_cookie(&socket)
}

/// Attack 7: a record for another pod: its namespace under a name that somebody else may configure.
#[test]
fn a_record_that_claims_another_pods_namespace_is_refused() {
    survives(|node, healthy, _| {
        let victim = node.bare_pod("tenant-b", "victim");
        let mut record = content(&victim);
        record["podNamespace"] = "tenant-a".into();
        record["podName"] = "evil".into();
        record["podUid"] = "00000000-0000-4000-9000-000000000001".into();
        record["containerId"] = "e".repeat(64).into();
        wish_for(node, "evil", "00000000-0000-4000-9000-000000000001");
        node.plant_record(
            &file_name(healthy, &"e".repeat(64)),
            record.to_string().as_bytes(),
        );
        stays(
            "the victim gets no link of another tenant",
            Duration::from_millis(300),
            || {
                let found = victim.find("evil0");
                seen(found.is_none(), format!("{found:?}"))
            },
        );
    });
}

/// Sandboxes of a pod are told apart by whether they are there; the clock only helps.
#[test]
fn a_clock_that_was_set_back_does_not_make_a_dead_sandbox_the_current_one() {
    survives(|node, healthy, _| {
        let mut pod = node.connected("tenant-a", "twice", "10.1.0.7/24");
        pod.ready("data0");
        let (mut dead, record) = (content(&pod), pod.record());
        let first = pod.attachment.container.clone();
        pod.restart_sandbox();
        let before = index(&pod.link("data0"));
        dead["time"] = "2999-01-01T00:00:00.000000000Z".into();
        let dead = dead.to_string();
        let name = record.file_name().unwrap().to_string_lossy();
        node.plant_record(&name, dead.as_bytes());
        // A later pod of that name, if it were so: the pod's object knows better.
        let other = dead
            .replace(&pod.attachment.uid, "00000000-0000-4000-9000-000000000002")
            .replace(&first, &"d".repeat(64));
        node.plant_record(&file_name(healthy, &"d".repeat(64)), other.as_bytes());
        stays("the link stays", Duration::from_millis(1500), || {
            let link = pod.find("data0").ok_or("no link")?;
            seen(index(&link) == before, link)
        });
        let told = pod.report().unwrap();
        assert_eq!(
            told["status"]["sandbox"],
            pod.attachment.container.as_str(),
            "{told}"
        );
        assert_eq!(told["status"]["links"][0]["reason"], "LinkReady", "{told}");
    });
}

/// Cookies do not tell either: each processor has its own run of them.
#[test]
fn of_two_living_sandboxes_the_later_one_has_the_links_whatever_the_clock_said() {
    survives(|node, _, _| {
        let mut pod = node.connected("tenant-a", "twice", "10.1.0.7/24");
        let mut ahead = content(&pod);
        pod.ready("data0");
        ahead["time"] = "2999-01-01T00:00:00.000000000Z".into();
        let name = pod
            .record()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        node.plant_record(&name, ahead.to_string().as_bytes());
        let first = pod.netns();
        pod.lose_end_of_sandbox();
        pod.link("data0");
        let links = node.run(&[
            "ip",
            "netns",
            "exec",
            first.file_name().unwrap().to_str().unwrap(),
            "ip",
            "-br",
            "link",
        ]);
        assert!(!links.contains("data0"), "{links}");
    });
}

/// The inode number is reused within seconds; the cookie never.
#[test]
fn a_record_whose_namespace_was_recycled_is_not_believed() {
    survives(|node, healthy, _| {
        let gone = node.bare_pod("tenant-a", "gone");
        let path = gone.attachment.netns.clone();
        let record = content(&gone);
        node.connect("tenant-a", "gone", "data0", "10.1.0.7/24");
        gone.ready("data0");
        gone.vanish();
        // Another pod's namespace now has the path, and its inode is written into the old record.
        node.run(&["ip", "netns", "add", path.rsplit('/').next().unwrap()]);
        let mut lying = record;
        lying["inode"] =
            std::os::unix::fs::MetadataExt::ino(&fs::metadata(node.path(&path)).unwrap()).into();
        let name = gone
            .record()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        node.plant_record(&name, lying.to_string().as_bytes());
        stays(
            "the new namespace gets nothing",
            Duration::from_millis(300),
            || {
                let links = gone.run(&["ip", "-br", "link"]);
                seen(!links.contains("data0"), links)
            },
        );
        gone.reason("data0", "NamespaceGone");
        let _ = healthy;
    });
}
