#![allow(clippy::unwrap_used)]

use std::{fs, sync::mpsc, time::Duration};

use dirwatch::FileEvent;
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn entry(pod: &str, container: &str) -> (String, String) {
    let content = json!({
        "kind": "cniCacheV1", "containerId": container, "ifName": "eth0", "networkName": "cluster",
        "netns": format!("/run/netns/{container}"),
        "cniArgs": [["K8S_POD_NAMESPACE", "tenant-a"], ["K8S_POD_NAME", pod]],
    });
    (format!("cluster-{container}-eth0"), content.to_string())
}

fn pod(name: &str) -> PodName {
    ("tenant-a".into(), name.into())
}

#[test]
fn what_is_there_at_the_start_is_known_and_what_comes_and_goes_is_told() {
    let root = TempDir::new().unwrap();
    let plant = |(name, content): (String, String)| {
        fs::write(root.path().join(name), content).unwrap();
    };
    plant(entry("first", "c1"));
    let (hints, (said, heard)) = (Hints::default(), mpsc::channel());
    let cache = CniCache::start(root.path(), hints.clone(), move |trigger| {
        said.send(trigger).unwrap();
    });
    let _cache = cache.unwrap();
    assert_eq!(hints.of("tenant-a", "first").len(), 1);
    let next = || heard.recv_timeout(Duration::from_secs(5)).unwrap();
    let of = |name: &str| Trigger::Hint {
        namespace: "tenant-a".into(),
        name: name.into(),
    };
    plant(entry("second", "c2"));
    assert_eq!(next(), of("second"));
    assert_eq!(hints.of("tenant-a", "second").len(), 1);
    fs::remove_file(root.path().join(entry("first", "c1").0)).unwrap();
    assert_eq!(next(), of("first"));
    assert!(hints.of("tenant-a", "first").is_empty());
}

#[test]
fn a_torn_entry_is_forgotten_and_the_others_stay() {
    let root = TempDir::new().unwrap();
    let (name, content) = entry("a", "c1");
    let (other, beside) = entry("b", "c2");
    fs::write(root.path().join(&name), &content).unwrap();
    fs::write(root.path().join(other), beside).unwrap();
    let hints = Hints::default();
    let mut reader = Reader::new(root.path(), hints.clone());
    assert_eq!(reader.read_all(), BTreeSet::from([pod("a"), pod("b")]));
    fs::write(root.path().join(&name), &content[..40]).unwrap();
    let names = [name.as_str(), "never-was"].map(|name| (name.into(), FileEvent::Written));
    let events = FolderEvents {
        names: BTreeMap::from(names),
        ..FolderEvents::default()
    };
    assert_eq!(reader.take(&events), BTreeSet::from([pod("a")]));
    assert!(reader.bad.contains_key(&name));
    assert!(hints.of("tenant-a", "a").is_empty());
    assert_eq!(hints.of("tenant-a", "b").len(), 1);
}

#[test]
fn a_folder_that_is_gone_has_no_entries_and_one_that_is_none_proves_nothing() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("results");
    fs::create_dir(&folder).unwrap();
    let (name, content) = entry("a", "c1");
    fs::write(folder.join(name), content).unwrap();
    let hints = Hints::default();
    let mut reader = Reader::new(&folder, hints.clone());
    reader.read_all();
    fs::rename(&folder, root.path().join("elsewhere")).unwrap();
    fs::write(&folder, "no folder").unwrap();
    assert!(reader.read_all().is_empty());
    assert_eq!(hints.of("tenant-a", "a").len(), 1);
    fs::remove_file(&folder).unwrap();
    assert_eq!(reader.read_all(), BTreeSet::from([pod("a")]));
    assert!(hints.of("tenant-a", "a").is_empty());
}
