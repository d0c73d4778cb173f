//! `PodConfig`: the desired links of selected pods of a namespace, written by tenants.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, InterfaceAddress, Mac, Reason, shape};

/// `cni`: links that CNI plugins make.
pub mod cni;
/// `ipam`: address allocation.
pub mod ipam;
/// `vlan`: 802.1Q.
pub mod vlan;
/// `vxlan`: tunnels.
pub mod vxlan;

pub use cni::{Check, Cni};
pub use ipam::{Ipam, Range};
pub use vlan::{Mode, Vlan};
pub use vxlan::{AutoPeers, Peers, Vxlan};

/// The selected pods and their links.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodConfig",
    namespaced,
    status = "PodConfigStatus",
    shortname = "podcfg",
    category = "podconfig-dev",
    doc = "Adds network links to running pods of its namespace, and removes them when it is deleted. A \
           PodConfigPolicy must allow every link.",
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
    printcolumn(name = "Selected", type_ = "integer", json_path = ".status.selected"),
    printcolumn(
        name = "Configured",
        type_ = "integer",
        json_path = ".status.configured"
    ),
    printcolumn(
        name = "Conflict",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="AddressConflict")].status"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Selector",
        type_ = "string",
        json_path = ".status.selector",
        priority = 1
    ),
    printcolumn(
        name = "Links",
        type_ = "string",
        json_path = ".status.links",
        priority = 1
    ),
    printcolumn(
        name = "Used",
        type_ = "string",
        json_path = ".status.addresses.used",
        priority = 1
    ),
    printcolumn(
        name = "Free",
        type_ = "string",
        json_path = ".status.addresses.free",
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
#[serde(rename_all = "camelCase")]
pub struct PodConfigSpec {
    /// Selects pods of this namespace by label. `{}` selects all.
    #[schemars(schema_with = "shape::label_selector")]
    pub pod_selector: LabelSelector,
    /// The links of each selected pod: 1 to 32, with unique names.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub links: Vec<Link>,
}

/// The kernel's rule: a gateway is on-link if a network of the link's addresses or a route without a gateway contains
/// it. 169.254.1.1 is the gateway of routed links. Addresses from router advertisements, and those that the pod
/// configures itself where the link has none of that family, are known only inside the pod.
const VIA_IS_NEAR: &str = "!has(self.routes) || has(self.veth) && has(self.veth.routed) \
    || self.routes.all(r, !has(r.via) || !isIP(r.via) || r.via == '169.254.1.1' \
    || r.via.contains(':') && (ip(r.via).isLinkLocalUnicast() || has(self.slaac) && self.slaac == 'Accept') \
    || has(self.addresses) && self.addresses.exists(a, isCIDR(a) && cidr(a).containsIP(r.via)) \
    || has(self.ipam) && has(self.ipam.ranges) && self.ipam.ranges.exists(n, isCIDR(n.cidr) && cidr(n.cidr).containsIP(r.via)) \
    || self.routes.exists(o, !has(o.via) && isCIDR(o.to) && cidr(o.to).containsIP(r.via)) \
    || !(has(self.addresses) && self.addresses.exists(a, a.contains(':') == r.via.contains(':'))) \
    && !(has(self.ipam) && has(self.ipam.ranges) && self.ipam.ranges.exists(n, n.cidr.contains(':') == r.via.contains(':'))))";

/// A network interface in the pod, of exactly one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "[has(self.veth), has(self.vlan), has(self.vxlan), has(self.cni)].exists_one(kind, kind)",
        "a link has exactly one kind: veth, vlan, vxlan or cni",
    ),
    (
        "!has(self.cni) || !has(self.mtu) && !has(self.ipam) && !has(self.routes) && !has(self.slaac)",
        "mtu, ipam, routes and slaac of a cni link are up to its plugins; write them in the network configuration",
    ),
    (
        "!has(self.vlan) || !has(self.vlan.parentLink) || self.vlan.parentLink != self.name",
        "a link cannot carry itself; parentLink is another link of the pod",
    ),
    (
        "!has(self.vxlan) || !has(self.vxlan.underlayLink) || self.vxlan.underlayLink != self.name",
        "a link cannot carry itself; underlayLink is another link of the pod",
    ),
    (
        "!has(self.mtu) || self.mtu >= 1280 || !has(self.addresses) || !self.addresses.exists(a, a.contains(':'))",
        "IPv6 needs an mtu of at least 1280",
    ),
    (
        "!has(self.mtu) || self.mtu >= 1280 || !has(self.slaac) || self.slaac != 'Accept'",
        "slaac: Accept needs an mtu of at least 1280",
    ),
    (
        "!has(self.mtu) || self.mtu >= 1280 || !has(self.ipam) || !has(self.ipam.ranges) || !self.ipam.ranges.exists(r, r.cidr.contains(':'))",
        "IPv6 needs an mtu of at least 1280",
    ),
    (
        "!has(self.addresses) || !has(self.ipam) || !has(self.ipam.ranges) || self.ipam.ranges.all(r, !has(r.gateway) || !isIP(r.gateway) \
         || self.addresses.all(a, !isCIDR(a) || !(cidr(a).ip() == ip(r.gateway))))",
        "the gateway of a range is a neighbour, and not one of the link's own addresses",
    ),
    (
        "!has(self.routes) || !has(self.addresses) || self.routes.all(r, !has(r.via) || !isIP(r.via) \
         || self.addresses.all(a, !isCIDR(a) || !(cidr(a).ip() == ip(r.via))))",
        "via is a neighbour, and not one of the link's own addresses",
    ),
    (VIA_IS_NEAR, "via is in none of the link's networks, so the kernel would not know the way to it; write an address of \
      one of them, a link-local IPv6 address, or a route without via that leads to it"),
    (
        "!has(self.routes) || !has(self.veth) || !has(self.veth.routed) || self.routes.all(r, !has(r.via) \
         || !isIP(r.via) || r.via == '169.254.1.1' || r.via.contains(':') && ip(r.via).isLinkLocalUnicast())",
        "the only neighbour on a routed link is the node; leave via out",
    ),
])))]
pub struct Link {
    /// Name of the link and of its interface in the pod: 1 to 15 letters, digits, `.`, `_` and `-`. Not `lo`, `eth0`,
    /// `all` or `default`.
    #[schemars(schema_with = "shape::link_name")]
    pub name: String,
    /// A veth pair: one end in the pod, the other on a bridge or routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veth: Option<Veth>,
    /// An 802.1Q VLAN on a device of the node, or on a link in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// A VXLAN tunnel to other nodes, or over a link in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vxlan: Option<Vxlan>,
    /// A link that CNI plugins of the node make, by a NetworkAttachmentDefinition or a configuration. `mac` and
    /// `addresses` are asked of plugins that have the capabilities `mac` and `ips`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni: Option<Cni>,
    /// MTU in bytes: 68 to 65535, with IPv6 at least 1280. Default: follows the MTU of the underlying device; 1500
    /// without one. The MTU of a vxlan is 50 bytes less than that of its underlay, over IPv6 70.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<i32>,
    /// MAC address, such as `0a:58:0a:63:00:0a`; requires `macs: Any` in the policy. One that is derived from an IP
    /// address, as this one from 10.99.0.10, is allowed only on the link with that address. Default: derived from an
    /// address of the link, the first IPv4 one at creation, and kept as long as the link has that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// IP addresses of the interface, each with the prefix length of its network: at most 8, without duplicates. Only
    /// one pod can hold an address: the first gets it, the others report AddressTaken. Default: only the IPv6
    /// link-local address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<InterfaceAddress>,
    /// Allocated addresses: each pod gets a free one from each range, in addition to `addresses`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// Routes of the pod through this link, at most 16. Default: only the networks of its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Route>,
    /// IPv6 router advertisements: `Ignore`, or `Accept` where the policy allows it. Default: Ignore, because one
    /// advertisement gives the pod a route and an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slaac: Option<Slaac>,
}

