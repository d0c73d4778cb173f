//! Definitions of others, without a schema.

use super::{TIMEOUT, applied, try_kubectl};

/// Kind with group, version, plural, scope.
const ALL: [(&str, &str, &str, &str); 25] = [
    ("Network.config.openshift.io", "v1", "networks", "Cluster"),
    ("Network.operator.openshift.io", "v1", "networks", "Cluster"),
    (
        "Gateway.gateway.networking.k8s.io",
        "v1",
        "gateways",
        "Namespaced",
    ),
    ("IPPool.crd.projectcalico.org", "v1", "ippools", "Cluster"),
    (
        "BlockAffinity.crd.projectcalico.org",
        "v1",
        "blockaffinities",
        "Cluster",
    ),
    (
        "IPReservation.crd.projectcalico.org",
        "v1",
        "ipreservations",
        "Cluster",
    ),
    ("IPPool.projectcalico.org", "v3", "ippools", "Cluster"),
    ("CiliumNode.cilium.io", "v2", "ciliumnodes", "Cluster"),
    (
        "CiliumPodIPPool.cilium.io",
        "v2alpha1",
        "ciliumpodippools",
        "Cluster",
    ),
    (
        "CiliumLoadBalancerIPPool.cilium.io",
        "v2",
        "ciliumloadbalancerippools",
        "Cluster",
    ),
    (
        "UserDefinedNetwork.k8s.ovn.org",
        "v1",
        "userdefinednetworks",
        "Namespaced",
    ),
    (
        "ClusterUserDefinedNetwork.k8s.ovn.org",
        "v1",
        "clusteruserdefinednetworks",
        "Cluster",
    ),
    ("EgressIP.k8s.ovn.org", "v1", "egressips", "Cluster"),
    ("Subnet.kubeovn.io", "v1", "subnets", "Cluster"),
    ("Vip.kubeovn.io", "v1", "vips", "Cluster"),
    ("IptablesEIP.kubeovn.io", "v1", "iptables-eips", "Cluster"),
    ("OvnEip.kubeovn.io", "v1", "ovn-eips", "Cluster"),
    ("IPPool.crd.antrea.io", "v1beta1", "ippools", "Cluster"),
    (
        "ExternalIPPool.crd.antrea.io",
        "v1beta1",
        "externalippools",
        "Cluster",
    ),
    (
        "IPAddressPool.metallb.io",
        "v1beta1",
        "ipaddresspools",
        "Namespaced",
    ),
    (
        "IPPool.whereabouts.cni.cncf.io",
        "v1alpha1",
        "ippools",
        "Namespaced",
    ),
    (
        "NodeSlicePool.whereabouts.cni.cncf.io",
        "v1alpha1",
        "nodeslicepools",
        "Namespaced",
    ),
    (
        "OverlappingRangeIPReservation.whereabouts.cni.cncf.io",
        "v1alpha1",
        "overlappingrangeipreservations",
        "Namespaced",
    ),
    (
        "NetworkAttachmentDefinition.k8s.cni.cncf.io",
        "v1",
        "network-attachment-definitions",
        "Namespaced",
    ),
    ("Nothing.podconfig.example", "v1", "nothings", "Cluster"),
];

/// Deleted with the end of this, with all objects.
pub struct Definitions(Vec<String>);

impl Definitions {
    pub fn all() -> Self {
        Self::of(&ALL.map(|(kind, ..)| kind))
    }

    pub fn of(kinds: &[&str]) -> Self {
        let wanted = ALL.iter().filter(|(kind, ..)| kinds.contains(kind));
        let (names, texts): (Vec<_>, Vec<_>) = wanted.map(definition).unzip();
        applied(&texts.join("---\n"));
        for name in &names {
            let name = format!("crd/{name}");
            try_kubectl(&["wait", "--for=condition=Established", &name, TIMEOUT]);
        }
        Self(names)
    }

    pub fn delete(&self) {
        for name in &self.0 {
            try_kubectl(&["delete", "crd", name, "--ignore-not-found", TIMEOUT]);
        }
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        self.delete();
    }
}

fn definition(&(kind, version, plural, scope): &(&str, &str, &str, &str)) -> (String, String) {
    let (kind, group) = kind.split_once('.').unwrap_or_default();
    let (name, singular) = (format!("{plural}.{group}"), kind.to_lowercase());
    let text = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {name}, annotations: {{api-approved.kubernetes.io: unapproved}}}}
spec:
  group: {group}
  scope: {scope}
  names: {{kind: {kind}, plural: {plural}, singular: {singular}}}
  versions:
  - name: {version}
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    );
    (name, text)
}
