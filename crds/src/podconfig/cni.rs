//! `cni`: a link that CNI plugins of the node make.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// A network configuration of the Container Network Interface, and what its plugins are asked for. Exactly one of
/// `networkAttachmentDefinition` and `config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.networkAttachmentDefinition), has(self.config)].exists_one(source, source)",
    "a cni link has exactly one configuration: networkAttachmentDefinition or config",
)])))]
pub struct Cni {
    /// A NetworkAttachmentDefinition as `[namespace/]name`. Default namespace: that of the PodConfig. The policy must
    /// list it, or allow the plugins and settings that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::definition_reference")]
    pub network_attachment_definition: Option<String>,
    /// A network configuration or configuration list as JSON text, `cniVersion` 0.3.0 to 1.1.0, at most 16384
    /// characters; the policy must allow `inline`, and the plugins and settings that it names. Its network is called
    /// `pc.<namespace>.<hash>`, whatever `name` it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16384))]
    pub config: Option<String>,
    /// `args.cni` of every plugin, at most 16; the policy must list each key. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "shape::cni_args")]
    pub args: BTreeMap<String, String>,
    /// Ports of the node that lead to the pod, at most 16, for plugins with the capability `portMappings`; the policy
    /// must list each host port. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub port_mappings: Vec<PortMapping>,
    /// Limits of the link's bandwidth, for plugins with the capability `bandwidth`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// What follows from a failed CHECK of the plugins: `Never` (they are not asked), `Report` (the report says
    /// `Drifted`) or `Repair` (the link is detached and attached again). Default: Report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

/// One port of the node that leads to the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port of the node: 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub host_port: i32,
    /// The port in the pod: 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: i32,
    /// `TCP`, `UDP` or `SCTP`. Default: TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The address of the node that the port is opened on. Default: all.
    #[serde(default, rename = "hostIP", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::host_address")]
    pub host_ip: Option<IpAddr>,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// Limits of bandwidth: rates in bits per second, bursts in bits. An absent rate is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "has(self.ingressRate) == has(self.ingressBurst) && has(self.egressRate) == has(self.egressBurst)",
    "a rate needs its burst, and a burst its rate",
)])))]
pub struct Bandwidth {
    /// Rate of what the pod receives, in bits per second: 1 to 1000000000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub ingress_rate: Option<i64>,
    /// Burst of what the pod receives, in bits: 1 to 34359738360.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 34_359_738_360_i64))]
    pub ingress_burst: Option<i64>,
    /// Rate of what the pod sends, in bits per second: 1 to 1000000000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub egress_rate: Option<i64>,
    /// Burst of what the pod sends, in bits: 1 to 34359738360.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 34_359_738_360_i64))]
    pub egress_burst: Option<i64>,
}

/// What follows from a failed CHECK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Check {
    /// The plugins are not asked.
    Never,
    /// The report says so.
    #[default]
    Report,
    /// The link is detached and attached again.
    Repair,
}
