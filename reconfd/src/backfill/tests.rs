#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use RecordSource::{Cache, Cri};

pub fn hint(pod: &str) -> SandboxHint {
    SandboxHint {
        source: Cache,
        namespace: "tenant-a".into(),
        pod: pod.into(),
        uid: Some("6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e".into()),
        container: "c0ffee".into(),
        ifname: "eth0".into(),
        network: "cluster".into(),
        netns: "/run/netns/cni-1".into(),
        since: UNIX_EPOCH,
    }
}

fn pod(name: &str) -> PodName {
    ("tenant-a".into(), name.into())
}

#[test]
fn what_is_said_again_is_no_news() {
    let hints = Hints::default();
    assert_eq!(hints.put(Cache, "f", Some(hint("a"))), [pod("a")]);
    assert_eq!(hints.put(Cache, "f", Some(hint("a"))), []);
    assert_eq!(hints.put(Cache, "f", Some(hint("b"))), [pod("a"), pod("b")]);
    assert!(hints.of("tenant-a", "a").is_empty());
    assert_eq!(hints.put(Cache, "f", None), [pod("b")]);
    assert_eq!(hints.put(Cache, "f", None), []);
}

#[test]
fn one_source_forgets_nothing_of_another() {
    let hints = Hints::default();
    hints.put(Cache, "f", Some(hint("a")));
    hints.put(Cri, "f", Some(hint("a")));
    assert_eq!(hints.keep_only(Cri, |_| false), [pod("a")]);
    assert_eq!(hints.of("tenant-a", "a").len(), 1);
    assert_eq!(hints.keep_only(Cache, |name| name == "f"), []);
}

#[test]
fn the_newest_sandbox_comes_first_and_its_loopback_last() {
    let hints = Hints::default();
    let at = |name: &str, ifname: &str, seconds| {
        let hint = SandboxHint {
            ifname: ifname.into(),
            since: UNIX_EPOCH + Duration::from_secs(seconds),
            ..hint("a")
        };
        hints.put(Cache, name, Some(hint));
    };
    at("1", "eth0", 1);
    at("2", "lo", 2);
    at("3", "net1", 2);
    at("4", "eth0", 2);
    let order: Vec<String> = hints
        .of("tenant-a", "a")
        .iter()
        .map(|hint| hint.ifname.clone())
        .collect();
    assert_eq!(order, ["eth0", "net1", "lo", "eth0"]);
}

#[test]
fn a_flood_of_entries_stops_growing_and_others_are_still_heard() {
    let hints = Hints::default();
    for number in 0..MOST_HINTS + 10 {
        hints.put(Cache, &number.to_string(), Some(hint("a")));
    }
    assert_eq!(hints.of("tenant-a", "a").len(), MOST_HINTS);
    assert_eq!(hints.put(Cri, "x", Some(hint("b"))), [pod("b")]);
    assert_eq!(hints.put(Cache, "0", Some(hint("c"))), [pod("a"), pod("c")]);
}

#[test]
fn every_name_of_a_hint_is_judged() {
    type Spoil = fn(&mut SandboxHint);
    let cases: [Spoil; 7] = [
        |h| h.namespace = "a/b".into(),
        |h| h.pod = "line\nbreak".into(),
        |h| h.uid = Some("../x".into()),
        |h| h.container = "../../etc".into(),
        |h| h.ifname = "sixteen-bytes-16".into(),
        |h| h.network = String::new(),
        |h| h.netns = "/run/netns/../../proc/1/ns/net".into(),
    ];
    assert_eq!(hint("a").invalid_field(), None);
    for spoil in cases {
        let mut hint = hint("a");
        spoil(&mut hint);
        assert!(hint.invalid_field().is_some(), "{hint:?}");
    }
}
