//! `PodConfigPolicy`: an administrator's word. No policy, no links.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, shape};

/// Rules for addresses.
pub mod address;
/// Rules for vlan and vxlan.
pub mod segment;

pub use address::{MayOverlap, OnConflict};
pub use segment::{IdRange, PortRange, Sharing, Unfiltered, VlanRule, VniRange, VxlanRule};

/// For which namespaces, what their links may use, and how many.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodConfigPolicy",
    plural = "podconfigpolicies",
    shortname = "podcfgpolicy",
    category = "podconfig-dev",
    status = "PodConfigPolicyStatus",
    doc = "Says what the PodConfigs of some namespaces may use. What no policy allows is refused: \
           without a policy, no links. A policy that is withdrawn takes the links with it.",
    printcolumn(name = "In Use By", type_ = "string", json_path = ".status.inUseBy"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigPolicySpec {
    /// The namespaces that this policy speaks of, by their labels; `{}` is every namespace.
    #[schemars(schema_with = "shape::label_selector")]
    pub namespace_selector: LabelSelector,
    /// The rules, at most 64. Those of all policies add up; one single rule must allow the whole link.
    /// Default: none.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow: Vec<Rule>,
    /// How much a pod and a namespace may have. Default: no limit of this policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What becomes of a link when a network of the cluster appears that it overlaps: `Keep` (it stays, and its
    /// PodConfig says `AddressConflict`) or `Detach`. Of several policies, Detach counts. Default: Keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Whether pods that may administer their network have links: `Any`, or `UserNamespace` (a pod with the
    /// capability NET_ADMIN in any container, or a privileged one, needs `hostUsers: false`, or its links are
    /// refused). Without a user namespace such a pod may administer the node's network as well, whatever
    /// podconfig does. Of several policies, UserNamespace counts. Default: Any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_admin: Option<NetAdmin>,
    /// Networks that no link of these namespaces may overlap, at most 64, whatever the rules say. Default: none
    /// but those of the cluster itself, which always hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub reserved: Vec<Cidr>,
}

/// Which pods that may administer their network have links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetAdmin {
    /// All of them.
    Any,
    /// Those in a user namespace of their own.
    UserNamespace,
}

/// Whether links depend on the policy; written by the controller alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigPolicyStatus {
    /// The installations of podconfig that serve a PodConfig in a namespace that the policy selects, by name.
    /// As long as there is one, the policy is deleted only with the annotation
    /// `podconfig.dev/allow-deletion: "true"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub in_use_by: Vec<String>,
}

/// What one link may use. A member that is absent allows nothing of its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.veth), has(self.vlan), has(self.vxlan)].exists(kind, kind)",
    "a rule without a kind of link allows nothing; add veth, vlan or vxlan",
)])))]
pub struct Rule {
    /// Allows veths, to the places that it names. Default: no veth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veth: Option<VethRule>,
    /// Allows vlans, as far as it says. Default: no vlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanRule>,
    /// Allows vxlans, as far as it says. Default: no vxlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vxlan: Option<VxlanRule>,
    /// Networks that the addresses and ranges of the link must lie in, at most 16. Default: no address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<Cidr>,
    /// Routing domains that the link's addresses may be in, DNS labels, at most 16. Default: `cluster` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::domains")]
    pub domains: Vec<String>,
    /// Networks of others that the link may overlap, at most 16. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub may_overlap: Vec<MayOverlap>,
    /// Networks that the destinations of the link's routes must lie in, at most 16. Default: no route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Cidr>,
    /// Routing tables that routes may be in, at most 16 ranges. Default: the main table alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub tables: Vec<TableRange>,
    /// Whose Ethernet address the link has: `Assigned` (podconfig gives it, and the bridge forwards
    /// to no other) or `Any` (the link may name its own and use further ones). Default: Assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<Macs>,
    /// Whether a link may say `slaac: Accept`: `Denied` or `Allowed`. Default: Denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slaac: Option<SlaacRule>,
}

/// The places that the other end of a veth may be in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.bridges), has(self.hostBridges) && size(self.hostBridges) > 0, has(self.routed)].exists(place, place)",
    "a veth rule without a place allows nothing; add bridges, hostBridges or routed",
)])))]
pub struct VethRule {
    /// `Own`: bridges of the PodConfig's own namespace. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Bridges>,
    /// Linux bridges of the node by their interface names (at most 15 bytes each), at most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub host_bridges: Vec<String>,
    /// `{}`: veths that the node routes. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<RoutedRule>,
}

/// Whose bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Bridges {
    /// Bridges of the PodConfig's own namespace.
    Own,
}

/// Nothing to choose yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutedRule {}

/// Routing tables from `min` to `max`, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "self.min <= self.max",
    "min is more than max; write the lower number as min",
)])))]
pub struct TableRange {
    /// The first table: 1 to 4294967295.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub min: i64,
    /// The last table, itself included: 1 to 4294967295.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub max: i64,
}

/// Whose Ethernet addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Macs {
    /// podconfig gives the address; the bridge forwards to no other.
    Assigned,
    /// The link may name its own, and the bridge learns.
    Any,
}

/// Whether router advertisements may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SlaacRule {
    Denied,
    Allowed,
}

/// How much. Of several policies, the highest of each. Absent: no limit of this policy's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many links one pod may have from all PodConfigs: 0 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub links_per_pod: Option<i32>,
    /// How many pods of one namespace may have links: 0 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub pods_per_namespace: Option<i32>,
}
