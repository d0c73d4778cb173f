//! Rules for vlan and vxlan segments. Each field is named with the plural of the PodConfig field that it limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, podconfig::vlan::Mode, shape};

/// Allowed vlans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "size(self.ids) > 0",
    "a vlan rule without ids allows nothing; add ids, such as [{min: 100, max: 199}]",
)])))]
pub struct VlanRule {
    /// Allowed values of `parent`, devices of the node, at most 64. A `parentLink` needs none. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub parents: Vec<String>,
    /// Further allowed values of `parent`, even while the device is a port of a bridge or bond, which then loses the
    /// vlan's id on that port; at most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub port_parents: Vec<String>,
    /// Allowed vlan ids, at most 16 ranges.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub ids: Vec<IdRange>,
    /// Allowed modes of a vlan. Default: only Shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub modes: Vec<Mode>,
    /// Whether the segment may be shared with pods of other namespaces: `WithinNamespace` or `AcrossNamespaces`.
    /// Default: WithinNamespace; the namespace that used it first owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

/// Allowed vxlans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "size(self.vnis) > 0",
        "a vxlan rule without vnis allows nothing; add vnis, such as [{min: 10000, max: 10999}]",
    ),
    (
        "has(self.peers) && size(self.peers) > 0",
        "a vxlan rule without peers allows nothing; add the networks that the other ends are in, such as [10.77.0.0/24]",
    ),
])))]
pub struct VxlanRule {
    /// Allowed values of `underlay`, devices of the node, at most 64. An `underlayLink` needs none. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub underlays: Vec<String>,
    /// Allowed VXLAN network identifiers, at most 16 ranges.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub vnis: Vec<VniRange>,
    /// Allowed UDP ports, at most 16 ranges. Default: only 4789.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<PortRange>,
    /// Networks that must contain the peers, at most 16; with a `group`, frames are accepted from all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub peers: Vec<Cidr>,
    /// Networks that must contain a multicast `group`, at most 16. Default: no group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub groups: Vec<Cidr>,
    /// Allowed modes of a vxlan. Default: only Shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub modes: Vec<Mode>,
    /// Whether the segment may be shared with pods of other namespaces: `WithinNamespace` or `AcrossNamespaces`.
    /// Default: WithinNamespace; the namespace that used it first owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Whether the segment may exist on a node whose kernel has no nf_tables, so that any host that reaches the node's
    /// UDP port can send into it: `Denied` or `Allowed`. Default: Denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfiltered: Option<Unfiltered>,
}

/// Which pods may share a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Sharing {
    /// Pods of one namespace.
    WithinNamespace,
    /// Pods of all namespaces whose rules allow this as well.
    AcrossNamespaces,
}

/// Whether a tunnel may exist without the peer filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unfiltered {
    Denied,
    Allowed,
}

macro_rules! range {
    ($(#[$doc:meta])* $name:ident, $max:literal, $first:literal, $last:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
            "self.min <= self.max",
            "min is more than max; write the lower number as min",
        )])))]
        pub struct $name {
            #[doc = $first]
            #[schemars(range(min = 1, max = $max))]
            pub min: i32,
            #[doc = $last]
            #[schemars(range(min = 1, max = $max))]
            pub max: i32,
        }

        impl $name {
            pub fn holds(&self, number: i32) -> bool {
                (self.min..=self.max).contains(&number)
            }
        }
    };
}

range!(
    /// Vlan ids from `min` to `max`, inclusive.
    IdRange, 4094, "The first id: 1 to 4094.", "The last id, inclusive: 1 to 4094."
);
range!(
    /// Network identifiers from `min` to `max`, inclusive.
    VniRange, 16_777_215, "The first identifier: 1 to 16777215.", "The last identifier, inclusive: 1 to 16777215."
);
range!(
    /// UDP ports from `min` to `max`, inclusive.
    PortRange, 65535, "The first port: 1 to 65535.", "The last port, inclusive: 1 to 65535."
);