/// A veth pair with one end in the pod and exactly one place for the other end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.bridge), has(self.hostBridge), has(self.routed)].exists_one(place, place)",
    "a veth has exactly one place for its other end: bridge, hostBridge or routed",
)])))]
pub struct Veth {
    /// A bridge of this namespace, created on demand and deleted with its last link: 1 to 63 lower-case letters,
    /// digits and `-`. The same name in another namespace is a different bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::bridge_name")]
    pub bridge: Option<String>,
    /// A Linux bridge of the node, by its interface name (at most 15 bytes); the policy must list it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub host_bridge: Option<String>,
    /// `{}`: no bridge. The node routes, and the host end is the pod's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<Routed>,
}

/// No options yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Routed {}

/// One route of the pod through a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "!has(self.via) || self.via.contains(':') == self.to.contains(':')",
    "via and to are of one family: both IPv4 or both IPv6",
)])))]
pub struct Route {
    /// Destination network without host bits, such as `172.20.0.0/16`; `0.0.0.0/0` and `::/0` are default routes.
    pub to: Cidr,
    /// Gateway address of the same family as `to`, in a network of the link or in the destination of its route without
    /// gateway; an IPv6 link-local one is always accepted. Default: the gateway of the link's first range of that
    /// family; without one the destination is on-link (on a routed veth: via the host end).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::gateway")]
    pub via: Option<IpAddr>,
    /// Route metric, lower is preferred: 0 to 4294967295. Default: the kernel's, 0 for IPv4 and 1024 for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub metric: Option<i64>,
    /// Routing table of the pod, used for packets from this link's addresses: 1 to 4294967295 without the kernel's own
    /// 253, 254 and 255; the policy must list it. Default: the main table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(min = 1, max = 4_294_967_295_u32),
        extend("x-kubernetes-validations" = shape::rules(&[(
            "self < 253 || self > 255",
            "253, 254 and 255 are the kernel's default, main and local; leave table out for main",
        )]))
    )]
    pub table: Option<i64>,
}

