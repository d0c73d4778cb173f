#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs};

use crds::report::RecordSource;
use kube::runtime::watcher::Event;
use sandbox_record::{RecordFolder, SCHEMA};
use store::{StoreWriter, scope::Scope};
use tempfile::TempDir;

use super::*;
use crate::podconfig::pods::unsupported::Unsupported;

const BOOT: &str = "0d1e2f3a-0000-4000-8000-000000000000";
const UID: &str = "6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e";

fn record(container: &str, second: u8, cookie: u64) -> Record {
    Record {
        schema: SCHEMA,
        pod_namespace: "tenant-a".into(),
        pod_name: "web-0".into(),
        pod_uid: Some(UID.into()),
        container_id: container.into(),
        ifname: "eth0".into(),
        network: "cluster".into(),
        netns: format!("/run/netns/{container}").into(),
        device: 4,
        inode: 4026532000,
        cookie,
        boot_id: BOOT.into(),
        addresses: Vec::new(),
        annotations: BTreeMap::new(),
        time: format!("2026-01-01T00:00:{second:02}.000000000Z"),
        since_boot: None,
    }
}

fn object(uid: Option<&str>, phase: &str) -> store::Pod {
    let mut pod = store::Pod::default();
    pod.metadata.namespace = Some("tenant-a".into());
    pod.metadata.name = Some("web-0".into());
    pod.metadata.uid = uid.map(Into::into);
    pod.status.phase = Some(phase.into());
    pod
}

struct Node {
    folder: RecordFolder,
    pods: Pods,
    writer: StoreWriter,
    stores: Stores,
    _root: TempDir,
}

impl Node {
    fn new(records: &[Record]) -> Self {
        let root = TempDir::new().unwrap();
        let folder = RecordFolder::new(root.path().join("records"));
        let writer = StoreWriter::of_api();
        let mut node = Self {
            pods: Pods::new(folder.clone(), Scope::default(), Unsupported::default()),
            folder,
            stores: writer.stores(),
            writer,
            _root: root,
        };
        for record in records {
            node.folder.write(record).unwrap();
        }
        node.pods.read_all();
        node
    }

    fn with_object(mut self, object: store::Pod) -> Self {
        self.writer.apply(&Event::Apply(object));
        self
    }

    /// The containers of the suspects.
    fn suspects(&self) -> Vec<String> {
        let suspects = self.pods.suspects(&self.stores, BOOT).into_iter();
        suspects
            .map(|(_, record)| record.container_id.clone())
            .collect()
    }
}

#[test]
fn the_sandbox_of_a_pod_that_runs_is_no_suspect() {
    for uid in [Some(UID), None] {
        let node = Node::new(&[record("c1", 1, 77)]).with_object(object(uid, "Running"));
        assert!(node.suspects().is_empty());
    }
}

#[test]
fn a_sandbox_whose_pod_has_ended_is_a_suspect() {
    let node = || Node::new(&[record("c1", 1, 77)]);
    assert_eq!(node().suspects(), ["c1"], "the object is gone");
    for phase in ["Succeeded", "Failed"] {
        assert_eq!(
            node().with_object(object(Some(UID), phase)).suspects(),
            ["c1"]
        );
    }
    let another = object(Some("another"), "Running");
    assert_eq!(node().with_object(another).suspects(), ["c1"]);
}

#[test]
fn an_earlier_sandbox_is_a_suspect_as_long_as_the_later_one_is_there() {
    let records = [record("c1", 1, 77), record("c2", 2, 78)];
    let mut node = Node::new(&records).with_object(object(Some(UID), "Running"));
    assert_eq!(node.suspects(), ["c1"]);
    node.pods.mark_gone("c2.eth0.json");
    assert_eq!(node.suspects(), ["c2"], "the one that is there goes before");
    node.pods.mark_gone("c1.eth0.json");
    assert!(
        node.suspects().is_empty(),
        "which of them comes back is unknown"
    );
    node.pods.is_there("c2.eth0.json");
    assert_eq!(node.suspects(), ["c1"]);
}

