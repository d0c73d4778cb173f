//! `PodReport`: everything that podconfig did to one pod, the single object to look at.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{InterfaceAddress, Mac, Reason, shape};

/// Nothing to ask for: a report is written by the daemon alone.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodReport",
    namespaced,
    status = "PodReportStatus",
    category = "podconfig-dev",
    selectable = ".status.node",
    doc = "Tells everything that podconfig did to the pod of the same name. Written by the daemon \
           of the pod's node, and gone with the pod.",
    printcolumn(name = "Node", type_ = "string", json_path = ".status.node"),
    printcolumn(name = "Links", type_ = "string", json_path = ".status.summary.links"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Conflict",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="AddressConflict")].status"#
    ),
    printcolumn(
        name = "Addresses",
        type_ = "string",
        json_path = ".status.summary.addresses"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "PodConfigs",
        type_ = "string",
        json_path = ".status.summary.podConfigs",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(
        name = "Overlaps",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="AddressConflict")].message"#,
        priority = 1
    )
)]
pub struct PodReportSpec {}

/// All of the report; it stands under `status` so that `kubectl wait` finds its conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodReportStatus {
    /// The uid of the pod: another one is another pod of the same name.
    #[serde(default, rename = "podUID")]
    pub pod_uid: String,
    /// The name of the node that the pod runs on.
    #[serde(default)]
    pub node: String,
    /// The container id of the pod's sandbox.
    #[serde(default)]
    pub sandbox: String,
    /// Who told where the pod's network namespace is: `Plugin`, as it should be; `Cache` or `CRI` for a pod
    /// that was started without the plugin in the chain. Nobody did where this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<RecordSource>,
    /// What is wrong with the pod as a whole: its record, its network namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<PodTrouble>,
    /// Every link that a PodConfig asks for in this pod, granted or not.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub links: Vec<LinkReport>,
    /// `Ready`: whether the pod has every link that is asked for. `NetAdmin`, where it is so: the pod may
    /// administer the node's network, since it has the capability NET_ADMIN without a user namespace.
    #[serde(default)]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
    /// The whole in a few words.
    #[serde(default)]
    pub summary: Summary,
}

/// What became of one link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkReport {
    /// The interface name in the pod.
    pub name: String,
    /// The name of the PodConfig that asks for it.
    pub pod_config: String,
    /// The uid of that PodConfig: another one is another object of the same name.
    #[serde(default, rename = "podConfigUID")]
    pub pod_config_uid: String,
    /// The generation of the PodConfig that this was judged by.
    #[serde(default)]
    pub observed_generation: i64,
    /// The kind of link: `veth`, `vlan` or `vxlan`.
    pub kind: String,
    /// `Ready`, `Pending` (comes by itself once something outside changes) or `Failed`.
    pub state: LinkState,
    /// Why it is so, one word of a closed list.
    pub reason: Reason,
    /// Why it is so, in words; the kernel's own where the kernel refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The Ethernet address that the interface has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mac: Option<Mac>,
    /// The largest packet that the interface takes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// The addresses that the interface has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<InterfaceAddress>,
    /// The routing domain that these addresses are claimed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What the link overlaps since it was made, in words. It stays, or goes, as the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// The name of the host end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    /// The name of the bridge, as the node has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// With `peers: {auto: {}}`: the end of the tunnel on this node, that the others send to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// When podconfig last changed something of this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Time>,
}

/// Why a pod cannot have what is asked for in it, whatever that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodTrouble {
    /// `Pending` (passes by itself) or `Failed`.
    pub state: LinkState,
    /// Why it is so, one word of a closed list.
    pub reason: Reason,
    /// Why it is so, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One end of a tunnel.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Tunnel {
    /// The VXLAN network identifier.
    pub vni: i32,
    /// The UDP port of the outer packets.
    pub port: i32,
    /// The address of the node on the underlay.
    #[schemars(with = "String")]
    pub address: IpAddr,
}

/// Who told where a pod's network namespace is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum RecordSource {
    /// The plugin in the node's CNI chain, when the pod was started.
    Plugin,
    /// The result cache that the container runtime's CNI library keeps.
    Cache,
    /// The container runtime itself, asked over its CRI socket.
    #[serde(rename = "CRI")]
    Cri,
}

impl RecordSource {
    pub const ALL: [Self; 3] = [Self::Plugin, Self::Cache, Self::Cri];
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LinkState {
    /// As wanted.
    Ready,
    /// Will come by itself once something outside changes.
    Pending,
    /// Refused or failed.
    Failed,
}

/// Strings for the columns of `kubectl get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// `2/3`: ready of wanted.
    #[serde(default)]
    pub links: String,
    /// All addresses of all links, commas between.
    #[serde(default)]
    pub addresses: String,
    /// The PodConfigs that ask for the links, commas between.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod_configs: String,
}
