#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::mpsc,
    time::Instant,
};

use address::{
    claims::{
        AddressRequest, Allocation, LinkKey,
        claim_meta::{ClaimName, placeholder},
        protocol::{ClaimRequest, ClaimResponse},
    },
    range::Range,
};
use crds::Reason;
use serde_json::json;
use tempfile::TempDir;

use super::{file::name_of, *};

struct Daemon {
    claims: ClaimAllocator,
    triggers: mpsc::Receiver<Trigger>,
    _keeping: ClaimWorker,
}

fn daemon(folder: &TempDir, node: &str, rest: u64) -> Daemon {
    let state = AllocatorState::new(node, "default", Duration::from_secs(rest));
    let (tell, triggers) = mpsc::channel();
    let notify = move |trigger| drop(tell.send(trigger));
    let (claims, worker) = start(folder.path(), node, state, |_, _| (), notify).unwrap();
    Daemon {
        claims,
        triggers,
        _keeping: worker,
    }
}

fn link_key(pod: &str, uid: &str) -> LinkKey {
    LinkKey {
        namespace: "t".into(),
        pod: pod.into(),
        uid: uid.into(),
        link: "data0".into(),
    }
}

fn range(value: serde_json::Value) -> Range {
    Range::new(&serde_json::from_value(value).unwrap()).unwrap()
}

fn of_range(cidr: &str) -> AddressRequest {
    AddressRequest {
        domain: "cluster".into(),
        ranges: vec![range(json!({"cidr": cidr}))],
        ..AddressRequest::default()
    }
}

fn of_address(address: &str) -> AddressRequest {
    AddressRequest {
        domain: "cluster".into(),
        addresses: vec![address.parse().unwrap()],
        ..AddressRequest::default()
    }
}

fn held(allocation: Allocation) -> Vec<IpAddr> {
    match allocation {
        Allocation::Held(addresses) => addresses,
        other => panic!("{other:?}"),
    }
}

fn keeps(addresses: &[IpAddr]) -> BTreeMap<String, BTreeSet<IpAddr>> {
    BTreeMap::from([("data0".to_owned(), addresses.iter().copied().collect())])
}

#[test]
fn a_range_is_given_out_once_and_told_with_numbers_when_it_is_full() {
    let folder = TempDir::new().unwrap();
    let daemons = [daemon(&folder, "n0", 30), daemon(&folder, "n1", 30)];
    let request = of_range("10.99.0.0/27");
    let mut all = BTreeSet::new();
    for number in 0..30 {
        let key = link_key(&format!("p{number}"), &format!("uid-{number}"));
        all.extend(held(daemons[number % 2].claims.allocate(&key, &request)));
    }
    assert_eq!(all.len(), 30);
    let refused = daemons[0]
        .claims
        .allocate(&link_key("late", "late"), &request);
    let Allocation::Refused(Reason::RangeFull, words) = refused else {
        panic!("{refused:?}");
    };
    assert!(words.contains("30 of 30 in use, 0 resting"), "{words}");
    assert!(
        words.contains("the oldest claim is that of pod p"),
        "{words}"
    );
}

#[test]
fn a_held_address_stays_and_what_is_no_longer_asked_for_rests() {
    let folder = TempDir::new().unwrap();
    let daemon = daemon(&folder, "n0", 30);
    let me = link_key("a", "uid-a");
    let first = held(daemon.claims.allocate(&me, &of_range("10.99.0.0/24")));
    assert_eq!(
        first,
        held(daemon.claims.allocate(&me, &of_range("10.99.0.0/24")))
    );
    let second = held(daemon.claims.allocate(&me, &of_range("10.98.0.0/24")));
    daemon.claims.retain("uid-a", &keeps(&second));
    assert_eq!(daemon.claims.counts().held, 1);
    assert_eq!(daemon.claims.counts().resting, 1);
    daemon.claims.release_pod("uid-a");
    assert_eq!(daemon.claims.counts().held, 0);
    assert!(daemon.claims.holders().is_empty());
}

#[test]
fn a_static_address_is_refused_by_name_until_it_is_free() {
    let folder = TempDir::new().unwrap();
    let daemon = daemon(&folder, "n0", 0);
    let request = of_address("10.99.0.5");
    held(daemon.claims.allocate(&link_key("a", "uid-a"), &request));
    let refused = daemon.claims.allocate(&link_key("b", "uid-b"), &request);
    let Allocation::Refused(Reason::AddressTaken, words) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        words.starts_with("10.99.0.5 is held by pod a (domain cluster)"),
        "{words}"
    );
    daemon.claims.release_pod("uid-a");
    // Whoever else is told of something meanwhile does not matter.
    let has_it = || {
        matches!(
            daemon.claims.allocate(&link_key("b", "uid-b"), &request),
            Allocation::Held(_)
        )
    };
    let news = || {
        daemon
            .triggers
            .recv_timeout(Duration::from_secs(5))
            .unwrap()
    };
    while news()
        != (Trigger::Claims {
            uid: "uid-b".into(),
        })
        || !has_it()
    {}
}

