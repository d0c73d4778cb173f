#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sandbox_record::{SCHEMA, now};

use super::*;

const BOOT: &str = "0d1e2f3a-0000-4000-8000-000000000000";

fn record(pod: u8, sandbox: u8, cookie: u64) -> Record {
    Record {
        schema: SCHEMA,
        pod_namespace: format!("tenant-{}", pod % 2),
        pod_name: format!("web-{}", pod % 3),
        pod_uid: (pod != 0).then(|| format!("uid-{pod}")),
        container_id: format!("c{sandbox}"),
        ifname: "eth0".into(),
        network: "cluster".into(),
        netns: format!("/run/netns/{sandbox}").into(),
        device: 4,
        inode: 4026532000,
        cookie,
        boot_id: BOOT.into(),
        addresses: Vec::new(),
        annotations: BTreeMap::new(),
        time: now(),
        since_boot: None,
    }
}

fn files<'r>(found: impl Iterator<Item = (&'r String, &'r Arc<Record>)>) -> Vec<&'r String> {
    found.map(|(file, _)| file).collect()
}

/// Every lookup says what a walk over all records would say.
fn holds(index: &RecordIndex) {
    let all: Vec<(&String, &Arc<Record>)> = index.all().collect();
    let walk = |is: &dyn Fn(&Record) -> bool| -> Vec<&String> {
        let found = all.iter().filter(|(_, record)| is(record));
        found.map(|(file, _)| *file).collect()
    };
    for (_, record) in &all {
        let uid = uid_of(record);
        assert_eq!(
            files(index.of_pod(&uid)),
            walk(&|other| uid_of(other) == uid)
        );
        let (namespace, name) = (&record.pod_namespace, &record.pod_name);
        let same = |other: &Record| (&other.pod_namespace, &other.pod_name) == (namespace, name);
        assert_eq!(files(index.of_name(namespace, name)), walk(&same));
        let here = walk(&|other| other.pod_namespace == *namespace);
        assert_eq!(index.in_namespace(namespace).count(), here.len());
        let owner = index.owner(BOOT, record.cookie).unwrap();
        let owners = all
            .iter()
            .filter(|(_, other)| other.cookie == record.cookie);
        assert!(
            owners
                .map(|(_, other)| uid_of(other))
                .any(|uid| uid == owner)
        );
    }
    let uids: BTreeSet<String> = all.iter().map(|(_, record)| uid_of(record)).collect();
    assert_eq!(index.uids().cloned().collect::<BTreeSet<_>>(), uids);
    assert_eq!(index.pods(), uids.len());
}

proptest! {
    #[test]
    fn lookups_agree_with_a_walk_over_all_records(
        steps in prop::collection::vec((any::<bool>(), 0u8..6, 0u8..6, 1u64..4), 0..40),
    ) {
        let mut index = RecordIndex::default();
        for (comes, pod, sandbox, cookie) in steps {
            let file = format!("c{sandbox}.eth0.json");
            match comes {
                true => index.insert(file, Arc::new(record(pod, sandbox, cookie))),
                false => drop(index.remove(&file)),
            }
            holds(&index);
        }
        let left: Vec<String> = index.all().map(|(file, _)| file.clone()).collect();
        left.iter().for_each(|file| drop(index.remove(file)));
        prop_assert!(index.by_uid.is_empty() && index.by_name.is_empty());
        prop_assert!(index.by_container.is_empty() && index.by_netns.is_empty());
    }
}

#[test]
fn a_cookie_of_an_earlier_boot_is_another_namespace() {
    let mut index = RecordIndex::default();
    let earlier = Record {
        boot_id: "0d1e2f3a-0000-4000-8000-000000000001".into(),
        ..record(1, 1, 77)
    };
    index.insert("c1.eth0.json".into(), Arc::new(earlier));
    index.insert("c2.eth0.json".into(), Arc::new(record(2, 2, 77)));
    assert_eq!(index.owner(BOOT, 77).as_deref(), Some("uid-2"));
}

#[test]
fn the_round_over_all_pods_begins_anew_behind_the_last() {
    let mut index = RecordIndex::default();
    for pod in 1..4 {
        let file = format!("c{pod}.eth0.json");
        index.insert(file, Arc::new(record(pod, pod, pod.into())));
    }
    let after = |uid| index.uid_after(uid).map(String::as_str);
    assert_eq!(after(None), Some("uid-1"));
    assert_eq!(after(Some("uid-1")), Some("uid-2"));
    assert_eq!(after(Some("uid-3")), Some("uid-1"));
    assert_eq!(RecordIndex::default().uid_after(None), None);
}
