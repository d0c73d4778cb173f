#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cni_plugin::record::Record;
use crds::{PodConfig, PodConfigPolicy, Reason};
use nix::errno::Errno;
use serde_json::json;

use super::*;
use crate::{
    node::{links::Place, netlink::Error},
    podconfig::{
        outcome::Pod,
        pass::work::{repairs, standing::Standing},
        plan::{Plan, Step},
        pods::Known,
        wanted::{Wanted, wanted},
    },
};

fn known() -> Known {
    let pod = Pod {
        namespace: "t".into(),
        name: "a".into(),
        uid: "u".into(),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        sandbox: "s".into(),
        recorded_by: None,
        net_admin: crate::source::pod::NetAdmin::No,
    };
    let record = json!({"schema": 1, "podNamespace": "t", "podName": "a", "containerId": "s",
        "ifname": "eth0", "network": "n", "netns": "/run/netns/a", "device": 1, "inode": 1, "cookie": 1,
        "bootId": "b", "time": "2026-01-01T00:00:00Z"});
    let record: Record = serde_json::from_value(record).unwrap();
    Known {
        pod: Arc::new(pod),
        record: Arc::new(record),
        is_replaced: false,
        trouble: None,
    }
}

fn asked(address: &str) -> Wanted {
    let config = json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig",
        "metadata": {"name": "data", "namespace": "t", "uid": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"podSelector": {}, "links": [
            {"name": "data0", "veth": {"bridge": "blue"}, "addresses": [address]}]}});
    let config: Arc<PodConfig> = Arc::new(serde_json::from_value(config).unwrap());
    let rules = json!({"namespaceSelector": {}, "allow": [
        {"veth": {"bridges": "Own"}, "addresses": ["10.99.0.0/16"]}]});
    let policy = Arc::new(PodConfigPolicy::new(
        "all",
        serde_json::from_value(rules).unwrap(),
    ));
    wanted(&known().pod, 0, &[config], &[policy], "default")
}

/// A pass that asks for `address`, over a link that is what `applied` asked for.
fn work(address: &str, applied: &str) -> Work {
    let mut work = Work::new(known());
    let spec_hash = asked(applied).granted[0].mark.spec_hash.clone();
    work.judged(asked(address));
    let standing = Standing {
        host: Some((Place::Switch, 5)),
        host_name: Some("pc".into()),
        master: None,
        host_mtu: 1500,
        pod_index: Some(2),
        mac: [2; 6],
        mtu: 1500,
        has_routes: false,
        addresses: vec![applied.parse().unwrap()],
        spec_hash,
    };
    work.standing.insert("data0".into(), standing);
    work
}

fn applied_hash(settled: &Settled) -> Option<String> {
    settled.hashes.get("data0").map(|(hash, _)| hash.clone())
}

fn hash_of(address: &str) -> Option<String> {
    Some(asked(address).granted[0].mark.spec_hash.clone())
}

/// A pass in which the link is to be changed to what is asked for.
fn changing(address: &str) -> Plan {
    let want = asked(address).granted.remove(0);
    let want = crate::node::links::Want {
        host_name: "pc".into(),
        host_mtu: 1500,
        mtu: 1500,
        ground: None,
        device: None,
        derived: Default::default(),
        link: want.link,
        mark: want.mark,
    };
    Plan {
        aims: [("data0".to_owned(), Aim::of(&want))].into(),
        steps: vec![Step::Create(Box::new(want))],
        ..Plan::default()
    }
}

#[test]
fn an_edit_that_waits_for_its_claim_is_no_repair_once_it_is_through() {
    let (mut settled, now) = (Settled::default(), Instant::now());
    let mut first = work("10.99.0.10/24", "10.99.0.10/24");
    first.plan.aims = changing("10.99.0.10/24").aims;
    first.settle(&mut settled, now);
    assert_eq!(applied_hash(&settled), hash_of("10.99.0.10/24"));

    let mut waits = work("10.99.0.33/24", "10.99.0.10/24");
    waits.granted[0].withheld = Some((Reason::ClaimPending, "a moment".into()));
    waits.settle(&mut settled, now);
    assert_eq!(applied_hash(&settled), hash_of("10.99.0.10/24"));
    let none: Vec<String> = Vec::new();
    assert_eq!(repairs(&changing("10.99.0.33/24"), &settled.hashes), none);
    // Put back to what it was, it is what somebody undid.
    let put_back = repairs(&changing("10.99.0.10/24"), &settled.hashes);
    assert_eq!(put_back, ["data0"]);
}

#[test]
fn a_change_that_the_kernel_refused_is_no_repair_when_it_goes_through() {
    let (mut settled, now) = (Settled::default(), Instant::now());
    work("10.99.0.10/24", "10.99.0.10/24").settle(&mut settled, now);
    let mut refused = work("10.99.0.33/24", "10.99.0.10/24");
    let error = Error {
        op: "add address".into(),
        errno: Errno::EINVAL,
        text: String::new(),
    };
    refused.errors.insert("data0".into(), error);
    refused.settle(&mut settled, now);
    assert_eq!(applied_hash(&settled), hash_of("10.99.0.10/24"));
}

#[test]
fn another_address_of_the_same_range_is_no_repair() {
    let mut settled = Settled::default();
    let mut first = work("10.99.0.10/24", "10.99.0.10/24");
    first.plan.aims = changing("10.99.0.10/24").aims;
    first.settle(&mut settled, Instant::now());
    let mut plan = changing("10.99.0.10/24");
    assert_eq!(repairs(&plan, &settled.hashes), ["data0"]);
    let Some(Step::Create(want)) = plan.steps.first_mut() else {
        unreachable!();
    };
    want.link.addresses = vec!["10.99.0.11/24".parse().unwrap()];
    assert!(repairs(&plan, &settled.hashes).is_empty());
}
