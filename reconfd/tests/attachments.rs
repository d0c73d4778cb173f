//! `reconfd attachments`, as a process, over a store that the crate has written.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use attachments::{
    entry::{Deletion, Entry, NetnsId, Phase, PodRef, Requester, Why},
    folder::Folder,
};
use cni::{FrozenChain, FrozenPlugin};
use serde_json::{Value, json};

fn reconfd(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reconfd"))
        .arg("attachments")
        .arg("--state-dir")
        .arg(dir)
        .args(words)
        .output()
        .unwrap()
}

fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn entry(ifname: &str, phase: Phase) -> Entry {
    let plugin = |kind: &str| {
        let object = json!({"type": kind, "password": "secret"});
        FrozenPlugin::of(object.as_object().unwrap().clone()).unwrap()
    };
    Entry {
        chain: FrozenChain {
            network: "fast".into(),
            cni_version: "1.0.0".parse().unwrap(),
            plugins: vec![plugin("macvlan"), plugin("tuning")],
            disable_check: false,
            disable_gc: false,
            runtime_config: serde_json::Map::new(),
            args: vec![],
            container_id: "c0ffee".into(),
            ifname: ifname.into(),
            netns: "/run/netns/cni-1".into(),
            digests: Default::default(),
        },
        result: None,
        pod: PodRef {
            namespace: "tenant-a".into(),
            name: "web-0".into(),
            uid: "u1".into(),
        },
        requester: Requester::Annotation {
            definition: "tenant-a/fast".into(),
            element: "1".into(),
        },
        spec_hash: "1".into(),
        netns: NetnsId {
            boot_id: "b".into(),
            cookie: 1,
        },
        phase,
        order: 0,
        after: vec![],
        facts: Default::default(),
        gateways: Vec::new(),
        before: None,
        baseline: None,
    }
}

/// A store with one entry of each kind.
fn store(dir: &Path) -> Folder {
    let folder = Folder::of_installation(dir, "default");
    folder.create(&entry("net1", Phase::Attached)).unwrap();
    let deletion = Deletion {
        why: Why::PodEnded,
        was_attached: true,
        failures: 288,
        remaining: Some(BTreeSet::from([1])),
        failing_seconds: 86_400,
        error: "tuning: no such file\u{1b}[31m".into(),
    };
    let lost = entry("net2", Phase::Deleting(deletion));
    folder.create(&lost).unwrap();
    folder.lose(&lost.id()).unwrap();
    let torn = folder.entry_path("fast-c0ffee-net3");
    fs::write(&torn, "{").unwrap();
    fs::set_permissions(&torn, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

#[test]
fn the_table_has_what_is_attached_what_is_lost_and_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let table = stdout(reconfd(dir.path(), &[]));
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "POD",
            "INTERFACE",
            "NETWORK",
            "STATE",
            "CHANGED",
            "ID",
            "MESSAGE"
        ]
    );
    assert_eq!(
        lines[1][..4],
        ["tenant-a/web-0", "net1", "fast", "Attached"]
    );
    assert_eq!(lines[1][5..], ["fast-c0ffee-net1"]);
    assert_eq!(lines[2][..4], ["tenant-a/web-0", "net2", "fast", "Lost"]);
    assert!(
        table.contains(
            "fast-c0ffee-net2  the pod has ended; failed 288 times: tuning: no such file[31m\n"
        ),
        "{table}"
    );
    assert!(table.contains("Left alone"), "{table}");
    assert!(
        table.contains("results/fast-c0ffee-net3 is torn"),
        "{table}"
    );
    assert!(!table.contains("secret"), "{table}");
}

#[test]
fn json_has_the_same_and_no_configuration() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let text = stdout(reconfd(dir.path(), &["-o", "json"]));
    assert!(!text.contains("secret"), "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let rows = value["attachments"].as_array().unwrap();
    assert_eq!(rows[0]["state"], "Attached");
    assert_eq!(rows[0]["plugins"], json!(["macvlan", "tuning"]));
    assert!(
        rows[0]["changed"].as_str().unwrap().ends_with('Z'),
        "{text}"
    );
    assert_eq!(rows[1]["state"], "Lost");
    assert_eq!(rows[1]["deletion"]["remaining"], json!(["tuning"]));
    assert_eq!(rows[1]["deletion"]["why"], "podEnded");
    assert_eq!(value["unreadable"].as_array().unwrap().len(), 1);
}

#[test]
fn without_a_store_there_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(stdout(reconfd(dir.path(), &[])).lines().count(), 1);
    let text = stdout(reconfd(dir.path(), &["-o", "json"]));
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"attachments": [], "unreadable": []})
    );
}

#[test]
fn a_lost_attachment_is_forgotten_and_no_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = store(dir.path());
    let attached = stderr(reconfd(dir.path(), &["--forget", "fast-c0ffee-net1"]));
    assert!(
        attached.contains(
            "attachment fast-c0ffee-net1 is not lost, but Attached; only lost ones can be forgotten"
        ),
        "{attached}"
    );
    let unknown = stderr(reconfd(dir.path(), &["--forget", "fast-c0ffee-net9"]));
    assert!(
        unknown.contains("there is no attachment fast-c0ffee-net9"),
        "{unknown}"
    );
    let outside = stderr(reconfd(
        dir.path(),
        &["--forget", "../results/fast-c0ffee-net1"],
    ));
    assert!(outside.contains("no entry has such a name"), "{outside}");
    assert_eq!(folder.list().unwrap().entries.len(), 1);
    assert_eq!(folder.lost().unwrap().entries.len(), 1);
    stdout(reconfd(dir.path(), &["--forget", "fast-c0ffee-net2"]));
    assert!(folder.lost().unwrap().entries.is_empty());
    let again = stderr(reconfd(dir.path(), &["--forget", "fast-c0ffee-net2"]));
    assert!(again.contains("there is no attachment"), "{again}");
}

#[test]
fn another_installation_has_attachments_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let other = stdout(reconfd(dir.path(), &["--installation", "second"]));
    assert_eq!(other.lines().count(), 1);
}

#[test]
fn a_store_that_others_can_write_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = store(dir.path());
    fs::set_permissions(
        folder.path().join("results"),
        fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    let refused = stderr(reconfd(dir.path(), &[]));
    assert!(refused.contains("others may write it"), "{refused}");
}
