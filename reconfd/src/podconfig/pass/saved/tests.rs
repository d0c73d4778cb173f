#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crds::{PodConfig, PodConfigPolicy, Reason};
use nix::errno::Errno;
use node::{links::HostNetns, netlink::Error};
use sandbox_record::Record;
use serde_json::json;

use super::*;
use crate::podconfig::{
    desired::{Desired, desired},
    outcome::LocalPod,
    pass::{applied::Changes, drift::repairs, pod_links::PodLinks, present::PresentLink},
    plan::{Plan, Step},
    pods::RecordedPod,
};

fn known() -> RecordedPod {
    let pod = LocalPod {
        namespace: "t".into(),
        name: "a".into(),
        uid: "u".into(),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        sandbox: "s".into(),
        recorded_by: None,
        net_admin: store::pod::NetAdmin::No,
        host_network: false,
    };
    let record = json!({"schema": 1, "podNamespace": "t", "podName": "a", "containerId": "s",
        "ifname": "eth0", "network": "n", "netns": "/run/netns/a", "device": 1, "inode": 1, "cookie": 1,
        "bootId": "b", "time": "2026-01-01T00:00:00Z"});
    let record: Record = serde_json::from_value(record).unwrap();
    RecordedPod {
        pod: Arc::new(pod),
        record: Arc::new(record),
        is_replaced: false,
        trouble: None,
    }
}

fn asked(address: &str) -> Desired {
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
    desired(&known().pod, 0, &[config], &[policy], "default")
}

/// A pass that asks for `address`, over a link that is what `applied` asked for.
fn pass(address: &str, applied: &str) -> Applied {
    let mut pass = Applied {
        links: PodLinks::new(known(), asked(address)),
        changes: Changes::default(),
    };
    let spec_hash = asked(applied).granted[0].mark.spec_hash.clone();
    let present = PresentLink {
        host: Some((HostNetns::Switch, 5)),
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
    pass.links.present.insert("data0".into(), present);
    pass
}

fn applied_hash(applied: &AppliedState) -> Option<String> {
    applied.hashes.get("data0").map(|(hash, _)| hash.clone())
}

fn hash_of(address: &str) -> Option<String> {
    Some(asked(address).granted[0].mark.spec_hash.clone())
}

/// A pass in which the link is to be changed to what is asked for.
fn changing(address: &str) -> Plan {
    let want = asked(address).granted.remove(0);
    let want = node::links::Want {
        host_name: "pc".into(),
        host_mtu: 1500,
        mtu: 1500,
        policy: None,
        device: None,
        derived: Default::default(),
        link: want.link,
        mark: want.mark,
    };
    Plan {
        targets: [("data0".to_owned(), Target::of(&want))].into(),
        steps: vec![Step::Create(Box::new(want))],
        ..Plan::default()
    }
}

#[test]
fn an_edit_that_waits_for_its_claim_is_no_repair_once_it_is_through() {
    let (mut applied, now) = (AppliedState::default(), Instant::now());
    let mut first = pass("10.99.0.10/24", "10.99.0.10/24");
    first.links.plan.targets = changing("10.99.0.10/24").targets;
    first.save(&mut applied, now);
    assert_eq!(applied_hash(&applied), hash_of("10.99.0.10/24"));

    let mut waits = pass("10.99.0.33/24", "10.99.0.10/24");
    waits.links.desired.granted[0].suspended = Some((Reason::ClaimPending, "a moment".into()));
    waits.save(&mut applied, now);
    assert_eq!(applied_hash(&applied), hash_of("10.99.0.10/24"));
    let none: Vec<String> = Vec::new();
    assert_eq!(repairs(&changing("10.99.0.33/24"), &applied.hashes), none);
    // Put back to what it was, it has drifted.
    let put_back = repairs(&changing("10.99.0.10/24"), &applied.hashes);
    assert_eq!(put_back, ["data0"]);
}

#[test]
fn a_change_that_the_kernel_refused_is_no_repair_when_it_goes_through() {
    let (mut applied, now) = (AppliedState::default(), Instant::now());
    pass("10.99.0.10/24", "10.99.0.10/24").save(&mut applied, now);
    let mut refused = pass("10.99.0.33/24", "10.99.0.10/24");
    let error = Error {
        op: "add address".into(),
        errno: Errno::EINVAL,
        text: String::new(),
    };
    refused.changes.errors.insert("data0".into(), error);
    refused.save(&mut applied, now);
    assert_eq!(applied_hash(&applied), hash_of("10.99.0.10/24"));
}

#[test]
fn another_address_of_the_same_range_is_no_repair() {
    let mut applied = AppliedState::default();
    let mut first = pass("10.99.0.10/24", "10.99.0.10/24");
    first.links.plan.targets = changing("10.99.0.10/24").targets;
    first.save(&mut applied, Instant::now());
    let mut plan = changing("10.99.0.10/24");
    assert_eq!(repairs(&plan, &applied.hashes), ["data0"]);
    let Some(Step::Create(want)) = plan.steps.first_mut() else {
        unreachable!();
    };
    want.link.addresses = vec!["10.99.0.11/24".parse().unwrap()];
    assert!(repairs(&plan, &applied.hashes).is_empty());
}
