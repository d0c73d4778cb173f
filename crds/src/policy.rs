//! `PodConfigPolicy`: what administrators allow. Without a policy there are no links.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, shape};

/// Rules for addresses.
pub mod address;
/// Rules for cni.
pub mod cni;
/// Rules for vlan and vxlan.
pub mod segment;

pub use address::{MayOverlap, OnConflict};
pub use cni::{CniRule, DefinitionRule, Inline, PluginRule};
pub use segment::{IdRange, PortRange, Sharing, Unfiltered, VlanRule, VniRange, VxlanRule};

/// The selected namespaces, what their links may use, and limits.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodConfigPolicy",
    plural = "podconfigpolicies",
    shortname = "podcfgpolicy",
    category = "podconfig-dev",
    status = "PodConfigPolicyStatus",
    doc = "Allows the PodConfigs of selected namespaces to use certain links. Everything else is refused: \
           without a policy there are no links. Deleting a policy removes the links that depend on it.",
    printcolumn(name = "In Use By", type_ = "string", json_path = ".status.inUseBy"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigPolicySpec {
    /// Selects namespaces by label; `{}` selects all.
    #[schemars(schema_with = "shape::label_selector")]
    pub namespace_selector: LabelSelector,
    /// The rules, at most 64. The rules of all policies are combined; a single rule must allow the whole link.
    /// Default: none.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow: Vec<Rule>,
    /// Limits per pod and namespace. Default: none in this policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What happens to a link when a cluster network appears that it overlaps: `Keep` (it stays, and its PodConfig gets
    /// the condition `AddressConflict`) or `Detach`. With several policies, Detach wins. Default: Keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Whether pods that may administer their network get links: `Any`, or `UserNamespace` (a pod with the capability
    /// NET_ADMIN in any container, or a privileged one, needs `hostUsers: false`, or its links are refused). Without a
    /// user namespace such a pod may administer the node's network as well, and podconfig cannot prevent that. With
    /// several policies, UserNamespace wins. Default: Any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_admin: Option<NetAdmin>,
    /// Networks that no link of these namespaces may overlap, at most 64, regardless of the rules. Default: only those of
    /// the cluster, which always apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub reserved: Vec<Cidr>,
}

/// Which pods that may administer their network get links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetAdmin {
    /// All pods.
    Any,
    /// Pods with their own user namespace.
    UserNamespace,
}

/// Use of the policy; written by the controller only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigPolicyStatus {
    /// Names of the podconfig installations that serve a PodConfig in a selected namespace. While there is one, the
    /// policy can be deleted only with the annotation `podconfig.dev/allow-deletion: "true"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub in_use_by: Vec<String>,
}

/// What a link may use. An absent field allows nothing of its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.veth), has(self.vlan), has(self.vxlan), has(self.cni)].exists(kind, kind)",
    "a rule without a kind of link allows nothing; add veth, vlan, vxlan or cni",
)])))]
pub struct Rule {
    /// Allows veths to the listed places. Default: no veth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veth: Option<VethRule>,
    /// Allows the vlans that it describes. Default: no vlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanRule>,
    /// Allows the vxlans that it describes. Default: no vxlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vxlan: Option<VxlanRule>,
    /// Allows links of the CNI plugins and definitions that it describes. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni: Option<CniRule>,
    /// Networks that must contain the addresses and ranges of the link, at most 16. Default: no address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<Cidr>,
    /// Routing domains that the link may use, DNS labels, at most 16. Default: only `cluster`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::domains")]
    pub domains: Vec<String>,
    /// Reserved networks that the link may overlap, at most 16. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub may_overlap: Vec<MayOverlap>,
    /// Networks that must contain the destinations of the link's routes, at most 16. Default: no route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Cidr>,
    /// Routing tables that routes may use, at most 16 ranges. Default: only the main table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub tables: Vec<TableRange>,
    /// MAC addresses of the link: `Assigned` (podconfig assigns one, and the bridge forwards to no other) or `Any` (the
    /// link may specify its own and use further ones). Default: Assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<Macs>,
    /// Whether `slaac: Accept` is allowed: `Denied` or `Allowed`. Default: Denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slaac: Option<SlaacRule>,
}

/// Allowed places of the other end of a veth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.bridges), has(self.hostBridges) && size(self.hostBridges) > 0, has(self.routed)].exists(place, place)",
    "a veth rule without a place allows nothing; add bridges, hostBridges or routed",
)])))]
pub struct VethRule {
    /// `Own`: bridges of the PodConfig's namespace. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Bridges>,
    /// Linux bridges of the node by interface name (at most 15 bytes each), at most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub host_bridges: Vec<String>,
    /// `{}`: routed veths. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<RoutedRule>,
}

/// Allowed bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Bridges {
    /// Bridges of the PodConfig's namespace.
    Own,
}

/// No options yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutedRule {}

/// Routing tables from `min` to `max`, inclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "self.min <= self.max",
    "min is more than max; write the lower number as min",
)])))]
pub struct TableRange {
    /// The first table: 1 to 4294967295.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub min: i64,
    /// The last table, inclusive: 1 to 4294967295.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub max: i64,
}

/// Allowed MAC addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Macs {
    /// podconfig assigns the address; the bridge forwards to no other.
    Assigned,
    /// The link may specify its own, and the bridge learns addresses.
    Any,
}

/// Whether router advertisements may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SlaacRule {
    Denied,
    Allowed,
}

/// Limits. With several policies, the highest value of each applies. Absent: no limit in this policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Maximum number of links per pod from all PodConfigs: 0 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub links_per_pod: Option<i32>,
    /// Maximum number of pods with links per namespace: 0 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub pods_per_namespace: Option<i32>,
}
