//! `PodConfig`: a tenant's wish, which pods of the namespace get which links.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, InterfaceAddress, Mac, Reason, shape};

/// `ipam`: addresses that podconfig chooses.
pub mod ipam;
/// `vlan`: 802.1Q.
pub mod vlan;
/// `vxlan`: tunnels.
pub mod vxlan;

pub use ipam::{Ipam, Range};
pub use vlan::{Mode, Vlan};
pub use vxlan::{AutoPeers, Peers, Vxlan};

/// What the namespace wants: which of its pods, and which links they get.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PodConfig",
    namespaced,
    status = "PodConfigStatus",
    shortname = "podcfg",
    category = "podconfig-dev",
    doc = "Gives running pods of its namespace more network links, and takes them away again when \
           it is deleted. A PodConfigPolicy must allow every link.",
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
    /// Which pods of this namespace, by their labels. `{}` is every pod of the namespace.
    #[schemars(schema_with = "shape::label_selector")]
    pub pod_selector: LabelSelector,
    /// The links that each selected pod gets: 1 to 32, each name once.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub links: Vec<Link>,
}

/// As the kernel sees it: a gateway is on the link if an address of the link, or a route without a gateway, says so.
/// 169.254.1.1 is where routed links lead. What a router advertisement brings is known to the pod alone, and so is
/// what it gives itself where the link has no address of that family.
const VIA_IS_NEAR: &str = "!has(self.routes) || has(self.veth) && has(self.veth.routed) \
    || self.routes.all(r, !has(r.via) || !isIP(r.via) || r.via == '169.254.1.1' \
    || r.via.contains(':') && (ip(r.via).isLinkLocalUnicast() || has(self.slaac) && self.slaac == 'Accept') \
    || has(self.addresses) && self.addresses.exists(a, isCIDR(a) && cidr(a).containsIP(r.via)) \
    || has(self.ipam) && has(self.ipam.ranges) && self.ipam.ranges.exists(n, isCIDR(n.cidr) && cidr(n.cidr).containsIP(r.via)) \
    || self.routes.exists(o, !has(o.via) && isCIDR(o.to) && cidr(o.to).containsIP(r.via)) \
    || !(has(self.addresses) && self.addresses.exists(a, a.contains(':') == r.via.contains(':'))) \
    && !(has(self.ipam) && has(self.ipam.ranges) && self.ipam.ranges.exists(n, n.cidr.contains(':') == r.via.contains(':'))))";

/// One network interface in the pod. Exactly one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "[has(self.veth), has(self.vlan), has(self.vxlan)].exists_one(kind, kind)",
        "a link has exactly one kind: veth, vlan or vxlan",
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
    /// The name of the interface in the pod, and of the link here: 1 to 15 letters, digits, `.`, `_` and `-`.
    /// Not `lo`, `eth0`, `all` or `default`.
    #[schemars(schema_with = "shape::link_name")]
    pub name: String,
    /// A pair of virtual Ethernet devices: one end in the pod, the other on a bridge or routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veth: Option<Veth>,
    /// An 802.1Q network of the node's surroundings, or a sub-interface of a link in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// A tunnel to other nodes, or over a link in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vxlan: Option<Vxlan>,
    /// The largest packet, in bytes: 68 to 65535, with IPv6 at least 1280. Default: what the device
    /// below can carry, and that anew when it changes; 1500 where there is none. A vxlan carries 50
    /// bytes less than its underlay, over IPv6 70.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<i32>,
    /// The Ethernet address, such as `0a:58:0a:63:00:0a`; only where the policy says `macs: Any`.
    /// One that goes with an IP address, as this one with 10.99.0.10, is for the link with that address.
    /// Default: derived from an address of the link, the first IPv4 one when the link is made, and as
    /// long as the link has that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// IP addresses of the interface, each with the prefix length of its network: at most 8, none
    /// twice. Several pods cannot hold one address: the first gets it, the others report AddressTaken.
    /// Default: none but the IPv6 link-local one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<InterfaceAddress>,
    /// Addresses that podconfig chooses: each pod gets a free one of each range, beside those that are listed.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// Routes of the pod through this link, at most 16. Default: only the networks of its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Route>,
    /// What the interface does with IPv6 router advertisements: `Ignore` or `Accept`, the latter only
    /// where the policy allows it. Default: Ignore, since one advertisement gives the pod a route and an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slaac: Option<Slaac>,
}

