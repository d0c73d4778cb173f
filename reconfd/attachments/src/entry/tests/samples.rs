//! Entries for tests.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Deletion, Entry, Facts, NetnsId, Phase, PodRef, Requester, Why};
use cni::{FrozenChain, FrozenPlugin};

pub fn chain() -> FrozenChain {
    let plugin = |kind: &str| FrozenPlugin {
        plugin_type: kind.into(),
        ipam_type: None,
        object: json!({"type": kind, "mtu": 1400})
            .as_object()
            .unwrap()
            .clone(),
    };
    FrozenChain {
        network: "fast".into(),
        cni_version: cni::Version::V1_0_0,
        plugins: vec![plugin("macvlan"), plugin("tuning")],
        disable_check: false,
        disable_gc: true,
        runtime_config: json!({"ips": ["10.0.0.9/24"]}).as_object().unwrap().clone(),
        args: vec![
            ("IgnoreUnknown".into(), "true".into()),
            ("MAC".into(), "0a:00:00:00:00:01".into()),
        ],
        container_id: "c0ffee".into(),
        ifname: "net1".into(),
        netns: "/run/netns/cni-1".into(),
        digests: [("macvlan".into(), "sha256:00".into())].into(),
    }
}

/// An entry with each field set.
pub fn entry() -> Entry {
    Entry {
        chain: chain(),
        result: Some(json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}]})),
        pod: PodRef {
            namespace: "tenant-a".into(),
            name: "web-0".into(),
            uid: "6f1c2f9e-0f6f-4b0c-9e5f-1f2a3b4c5d6e".into(),
        },
        requester: Requester::PodConfig {
            uid: "7f".into(),
            name: "extra".into(),
            link: "net1".into(),
        },
        spec_hash: "abcd".into(),
        netns: NetnsId {
            boot_id: "0d1e2f3a-0000-4000-8000-000000000000".into(),
            cookie: u64::MAX,
        },
        phase: Phase::Deleting(Deletion {
            was_attached: true,
            why: Why::NotRequested,
            failures: 3,
            remaining: Some(BTreeSet::from([1])),
            failing_seconds: 61,
            error: "macvlan: no such device".into(),
        }),
        order: 2,
        after: vec!["eth1".into()],
        facts: Facts {
            ifindex: Some(4),
            mac: Some("0a:00:00:00:00:01".into()),
            mtu: Some(1500),
            host_links: vec!["veth1".into()],
        },
        gateways: vec!["10.0.0.1".parse().unwrap()],
        before: Some(json!({"routes": ["default"]})),
        baseline: Some(BTreeSet::from([0])),
    }
}
