//! `ReservedNetworks`: the networks of the cluster that no link may overlap, each with its origin. Published by the
//! controller, so that nodes need not watch the objects of every network plugin.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, shape};

/// Maximum number of networks in one object.
pub const MOST_NETWORKS: usize = 500;

/// Some of the networks that links may not overlap, and the states of their sources.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "ReservedNetworks",
    plural = "reservednetworks",
    category = "podconfig-dev",
    doc = "Networks of the cluster that no link of podconfig may overlap, each with its origin. Written \
           by the controller only; each node adds its own networks.",
    printcolumn(
        name = "Networks",
        type_ = "integer",
        json_path = ".spec.summary.networks"
    ),
    printcolumn(
        name = "Unknown",
        type_ = "string",
        json_path = ".spec.summary.unknown"
    ),
    printcolumn(name = "Renewed", type_ = "date", json_path = ".spec.renewed")
)]
#[serde(rename_all = "camelCase")]
pub struct ReservedNetworksSpec {
    /// The podconfig installation that this belongs to.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub installation: String,
    /// When the controller last confirmed this; only in the object with the sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::time")]
    pub renewed: Option<Time>,
    /// The namespaces that the installation serves; only in the object with the sources. If two installations serve the
    /// same namespace, the later one ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Serves>,
    /// All sources of networks and whether they could be read; only in the one object without networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<SourceState>,
    /// The networks, at most 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "atomic"))]
    pub networks: Vec<ReservedNetwork>,
    /// Short summary.
    #[serde(default)]
    pub summary: ReservedSummary,
}

/// The namespaces that an installation serves; all if both lists are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Serves {
    /// Only these, at most 4096.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4096),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub namespaces: Vec<String>,
    /// All except these, at most 4096.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4096),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub except_namespaces: Vec<String>,
    /// Since when it serves these, or more.
    #[schemars(schema_with = "shape::time")]
    pub since: Time,
}

/// Columns of `kubectl get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReservedSummary {
    /// Number of networks: 0 to 1000000.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub networks: i32,
    /// Sources that could not be read, comma-separated; at most 1024 characters.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub unknown: String,
}

/// A kind, or a single object, that lists networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceState {
    /// Origin of the networks.
    pub source: Source,
    /// What is read: a kind such as `IPPool.crd.projectcalico.org`, or one object of it.
    #[schemars(length(max = 512))]
    pub asked: String,
    /// `Read`, `Absent` (does not exist, and nothing is missing) or `Unknown`.
    pub state: ReadState,
    /// Why it is unknown; at most 512 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
}

/// Whether a source could be read.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ReadState {
    /// It was read completely.
    Read,
    /// It does not exist in this cluster.
    Absent,
    /// It exists and cannot be read, or its existence is unknown: no new addresses are allocated.
    Unknown,
}

/// A network that no link may overlap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ReservedNetwork {
    /// The network.
    pub prefix: Cidr,
    /// Purpose of the network.
    #[serde(rename = "use")]
    pub usage: Usage,
    /// Origin of the network, by which policies refer to it.
    pub source: Source,
    /// Kind and group of the object that lists it.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// Name of the object, prefixed with its namespace and a slash if it has one.
    #[schemars(length(max = 317))]
    pub object: String,
    /// Field of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub field: String,
    /// When the network was first observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::time")]
    pub since: Option<Time>,
}

/// What a reserved network is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Usage {
    /// Addresses of pods.
    Pods,
    /// Addresses of services.
    Services,
    /// Internal networks of the network plugin: join, transit and masquerade networks.
    Internal,
    /// Addresses of the machines on which the nodes run.
    Machines,
    /// Connected network of a node's interface.
    Connected,
    /// Reserved by an administrator.
    Reserved,
    /// Never valid on an interface: loopback, link-local, multicast.
    Special,
    /// Addresses that another program allocates: none of them is allocated, but the surrounding network may be used.
    Pool,
    /// A single address in use: it is not allocated, but the surrounding network may be used.
    Address,
}

impl Usage {
    /// Whether a policy may let links overlap it.
    pub fn may_be_overlapped(self) -> bool {
        !matches!(self, Self::Pods | Self::Services | Self::Special)
    }

    /// Whether only its addresses are reserved, and not the network as a whole.
    pub fn is_of_addresses(self) -> bool {
        matches!(self, Self::Pool | Self::Address)
    }

    /// The usage in a sentence: `the pod network of`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pods => "the pod network of",
            Self::Services => "the service network of",
            Self::Internal => "the internal network of",
            Self::Machines => "the machine network of",
            Self::Connected => "the connected network of",
            Self::Reserved => "reserved by",
            Self::Special => "reserved by",
            Self::Pool => "the address pool of",
            Self::Address => "an address of",
        }
    }
}

/// Origin of networks: the closed list of names that policies use.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Source {
    /// OpenShift's Network objects.
    OpenShift,
    /// The machine network of OpenShift's installation.
    MachineNetwork,
    /// ServiceCIDR objects.
    ServiceCIDR,
    /// Pod networks in Node objects.
    Nodes,
    /// Addresses of nodes, in Node objects and in the kernel.
    NodeAddresses,
    /// Connected networks of the node and routes of network plugins, from its kernel.
    NodeRoutes,
    /// Other addresses and routes of the pod.
    PodRoutes,
    /// kubeadm's configuration.
    Kubeadm,
    /// kube-proxy's configuration.
    KubeProxy,
    /// The flags of the API server and the controller manager.
    ControlPlane,
    /// Addresses of load balancers and gateways, and external addresses of services.
    LoadBalancers,
    Antrea,
    Calico,
    Cilium,
    Flannel,
    KubeOVN,
    MetalLB,
    /// NetworkAttachmentDefinition objects of Multus.
    NetworkAttachments,
    OVNKubernetes,
    Whereabouts,
    /// Lists in this installation's settings and in policies.
    Administrator,
    /// Addresses that are never valid on an interface.
    Protocol,
}