/// A pair of virtual Ethernet devices, one end in the pod. Exactly one place for the other end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.bridge), has(self.hostBridge), has(self.routed)].exists_one(place, place)",
    "a veth has exactly one place for its other end: bridge, hostBridge or routed",
)])))]
pub struct Veth {
    /// A bridge of this namespace, made on demand and gone with its last link: 1 to 63 lower-case
    /// letters, digits and `-`. The same name in another namespace is another bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::bridge_name")]
    pub bridge: Option<String>,
    /// A Linux bridge of the node, by its interface name (at most 15 bytes); only one that the policy names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub host_bridge: Option<String>,
    /// `{}`: no bridge. The node routes, and the gateway of the pod is the host end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<Routed>,
}

/// Nothing to choose yet.
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
    /// The destination: a network with no host bits, such as `172.20.0.0/16`; `0.0.0.0/0` and `::/0` are everything.
    pub to: Cidr,
    /// The gateway, an IP address of the family of `to`, in a network of the link or on a route of it that has no
    /// gateway; an IPv6 link-local one is always there. Default: the gateway of the link's first range of that
    /// family; without one the destination is on the link itself (on a routed veth: the host end).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::gateway")]
    pub via: Option<IpAddr>,
    /// The lower is preferred: 0 to 4294967295. Default: the kernel's, 0 for IPv4 and 1024 for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub metric: Option<i64>,
    /// A routing table of the pod, consulted for what leaves from this link's addresses: 1 to 4294967295
    /// without the kernel's own 253, 254 and 255; only one that the policy lists. Default: the main table.
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

/// Whether the interface takes router advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Slaac {
    Ignore,
    Accept,
}

/// What became of the wish, over all pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodConfigStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The pod selector as a string, as `kubectl get pods -l` takes it.
    #[serde(default)]
    pub selector: String,
    /// The names of the links, commas between.
    #[serde(default)]
    pub links: String,
    /// `Ready`, `Progressing` and `Degraded`, and `AddressConflict` where there is one; each with one reason
    /// of a closed list.
    #[serde(default)]
    #[schemars(schema_with = "shape::conditions")]
    pub conditions: Vec<Condition>,
    /// How many pods the selector selects.
    #[serde(default)]
    pub selected: i32,
    /// How many of them have all of the links.
    #[serde(default)]
    pub configured: i32,
    /// How many of them lack a link for a reason that does not pass by itself.
    #[serde(default)]
    pub failed: i32,
    /// The first few failures, at most 16; each pod's PodReport has all of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub failures: Vec<Failure>,
    /// How full the ranges of the links are, in the order of the spec, at most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub ranges: Vec<RangeUse>,
    /// The columns of `kubectl get` for the same.
    #[serde(default)]
    pub addresses: AddressUse,
}

/// How full one range is, whoever has its addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RangeUse {
    /// The name of the link.
    pub link: String,
    /// The routing domain.
    pub domain: String,
    /// The network.
    pub cidr: Cidr,
    /// How many of the addresses that may be given out are claimed, resting ones included.
    pub used: i64,
    /// How many more may be given out; as a string, for an IPv6 network has more than a number here holds.
    pub free: String,
}

/// How full the ranges are, a number for each, commas between.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AddressUse {
    /// Claimed addresses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub used: String,
    /// Free addresses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub free: String,
}

/// One link that one pod lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The name of the pod.
    pub pod: String,
    /// The name of the link.
    pub link: String,
    /// The reason, one word of a closed list.
    pub reason: Reason,
    /// What happened, in words; the kernel's own where the kernel refused.
    pub message: String,
}
