//! What tenants may write takes nothing away from others, and what administrators write is never guessed.

use crds::reserved::Usage;
use serde_json::json;

use super::*;

fn source_kind(kind: &str, group: &str) -> &'static SourceKind {
    let mut all = ALL.iter();
    all.find(|source| (source.kind, source.group) == (kind, group))
        .unwrap()
}

#[test]
fn a_tenant_reserves_no_network_and_makes_nothing_unknown() {
    let greedy = [
        "0.0.0.0/0",
        "0.0.0.0/1",
        "::/0",
        "rubbish",
        "10.0.0.0/33",
        "10.0.0.9-10.0.0.1",
    ];
    for text in greedy {
        let config = json!({"type": "ovn-k8s-cni-overlay", "subnets": text, "ipam": {
            "range": text, "ipRanges": [{"range": text}, 7], "subnet": text, "ranges": [[{"subnet": text}], 7],
        }});
        let config = json!({"spec": {"config": config.to_string()}});
        let subnets =
            json!({"role": "Primary", "subnets": [text, {"cidr": text}, 7], "joinSubnets": [text]});
        let network = json!({"spec": {"layer2": subnets, "layer3": subnets}});
        let service = json!({"spec": {"externalIPs": [text], "clusterIPs": [text]}, "status": {"loadBalancer": {"ingress": [{"ip": text}]}}});
        let gateway = json!({"status": {"addresses": [{"value": text}]}});
        for (kind, group, object) in [
            ("NetworkAttachmentDefinition", "k8s.cni.cncf.io", config),
            ("UserDefinedNetwork", "k8s.ovn.org", network),
            ("Service", "", service),
            ("Gateway", "gateway.networking.k8s.io", gateway),
        ] {
            let extracted = read(source_kind(kind, group), &object);
            assert_eq!(lines(&extracted), [""; 0], "{kind} {text}");
            assert_eq!(extracted.errors, [""; 0], "{kind} {text}");
            assert!(!extracted.warnings.is_empty(), "{kind} {text}");
        }
    }
}

#[test]
fn what_tenants_write_speaks_of_addresses_alone() {
    for name in ["attachments", "ovn", "kubernetes"] {
        let of_tenants = extracted(name).networks.into_iter().filter(|network| {
            let mut tenants = ALL.iter().filter(|kind| kind.writer == Writer::Tenant);
            // An API server takes no other address for a service than one of its service networks.
            tenants.any(|kind| kind.kind_and_group() == network.kind)
                && network.usage != Usage::Services
        });
        for network in of_tenants {
            assert!(network.usage.is_of_addresses(), "{network:?}");
        }
    }
}

#[test]
fn what_administrators_write_and_nobody_understands_is_named() {
    for (kind, group, object, told) in [
        (
            "IPPool",
            "crd.projectcalico.org",
            json!({"metadata": {"name": "p"}, "spec": {}}),
            "IPPool.crd.projectcalico.org/p: spec.cidr: is missing",
        ),
        (
            "ServiceCIDR",
            "networking.k8s.io",
            json!({"metadata": {"name": "p"}, "spec": {"cidrs": "10.0.0.0/8"}}),
            "ServiceCIDR.networking.k8s.io/p: spec.cidrs: this is not a list",
        ),
        (
            "IPAddressPool",
            "metallb.io",
            json!({"metadata": {"name": "p", "namespace": "m"}, "spec": {"addresses": ["10.0.0.9-10.0.0.1"]}}),
            "IPAddressPool.metallb.io/m/p: spec.addresses[0]: 10.0.0.9 is not before 10.0.0.1",
        ),
        (
            "Subnet",
            "kubeovn.io",
            json!({"metadata": {"name": "p"}, "spec": {"cidrBlock": 7}}),
            "Subnet.kubeovn.io/p: spec.cidrBlock: 7 is not a text",
        ),
        (
            "CiliumLoadBalancerIPPool",
            "cilium.io",
            json!({"metadata": {"name": "p"}, "spec": {"blocks": [{"start": "a", "stop": "b"}]}}),
            "CiliumLoadBalancerIPPool.cilium.io/p: spec.blocks[0].start: \"a-b\" is not a range of addresses, such as 10.0.0.5-10.0.0.9",
        ),
        (
            "ConfigMap",
            "",
            json!({"metadata": {"name": "kubeadm-config", "namespace": "kube-system"}, "data": {"ClusterConfiguration": "networking: {podSubnet: ten}"}}),
            "ConfigMap/kube-system/kubeadm-config: data.ClusterConfiguration.networking.podSubnet: \"ten\" is not a network, such as 10.244.0.0/16 or fd00:244::/56",
        ),
    ] {
        let extracted = read(source_kind(kind, group), &object);
        assert_eq!(extracted.errors, [told], "{kind}");
    }
}

#[test]
fn a_document_that_is_none_is_named() {
    let object = json!({"metadata": {"name": "kubeadm-config", "namespace": "kube-system"}, "data": {"ClusterConfiguration": "a: [b"}});
    let extracted = read(source_kind("ConfigMap", ""), &object);
    let told = "ConfigMap/kube-system/kubeadm-config: data.ClusterConfiguration: this is not YAML";
    assert!(
        extracted.errors.iter().any(|fault| fault.starts_with(told)),
        "{extracted:?}"
    );
}

#[test]
fn an_allocation_that_is_none_is_named() {
    let object = json!({"metadata": {"name": "p"}, "spec": {"range": "10.0.0.0/24", "allocations": {"256": {}, "x": {}}}});
    let extracted = read(source_kind("IPPool", "whereabouts.cni.cncf.io"), &object);
    assert_eq!(
        (extracted.networks.len(), extracted.errors.len()),
        (1, 2),
        "{extracted:?}"
    );
}

#[test]
fn objects_of_any_shape_are_read_without_harm() {
    for odd in [
        json!(null),
        json!([]),
        json!({"spec": [], "data": 7, "status": "x"}),
        json!({"spec": {"cidrs": {}, "ipam": []}}),
    ] {
        for kind in ALL {
            read(kind, &odd);
        }
    }
}

#[test]
fn every_heading_is_asked_once_and_there_is_room_for_all() {
    let told: std::collections::BTreeSet<String> = ALL.iter().map(SourceKind::describe).collect();
    assert_eq!(told.len(), ALL.len());
    assert!(ALL.len() <= 64, "the published object has room for 64");
}
