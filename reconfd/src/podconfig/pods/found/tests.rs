#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use sandbox_record::{RecordFolder, netns::Identity};
use store::{StoreWriter, scope::Scope};
use tempfile::TempDir;

use super::*;
use crate::podconfig::pods::unsupported::Unsupported;
use kube::runtime::watcher::Event;

const UID: &str = "6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e";

fn hint(container: &str, seconds: u64) -> SandboxHint {
    SandboxHint {
        source: RecordSource::Cache,
        namespace: "tenant-a".into(),
        pod: "web-0".into(),
        uid: Some(UID.into()),
        container: container.into(),
        ifname: "eth0".into(),
        network: "cluster".into(),
        netns: format!("/run/netns/{container}").into(),
        since: UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

fn object() -> store::Pod {
    let mut pod = store::Pod::default();
    pod.metadata.namespace = Some("tenant-a".into());
    pod.metadata.name = Some("web-0".into());
    pod.metadata.uid = Some(UID.into());
    pod
}

fn proved(cookie: u64) -> VerifiedNetns {
    VerifiedNetns {
        identity: Identity {
            device: 4,
            inode: 4026532000,
            cookie,
        },
        addresses: vec!["10.88.0.7/16".parse().unwrap()],
    }
}

fn found(container: &str, seconds: u64, cookie: u64) -> Record {
    let boot = "0d1e2f3a-0000-4000-8000-000000000000";
    record_of(&hint(container, seconds), &object(), &proved(cookie), boot)
}

struct Node {
    root: TempDir,
    pods: Pods,
    stores: Stores,
    writer: StoreWriter,
}

impl Node {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let folder = RecordFolder::new(root.path().join("records"));
        let mut writer = StoreWriter::default();
        let stores = writer.stores();
        writer.apply(&Event::Apply(object()));
        Self {
            root,
            pods: Pods::new(folder, Scope::default(), Unsupported::default()),
            stores,
            writer,
        }
    }

    fn add_found(&mut self, record: Record) {
        self.pods.add_found(record, RecordSource::Cache).unwrap();
    }

    /// The plugin's own word.
    fn write(&mut self, record: &Record) {
        let folder = RecordFolder::new(self.root.path().join("records"));
        let name = folder.write(record).unwrap();
        self.pods.read(&name);
    }

    /// The container of the record that counts, and its source.
    fn known(&self) -> Option<(String, RecordSource)> {
        let known = self.pods.recorded(UID, &self.stores)?;
        assert_eq!(known.trouble, None);
        let by = known.pod.recorded_by.unwrap();
        Some((known.record.container_id.clone(), by))
    }

    fn lost(&self) -> usize {
        self.pods.without_record("tenant-a", &self.stores).len()
    }
}

fn by_cache(container: &str) -> Option<(String, RecordSource)> {
    Some((container.into(), RecordSource::Cache))
}

#[test]
fn a_found_record_is_a_record_until_nothing_tells_of_it() {
    let mut node = Node::new();
    assert_eq!(node.lost(), 1);
    node.add_found(found("c1", 1, 77));
    assert_eq!(node.known(), by_cache("c1"));
    assert_eq!((node.lost(), node.pods.count()), (0, 1));
    assert_eq!(node.pods.counts().map(|(_, pods)| pods), [0, 1, 0]);
    let none: [String; 0] = [];
    assert_eq!(node.pods.retain_hinted("tenant-a", |_, _| true), none);
    assert_eq!(node.pods.retain_hinted("tenant-b", |_, _| false), none);
    assert_eq!(node.pods.retain_hinted("tenant-a", |_, _| false), [UID]);
    assert_eq!(node.known(), None);
    assert_eq!(node.lost(), 1);
}

#[test]
fn the_folder_is_read_again_without_what_is_not_in_it_being_lost() {
    let mut node = Node::new();
    node.add_found(found("c1", 1, 77));
    node.pods.read_all();
    assert_eq!(node.known(), by_cache("c1"));
}

#[test]
fn the_plugins_record_of_the_same_sandbox_takes_the_place_of_a_found_one() {
    let mut node = Node::new();
    let beside = Record {
        ifname: "net1".into(),
        ..found("c1", 2, 77)
    };
    node.add_found(beside);
    node.write(&found("c1", 1, 77));
    let by_plugin = Some(("c1".into(), RecordSource::Plugin));
    assert_eq!(node.known(), by_plugin);
    node.pods.read_all();
    assert_eq!(node.known(), by_plugin);
    assert_eq!(node.pods.records.all().count(), 1);
}

#[test]
fn the_plugins_record_of_a_later_sandbox_counts_and_that_of_an_earlier_one_does_not() {
    let mut node = Node::new();
    node.add_found(found("c2", 2, 78));
    node.write(&found("c1", 1, 77));
    assert_eq!(node.known(), by_cache("c2"));
    node.write(&found("c3", 3, 79));
    assert_eq!(node.known(), Some(("c3".into(), RecordSource::Plugin)));
    assert_eq!(node.pods.counts().map(|(_, pods)| pods), [1, 0, 0]);
}

#[test]
fn a_pod_whose_recorded_namespace_is_gone_may_be_found_elsewhere() {
    let mut node = Node::new();
    node.write(&found("c1", 1, 77));
    assert_eq!(node.lost(), 0);
    assert!(!node.pods.mark_newest_gone(UID));
    assert_eq!(node.lost(), 1);
    node.add_found(found("c2", 2, 78));
    assert_eq!(node.lost(), 0);
    assert_eq!(node.known(), by_cache("c2"));
}

/// In the runtime's own files the sandbox is there a little longer, and so may be its namespace.
#[test]
fn a_sandbox_whose_record_the_plugin_took_away_is_ending() {
    let mut node = Node::new();
    node.write(&found("c1", 1, 77));
    let folder = RecordFolder::new(node.root.path().join("records"));
    folder.remove("c1", "eth0").unwrap();
    assert_eq!(node.pods.namespace_of("c1.eth0.json").unwrap(), "tenant-a");
    node.pods.read("c1.eth0.json");
    assert_eq!(node.pods.namespace_of("c1.eth0.json"), None);
    assert!(node.pods.has_just_ended("c1"));
    assert!(!node.pods.has_just_ended("c2"));
    // What was only found was nothing that the plugin could take away.
    node.add_found(found("c2", 2, 78));
    node.pods.read("c2.eth0.json");
    assert!(!node.pods.has_just_ended("c2"));
}

#[test]
fn a_found_record_whose_namespace_is_gone_is_none_any_more() {
    let mut node = Node::new();
    node.add_found(found("c1", 1, 77));
    assert!(!node.pods.mark_newest_gone(UID));
    assert_eq!(node.known(), None);
    assert_eq!(node.lost(), 1);
}

#[test]
fn a_namespace_that_is_anothers_has_an_owner() {
    let mut node = Node::new();
    node.add_found(found("c1", 1, 77));
    let owner = |cookie, uid| node.pods.other_owner(&found("c2", 2, cookie), uid);
    assert_eq!(owner(77, UID), None);
    assert_eq!(owner(77, "another").as_deref(), Some(UID));
    assert_eq!(owner(78, "another"), None);
}

#[test]
fn a_pod_whose_containers_have_ended_is_not_looked_for() {
    let mut node = Node::new();
    let mut ended = object();
    ended.status.phase = Some("Succeeded".into());
    node.writer.apply(&Event::Apply(ended));
    assert_eq!(node.lost(), 0);
    let unrecorded = node.pods.unrecorded("tenant-a", &node.stores);
    assert!(unrecorded.is_empty());
}

#[test]
fn an_address_that_every_namespace_has_distinguishes_none_from_another() {
    let mut pod = object();
    let addresses = [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.1.1",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "",
        "10.0.0.1/24",
        "nonsense",
        "10.88.0.7",
        "fd00::7",
    ];
    pod.status.pod_ips = addresses
        .map(|ip| store::pod::PodIp { ip: ip.into() })
        .into();
    let stated: Vec<String> = stated_addresses(&pod)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(stated, ["10.88.0.7", "fd00::7"]);
}
