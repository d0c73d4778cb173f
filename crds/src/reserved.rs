//! `ReservedNetworks`: the networks of the cluster that no link may overlap, each with where it was read.
//! Published by the controller, so that no node has to watch what every network plugin keeps.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Cidr;

/// How many networks one object holds.
pub const MOST_NETWORKS: usize = 500;

/// Some of the networks that links may not overlap, and how complete the knowledge of them is.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "ReservedNetworks",
    plural = "reservednetworks",
    category = "podconfig-dev",
    doc = "Tells which networks of the cluster no link of podconfig may overlap, and where each was \
           read. Written by the controller alone; each node adds its own.",
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
    /// The installation of podconfig that this is for.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub installation: String,
    /// When the controller last said that this is how it is; in the object of the sources alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<Time>,
    /// Which namespaces the installation serves; in the object of the sources alone. Of two that serve the same
    /// namespace, the later one leaves it to the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Serves>,
    /// Everything that is asked where networks are, and whether it could be read; in one object alone, the
    /// one without networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<SourceState>,
    /// The networks, at most 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "atomic"))]
    pub networks: Vec<ReservedNetwork>,
    /// The whole in a few words.
    #[serde(default)]
    pub summary: ReservedSummary,
}

/// Which namespaces an installation serves: all, if nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Serves {
    /// These alone, at most 4096.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4096),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub namespaces: Vec<String>,
    /// All but these, at most 4096.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4096),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub except_namespaces: Vec<String>,
    /// Since when it serves them, or more.
    pub since: Time,
}

/// What the columns of `kubectl get` show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReservedSummary {
    /// How many networks there are: 0 to 1000000.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub networks: i32,
    /// The sources that could not be read, commas between; at most 1024 characters.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub unknown: String,
}

/// One kind of object, or one object, that says where networks are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceState {
    /// Whose networks it speaks of.
    pub source: Source,
    /// What is asked: a kind such as `IPPool.crd.projectcalico.org`, or one object of it.
    #[schemars(length(max = 512))]
    pub asked: String,
    /// `Read`, `Absent` (there is no such thing, and nothing is missing) or `Unknown`.
    pub state: ReadState,
    /// Why it is unknown, in words; at most 512 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
}

/// Whether a source could be read.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ReadState {
    /// It was read as a whole.
    Read,
    /// There is no such thing in this cluster.
    Absent,
    /// It is there and cannot be read, or nobody knows: no new address is given out.
    Unknown,
}

/// A network that no link may overlap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ReservedNetwork {
    /// The network.
    pub prefix: Cidr,
    /// What it is for.
    #[serde(rename = "use")]
    pub usage: Usage,
    /// Whose it is: the name by which a policy lets links overlap it.
    pub source: Source,
    /// The kind of the object that says so, with its group.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// The object's name, in a namespace with that and a slash before it.
    #[schemars(length(max = 317))]
    pub object: String,
    /// The field of the object that says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub field: String,
    /// Since when this is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// What the network plugin uses for itself: join, transit and masquerade networks.
    Internal,
    /// Addresses of the machines that the nodes are.
    Machines,
    /// A network that an interface of the node is in.
    Connected,
    /// What an administrator reserved.
    Reserved,
    /// What no interface may have at all: loopback, link-local, multicast.
    Special,
    /// Addresses that somebody else gives out: of those none is taken, and the network around may be used.
    Pool,
    /// One address that somebody has: it is not taken, and the network around may be used.
    Address,
}

impl Usage {
    /// Whether a policy may let links overlap it.
    pub fn may_be_overlapped(self) -> bool {
        !matches!(self, Self::Pods | Self::Services | Self::Special)
    }

    /// Whether its addresses alone are taken, and not the network as a whole.
    pub fn is_of_addresses(self) -> bool {
        matches!(self, Self::Pool | Self::Address)
    }

    /// As it stands in a sentence: `the pod network of`.
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

/// Whose networks: the closed list of names by which a policy speaks of them.
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
    /// The connected networks of the node, and routes of network plugins, as its kernel has them.
    NodeRoutes,
    /// The addresses and routes that the pod has otherwise.
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
    /// The lists of this installation and of policies.
    Administrator,
    /// What no interface may have in any network.
    Protocol,
}

/// What tenants write: the kind, and how the field begins. Whatever such an object says, it concerns the links
/// of its own namespace alone, or one tenant could keep the others from having addresses.
const OF_TENANTS: [(&str, &str); 4] = [
    ("NetworkAttachmentDefinition.k8s.cni.cncf.io", ""),
    ("UserDefinedNetwork.k8s.ovn.org", ""),
    ("Gateway.gateway.networking.k8s.io", ""),
    ("Service", "spec.externalIPs"),
];

impl ReservedNetwork {
    /// The same, whenever it became known: what tells it from all others.
    pub fn undated(&self) -> Self {
        Self {
            since: None,
            ..self.clone()
        }
    }

    /// Whether links of pods in this namespace must keep away from it.
    pub fn concerns(&self, namespace: &str) -> bool {
        self.tenant().is_none_or(|tenant| tenant == namespace)
    }

    /// The namespace of the tenant who said so. What lies in a namespace that the cluster has for itself was
    /// written by an administrator, and concerns everybody.
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
            let told = ["tenant-a", "tenant-b"].map(|namespace| network.concerns(namespace));
            assert_eq!(told, concerns, "{kind} {object} {field}");
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