/// Objects that tenants write: kind and prefix of the field. Their networks apply only to links of their own namespace,
/// otherwise one tenant could keep the others from getting addresses.
const OF_TENANTS: [(&str, &str); 4] = [
    ("NetworkAttachmentDefinition.k8s.cni.cncf.io", ""),
    ("UserDefinedNetwork.k8s.ovn.org", ""),
    ("Gateway.gateway.networking.k8s.io", ""),
    ("Service", "spec.externalIPs"),
];

impl ReservedNetwork {
    /// The network without its time, as its identity.
    pub fn undated(&self) -> Self {
        Self {
            since: None,
            ..self.clone()
        }
    }

    /// Whether links of pods in this namespace must not overlap it.
    pub fn concerns(&self, namespace: &str) -> bool {
        self.tenant().is_none_or(|tenant| tenant == namespace)
    }

    /// The namespace of the tenant that listed it. Objects in namespaces of the cluster itself are written by
    /// administrators and apply to all namespaces.
    pub fn tenant(&self) -> Option<&str> {
        let is_written =
            |(kind, field): &(&str, &str)| *kind == self.kind && self.field.starts_with(field);
        OF_TENANTS.iter().find(|written| is_written(written))?;
        let (namespace, _) = self.object.split_once('/')?;
        let is_of_cluster = namespace == "default"
            || namespace.starts_with("kube-")
            || namespace.starts_with("openshift-");
        (!is_of_cluster).then_some(namespace)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name in the API is the variant's.
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ReservedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prefix,
            usage,
            kind,
            object,
            field,
            ..
        } = self;
        write!(f, "{prefix}, {} {kind}", usage.words())?;
        if !object.is_empty() {
            write!(f, "/{object}")?;
        }
        match field.as_str() {
            "" => Ok(()),
            field => write!(f, " ({field})"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_network_says_what_it_is_and_where_that_was_read() {
        let network = ReservedNetwork {
            prefix: "192.168.0.0/18".parse().unwrap(),
            usage: Usage::Pods,
            source: Source::OpenShift,
            kind: "Network.config.openshift.io".into(),
            object: "cluster".into(),
            field: "status.clusterNetwork[0]".into(),
            since: None,
        };
        assert_eq!(
            network.to_string(),
            "192.168.0.0/18, the pod network of Network.config.openshift.io/cluster (status.clusterNetwork[0])"
        );
    }

    /// Kind, object, field, and whether it concerns tenant-a and tenant-b.
    const WRITTEN: [(&str, &str, &str, [bool; 2]); 10] = [
        (
            ATTACHMENT,
            "tenant-a/x",
            "spec.config.ipam.range",
            [true, false],
        ),
        (
            ATTACHMENT,
            "default/x",
            "spec.config.ipam.range",
            [true, true],
        ),
        (
            ATTACHMENT,
            "openshift-multus/x",
            "spec.config.ipam.range",
            [true, true],
        ),
        (
            "UserDefinedNetwork.k8s.ovn.org",
            "tenant-a/x",
            "spec.layer2.subnets[0]",
            [true, false],
        ),
        (
            "ClusterUserDefinedNetwork.k8s.ovn.org",
            "x",
            "spec.network.layer2.subnets[0]",
            [true, true],
        ),
        (
            "Service",
            "tenant-a/x",
            "spec.externalIPs[0]",
            [true, false],
        ),
        (
            "Service",
            "tenant-a/x",
            "status.loadBalancer.ingress[0].ip",
            [true, true],
        ),
        ("Service", "tenant-a/x", "spec.clusterIPs[0]", [true, true]),
        (
            "Gateway.gateway.networking.k8s.io",
            "tenant-a/x",
            "status.addresses[0].value",
            [true, false],
        ),
        (
            "IPAddressPool.metallb.io",
            "metallb-system/x",
            "spec.addresses[0]",
            [true, true],
        ),
    ];
    const ATTACHMENT: &str = "NetworkAttachmentDefinition.k8s.cni.cncf.io";

    #[test]
    fn what_a_tenant_writes_concerns_that_tenant_alone() {
        for (kind, object, field, concerns) in WRITTEN {
            let network = ReservedNetwork {
                prefix: "10.0.0.0/8".parse().unwrap(),
                usage: Usage::Pool,
                source: Source::NetworkAttachments,
                kind: kind.into(),
                object: object.into(),
                field: field.into(),
                since: None,
            };
            let applies = ["tenant-a", "tenant-b"].map(|namespace| network.concerns(namespace));
            assert_eq!(applies, concerns, "{kind} {object} {field}");
        }
    }

    #[test]
    fn a_source_is_called_as_a_policy_calls_it() {
        for source in [Source::OpenShift, Source::KubeOVN, Source::NodeRoutes] {
            let name = serde_json::to_value(source).unwrap();
            assert_eq!(name, source.to_string());
        }
    }
}
