//! `PodReport`: observed state of the links of one pod.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{InterfaceAddress, Mac, Reason, shape};

/// Maximum number of links in a report: the API refuses a longer one.
pub const MAX_LINKS: usize = 1024;

/// Empty: a report has only a status, written by the daemon.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodReport",
    namespaced,
    status = "PodReportStatus",
    category = "podconfig-dev",
    selectable = ".status.node",
    doc = "Reports the links of the pod of the same name. Written by the daemon on the pod's node, and \
           deleted with the pod.",
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

/// The whole report; it is under `status` so that `kubectl wait` finds its conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodReportStatus {
    /// The UID of the pod; it distinguishes pods of the same name.
    #[serde(default, rename = "podUID")]
    pub pod_uid: String,
    /// The name of the node that the pod runs on.
    #[serde(default)]
    pub node: String,
    /// The container id of the pod's sandbox.
    #[serde(default)]
    pub sandbox: String,
    /// Source of the record of the pod's network namespace: normally `Plugin`; `Cache` or `CRI` for a pod that was
    /// started without the plugin in the chain. Absent: there is no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<RecordSource>,
    /// Trouble of the whole pod, such as with its record or network namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<PodTrouble>,
    /// All links that PodConfigs request in this pod, granted or not.
    #[serde(default)]
    #[schemars(length(max = MAX_LINKS))]
    pub links: Vec<LinkReport>,
    /// `Ready`: whether the pod has all requested links. `NetAdmin`, if true: the pod may administer the node's network,
    /// because it has the capability NET_ADMIN without a user namespace.
    #[serde(default)]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
    /// Short summary.
    #[serde(default)]
    pub summary: Summary,
}

/// Observed state of one link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkReport {
    /// The interface name in the pod.
    pub name: String,
    /// Name of the PodConfig that requests it.
    pub pod_config: String,
    /// The UID of that PodConfig; it distinguishes objects of the same name.
    #[serde(default, rename = "podConfigUID")]
    pub pod_config_uid: String,
    /// The generation of the PodConfig that this reflects.
    #[serde(default)]
    pub observed_generation: i64,
    /// The kind of link: `veth`, `vlan` or `vxlan`.
    pub kind: String,
    /// `Ready`, `Pending` (resolves itself after an external change) or `Failed`.
    pub state: LinkState,
    /// Reason of the state, from a closed list.
    pub reason: Reason,
    /// Message; the kernel's error text if the kernel refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// MAC address of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mac: Option<Mac>,
    /// MTU of the interface in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// Addresses of the interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<InterfaceAddress>,
    /// The routing domain in which these addresses are claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Message about a network that appeared after the link and overlaps it. The policy decides whether the link stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// The name of the host end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    /// The name of the bridge on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// With `peers: {auto: {}}`: the tunnel endpoint of this node, to which its peers send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// When podconfig last changed this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::time")]
    pub last_change: Option<Time>,
}

/// Trouble that affects all links of a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodTrouble {
    /// `Pending` (resolves itself) or `Failed`.
    pub state: LinkState,
    /// Reason of the state, from a closed list.
    pub reason: Reason,
    /// Message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A tunnel endpoint.
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

/// Source of the record of a pod's network namespace.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum RecordSource {
    /// The plugin in the node's CNI chain, when the pod was started.
    Plugin,
    /// The result cache of the container runtime's CNI library.
    Cache,
    /// The container runtime, queried over its CRI socket.
    #[serde(rename = "CRI")]
    Cri,
}

impl RecordSource {
    pub const ALL: [Self; 3] = [Self::Plugin, Self::Cache, Self::Cri];
}

/// State of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LinkState {
    /// In the desired state.
    Ready,
    /// Resolves itself after an external change.
    Pending,
    /// Refused or failed.
    Failed,
}

/// Columns of `kubectl get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// `2/3`: ready links of all requested ones.
    #[serde(default)]
    pub links: String,
    /// All addresses of all links, comma-separated.
    #[serde(default)]
    pub addresses: String,
    /// The PodConfigs that request the links, comma-separated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod_configs: String,
}