#[test]
fn sandboxes_without_a_pods_uid_are_distinguished_by_the_pods_name() {
    let without_uid = |container, second, cookie| Record {
        pod_uid: None,
        ..record(container, second, cookie)
    };
    let records = [without_uid("c1", 1, 77), without_uid("c2", 2, 78)];
    let node = Node::new(&records).with_object(object(Some(UID), "Running"));
    assert_eq!(node.suspects(), ["c1"]);
}

#[test]
fn a_second_interface_of_the_same_sandbox_makes_no_suspect() {
    let beside = Record {
        ifname: "net1".into(),
        ..record("c1", 2, 77)
    };
    let node = Node::new(&[record("c1", 1, 77), beside]);
    let node = node.with_object(object(Some(UID), "Running"));
    assert!(node.suspects().is_empty());
}

/// The clock was set back between the two, and the runtime has lost the first one's end.
#[test]
fn of_two_sandboxes_that_are_there_the_one_that_was_attached_later_counts() {
    let at = |container, second, cookie, since_boot| Record {
        since_boot,
        ..record(container, second, cookie)
    };
    let second = at("c2", 1, 70, Some(2_000));
    for first in [at("c1", 59, 77, Some(1_000)), at("c1", 59, 77, None)] {
        let node = Node::new(&[first, second.clone()]);
        let node = node.with_object(object(Some(UID), "Running"));
        let known = node.pods.recorded(UID, &node.stores).unwrap();
        assert_eq!(known.record.container_id, "c2");
        assert_eq!(node.suspects(), ["c1"]);
    }
}

#[test]
fn a_record_of_an_earlier_boot_is_a_suspect_whatever_the_object_says() {
    let earlier = Record {
        boot_id: "0d1e2f3a-0000-4000-8000-000000000001".into(),
        ..record("c1", 1, 77)
    };
    let node = Node::new(&[earlier]).with_object(object(Some(UID), "Running"));
    assert_eq!(node.suspects(), ["c1"]);
}

#[test]
fn what_was_only_found_is_not_in_the_folder_and_no_suspect() {
    let mut node = Node::new(&[]);
    node.pods
        .add_found(record("c1", 1, 77), RecordSource::Cache)
        .unwrap();
    assert!(node.suspects().is_empty());
}

/// A runtime that is started again may attach the same sandbox anew.
#[test]
fn a_record_that_was_written_while_it_was_judged_stays() {
    let mut node = Node::new(&[record("c1", 1, 77)]);
    let (file, judged) = node.pods.suspects(&node.stores, BOOT).remove(0);
    let newer = record("c1", 2, 79);
    node.folder.write(&newer).unwrap();
    assert_eq!(node.pods.delete(&file, &judged).unwrap(), None);
    assert_eq!(node.folder.read(&file).unwrap(), newer);
    assert!(node.pods.has(UID));
    assert_eq!(
        node.pods.delete(&file, &newer).unwrap().as_deref(),
        Some(UID)
    );
    assert!(!node.pods.has(UID));
    assert_eq!(fs::read_dir(node.folder.path()).unwrap().count(), 0);
}

#[test]
fn what_was_gone_for_a_while_starts_anew_when_it_is_seen_again_or_written_anew() {
    let mut node = Node::new(&[record("c1", 1, 77)]);
    let file = "c1.eth0.json";
    node.pods.mark_gone(file);
    assert!(node.pods.is_gone(UID) && node.pods.gone_for(file).is_some());
    node.pods.read_all();
    assert!(node.pods.gone_for(file).is_some(), "it is the same record");
    node.pods.unmark_newest_gone(UID);
    assert_eq!(node.pods.gone_for(file), None);
    node.pods.mark_gone(file);
    node.folder.write(&record("c1", 2, 79)).unwrap();
    node.pods.read_all();
    assert_eq!(node.pods.gone_for(file), None);
}

#[test]
fn each_change_of_pods_is_reported_once_and_by_namespace() {
    let mut node = Node::new(&[record("c1", 1, 77)]);
    assert_eq!(
        node.pods.take_changed().into_iter().collect::<Vec<_>>(),
        ["tenant-a"]
    );
    assert!(node.pods.take_changed().is_empty());
    node.pods.mark_gone("c1.eth0.json");
    assert_eq!(node.pods.take_changed().len(), 1);
    node.pods.mark_gone("c1.eth0.json");
    assert!(node.pods.take_changed().is_empty());
}