/// Whether the interface accepts router advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Slaac {
    Ignore,
    Accept,
}

/// Observed state of the links over all selected pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigStatus {
    /// The spec generation that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The pod selector as a string for `kubectl get pods -l`.
    #[serde(default)]
    pub selector: String,
    /// Names of the links, comma-separated.
    #[serde(default)]
    pub links: String,
    /// `Ready`, `Progressing` and `Degraded`, and `AddressConflict` while one exists; each reason is from a closed list.
    #[serde(default)]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
    /// Number of selected pods.
    #[serde(default)]
    pub selected: i32,
    /// Number of selected pods that have all links.
    #[serde(default)]
    pub configured: i32,
    /// Number of selected pods that lack a link for a reason that does not resolve itself.
    #[serde(default)]
    pub failed: i32,
    /// The first failures, at most 16; the PodReport of each pod lists all of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub failures: Vec<Failure>,
    /// Usage of the address ranges, in the order of the spec, at most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub ranges: Vec<RangeUse>,
    /// The same for the columns of `kubectl get`.
    #[serde(default)]
    pub addresses: AddressUse,
}

/// Usage of one address range by all pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RangeUse {
    /// The name of the link.
    pub link: String,
    /// The routing domain.
    pub domain: String,
    /// The network.
    pub cidr: Cidr,
    /// Number of allocatable addresses that are claimed, including quarantined ones.
    pub used: i64,
    /// Number of free addresses; a string, because an IPv6 network may exceed the integer type.
    pub free: String,
}

/// Usage of the ranges, one number per range, comma-separated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AddressUse {
    /// Claimed addresses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub used: String,
    /// Free addresses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub free: String,
}

/// A link that a pod lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The name of the pod.
    pub pod: String,
    /// The name of the link.
    pub link: String,
    /// The reason, from a closed list.
    pub reason: Reason,
    /// Message; the kernel's error text if the kernel refused.
    pub message: String,
}
