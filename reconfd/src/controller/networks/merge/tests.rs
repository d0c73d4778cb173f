#![allow(clippy::unwrap_used)]

use crds::reserved::Source;
use k8s_openapi::jiff::Timestamp;

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
fn five_thousand_nodes_cost_little() {
    let node = |n: u16| {
        let prefix = format!("10.{}.{}.0/24", n / 256, n % 256);
        let address = format!("172.16.{}.{}/32", n / 256, n % 256);
        let of =
            |prefix: &str, usage| (network(prefix, usage, "Node", &n.to_string()), Writer::Node);
        [of(&prefix, Usage::Pods), of(&address, Usage::Address)]
    };
    let mut said: Vec<(ReservedNetwork, Writer)> = (0..5000).flat_map(node).collect();
    let pods = network("10.0.0.0/8", Usage::Pods, "ConfigMap", "a");
    said.push((pods, Writer::Administrator));
    let begun = std::time::Instant::now();
    assert_eq!(merged(&said).len(), 5001);
    let took = begun.elapsed();
    assert!(took.as_millis() < 2000, "{took:?}");
}
