#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crds::reserved::Source;
use k8s_openapi::jiff::Timestamp;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

use super::*;

fn network(prefix: &str, usage: Usage, kind: &str, object: &str) -> ReservedNetwork {
    ReservedNetwork {
        prefix: prefix.parse().unwrap(),
        usage,
        source: Source::Nodes,
        kind: kind.into(),
        object: object.into(),
        field: "spec".into(),
        since: None,
    }
}

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn merged(said: &[(ReservedNetwork, Writer)]) -> Vec<String> {
    let said = said.iter().map(|(network, writer)| (network, *writer));
    let merged = merge(said, &DatedNetworks::new(), &at(1));
    merged
        .keys()
        .map(|network| format!("{} {}", network.prefix, network.kind))
        .collect()
}

#[test]
fn what_every_node_says_is_left_out_inside_of_a_pod_network() {
    let by_admin = |network| (network, Writer::Administrator);
    let said = [
        by_admin(network("10.244.0.0/16", Usage::Pods, "ConfigMap", "a")),
        by_admin(network(
            "10.244.0.0/17",
            Usage::Pods,
            "IPPool.crd.projectcalico.org",
            "a",
        )),
        by_admin(network("10.244.3.0/24", Usage::Pods, "Node", "n3")),
        by_admin(network("10.244.3.1/32", Usage::Address, "Node", "n3")),
        by_admin(network(
            "10.96.0.0/12",
            Usage::Services,
            "ServiceCIDR.networking.k8s.io",
            "k",
        )),
        by_admin(network(
            "10.96.0.10/32",
            Usage::Services,
            "Service",
            "kube-system/dns",
        )),
        by_admin(network("172.16.0.0/24", Usage::Pods, "Node", "n4")),
        by_admin(network("10.0.0.4/32", Usage::Address, "Node", "n4")),
    ];
    assert_eq!(
        merged(&said),
        [
            "10.0.0.4/32 Node",
            "10.96.0.0/12 ServiceCIDR.networking.k8s.io",
            "10.244.0.0/16 ConfigMap",
            "10.244.0.0/17 IPPool.crd.projectcalico.org",
            "172.16.0.0/24 Node",
        ]
    );
}

#[test]
fn what_may_be_overlapped_hides_nothing() {
    for usage in [
        Usage::Internal,
        Usage::Machines,
        Usage::Pool,
        Usage::Address,
    ] {
        let said = [
            (
                network("10.0.0.0/16", usage, "ConfigMap", "a"),
                Writer::Administrator,
            ),
            (
                network("10.0.3.0/24", Usage::Pods, "Node", "n3"),
                Writer::Node,
            ),
        ];
        assert_eq!(merged(&said).len(), 2, "{usage:?}");
    }
}

#[test]
fn one_tenant_does_not_fill_the_list() {
    let kind = "NetworkAttachmentDefinition.k8s.cni.cncf.io";
    let of = |namespace: &str| -> Vec<(ReservedNetwork, Writer)> {
        let all = (0..1000u16).map(|n| {
            let prefix = format!("10.{}.{}.0/24", n / 256, n % 256);
            let object = format!("{namespace}/{n}");
            (network(&prefix, Usage::Pool, kind, &object), Writer::Tenant)
        });
        all.collect()
    };
    let said = [of("tenant-a"), of("tenant-b")].concat();
    assert_eq!(merged(&said).len(), 2 * MAX_PER_TENANT);
}

#[test]
fn since_when_it_is_known_stays() {
    let (old, new) = (
        network("10.1.0.0/16", Usage::Pods, "Node", "a"),
        network("10.2.0.0/16", Usage::Pods, "Node", "b"),
    );
    let said = [&old, &new];
    let said = || said.into_iter().map(|network| (network, Writer::Node));
    let before = DatedNetworks::from([(old.clone(), at(5))]);
    let merged = merge(said(), &before, &at(9));
    assert_eq!(
        merged,
        DatedNetworks::from([(old.clone(), at(5)), (new.clone(), at(9))])
    );
}

#[test]
fn the_cost_grows_with_the_number_of_nodes_alone() {
    let few = (0..3).map(|_| merging(1000)).min().unwrap();
    let many = (0..3).map(|_| merging(5000)).min().unwrap();
    // Five times as much and the depth of a tree; what compares each node with each costs 25 times as much.
    assert!(many < few * 12, "{few:?} for 1000, {many:?} for 5000");
}

/// CPU time, which a busy machine does not change, of merging what so many nodes say.
fn merging(nodes: u16) -> Duration {
    let node = |n: u16| {
        let prefix = format!("10.{}.{}.0/24", n / 256, n % 256);
        let address = format!("172.16.{}.{}/32", n / 256, n % 256);
        let of =
            |prefix: &str, usage| (network(prefix, usage, "Node", &n.to_string()), Writer::Node);
        [of(&prefix, Usage::Pods), of(&address, Usage::Address)]
    };
    let mut networks: Vec<(ReservedNetwork, Writer)> = (0..nodes).flat_map(node).collect();
    let pods = network("10.0.0.0/8", Usage::Pods, "ConfigMap", "a");
    networks.push((pods, Writer::Administrator));
    let before = cpu_time();
    assert_eq!(merged(&networks).len(), usize::from(nodes) + 1);
    cpu_time() - before
}

/// Of this thread.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let parts = [usage.user_time(), usage.system_time()];
    let micros = parts.map(|time| u64::try_from(time.num_microseconds()).unwrap());
    Duration::from_micros(micros.iter().sum())
}