#[test]
fn a_pod_that_comes_back_has_its_address_at_once_and_another_waits_for_it() {
    let folder = TempDir::new().unwrap();
    let [first, second] = [daemon(&folder, "n0", 30), daemon(&folder, "n1", 30)];
    let request = AddressRequest {
        may_return: true,
        ..of_range("10.99.0.0/24")
    };
    let before = held(first.claims.allocate(&link_key("db-0", "uid-1"), &request));
    first.claims.release_pod("uid-1");
    let static_one = of_address(&before[0].to_string());
    let other = first
        .claims
        .allocate(&link_key("other", "uid-2"), &static_one);
    assert!(
        matches!(other, Allocation::Refused(Reason::AddressTaken, _)),
        "{other:?}"
    );
    assert_eq!(
        before,
        held(second.claims.allocate(&link_key("db-0", "uid-3"), &request))
    );
}

#[test]
fn a_restart_knows_what_is_held_and_frees_what_has_rested() {
    let folder = TempDir::new().unwrap();
    let request = of_range("10.99.0.0/24");
    let before = {
        let daemon = daemon(&folder, "n0", 1);
        let gone = link_key("gone", "uid-gone");
        held(daemon.claims.allocate(&gone, &request));
        daemon.claims.release_pod("uid-gone");
        held(daemon.claims.allocate(&link_key("a", "uid-a"), &request))
    };
    let daemon = daemon(&folder, "n0", 1);
    assert_eq!(
        daemon.claims.holders(),
        BTreeSet::from(["uid-a".to_owned()])
    );
    assert_eq!(
        before,
        held(daemon.claims.allocate(&link_key("a", "uid-a"), &request))
    );
    let start = Instant::now();
    while daemon.claims.counts().resting > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "it still rests");
        std::thread::sleep(Duration::from_millis(10));
    }
    daemon.claims.sweep(&BTreeSet::from(["uid-a".to_owned()]));
    assert_eq!(daemon.claims.counts().held, 1);
    daemon.claims.sweep(&BTreeSet::new());
    assert_eq!(
        daemon.claims.counts().held,
        0,
        "that it has executor says nothing"
    );
}

#[test]
fn a_file_that_nobody_can_read_keeps_its_address_from_everybody() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cluster.10.99.0.1.yaml"), "{").unwrap();
    let daemon = daemon(&folder, "n0", 0);
    let request = of_range("10.99.0.0/30");
    let got = held(daemon.claims.allocate(&link_key("a", "uid-a"), &request));
    assert_eq!(got, ["10.99.0.2".parse::<IpAddr>().unwrap()]);
    let pending = daemon
        .claims
        .allocate(&link_key("b", "uid-b"), &of_address("10.99.0.1"));
    let Allocation::Pending(words) = pending else {
        panic!("{pending:?}");
    };
    assert!(words.contains("counts as taken"), "{words}");
}

/// Daemons of two nodes can have one process id, each in a PID namespace of its own.
#[test]
fn two_writers_with_one_process_id_write_no_claim_of_each_other() {
    let folder = TempDir::new().unwrap();
    let create = |network: u8| {
        let claims = ClaimFolder::new(folder.path());
        for number in 1..=250 {
            let name = ClaimName::parse(&format!("cluster.10.99.{network}.{number}")).unwrap();
            let response = claims.execute(&ClaimRequest::Create(placeholder(&name).into()));
            assert!(matches!(response, ClaimResponse::Claim(_)), "{response:?}");
            let response = ClaimFolder::new(folder.path()).execute(&ClaimRequest::Get(name));
            assert!(matches!(response, ClaimResponse::Claim(_)), "{response:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| create(1));
        scope.spawn(|| create(2));
    });
}

#[test]
fn names_of_files_are_names_of_claims() {
    for name in [
        "cluster.10.99.0.1.yaml",
        "a-b.fd99.0000.0000.0000.0000.0000.0000.0001.yaml",
    ] {
        assert_eq!(file_of(&name_of(name).unwrap()), name);
    }
    for name in [
        "cluster.010.99.0.1.yaml",
        "cluster.fd99.1.yaml",
        "x",
        "cluster.10.99.0.1",
    ] {
        assert!(name_of(name).is_none(), "{name}");
    }
}

#[test]
fn what_was_read_of_a_claim_is_forgotten_with_its_file() {
    let root = TempDir::new().unwrap();
    let daemon = daemon(&root, "n1", 0);
    let request = of_range("fd00::/64");
    let held = |pod: &str| {
        matches!(
            daemon.claims.allocate(&link_key(pod, pod), &request),
            Allocation::Held(_)
        )
    };
    assert!(["a", "b", "c"].map(held).iter().all(|held| *held));
    let folder = ClaimFolder::new(root.path());
    folder.resync(&daemon.claims, "n1");
    assert_eq!(folder.cached_count(), 3);
    for pod in ["a", "b"] {
        daemon.claims.release_pod(pod);
    }
    folder.resync(&daemon.claims, "n1");
    assert_eq!(folder.cached_count(), 1);
}
