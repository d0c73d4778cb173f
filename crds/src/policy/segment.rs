//! What a rule allows of the segments that reach beyond the node, each field the plural of the
//! field that it limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, podconfig::vlan::Mode, shape};

/// The vlans that a link may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "size(self.ids) > 0",
    "a vlan rule without ids allows nothing; add ids, such as [{min: 100, max: 199}]",
)])))]
pub struct VlanRule {
    /// Devices of the node that may be the `parent`, by the name that a PodConfig writes, at most 64. A
    /// `parentLink` needs none. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub parents: Vec<String>,
    /// Further devices that may be the `parent` even while they are a port of a bridge or of a bond, which
    /// then loses the vlan's id on that port; at most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub port_parents: Vec<String>,
    /// The ids that a vlan may have, at most 16 ranges.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub ids: Vec<IdRange>,
    /// The modes that a vlan may have. Default: Shared alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub modes: Vec<Mode>,
    /// Whether the segment may be one that pods of another namespace use: `WithinNamespace` or
    /// `AcrossNamespaces`. Default: WithinNamespace; who used it first has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

/// The tunnels that a link may use.
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
    /// Devices of the node that may be the `underlay`, by the name that a PodConfig writes, at most 64. An
    /// `underlayLink` needs none. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::node_interfaces")]
    pub underlays: Vec<String>,
    /// The network identifiers that a vxlan may have, at most 16 ranges.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub vnis: Vec<VniRange>,
    /// The UDP ports that a vxlan may use, at most 16 ranges. Default: 4789 alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<PortRange>,
    /// Networks that the peers must lie in, at most 16; with a `group`, frames are taken from all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub peers: Vec<Cidr>,
    /// Networks that a multicast `group` must lie in, at most 16. Default: no group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub groups: Vec<Cidr>,
    /// The modes that a vxlan may have. Default: Shared alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub modes: Vec<Mode>,
    /// Whether the segment may be one that pods of another namespace use: `WithinNamespace` or
    /// `AcrossNamespaces`. Default: WithinNamespace; who used it first has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Whether the segment may be there on a node whose kernel has no nf_tables, so that whoever reaches the
    /// node's UDP port can send into it: `Denied` or `Allowed`. Default: Denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfiltered: Option<Unfiltered>,
}

/// With whom a segment may be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Sharing {
    /// Pods of one namespace.
    WithinNamespace,
    /// Pods of every namespace whose rule says so as well.
    AcrossNamespaces,
}

/// Whether a tunnel may go without the filter that lets only peers into it.
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
    /// Vlan ids from `min` to `max`, both included.
    IdRange, 4094, "The first id: 1 to 4094.", "The last id, itself included: 1 to 4094."
);
range!(
    /// Network identifiers from `min` to `max`, both included.
    VniRange, 16_777_215, "The first identifier: 1 to 16777215.", "The last identifier, itself included: 1 to 16777215."
);
range!(
    /// UDP ports from `min` to `max`, both included.
    PortRange, 65535, "The first port: 1 to 65535.", "The last port, itself included: 1 to 65535."
);
