//! `vlan`: a link that reaches an 802.1Q network beyond the node, or a sub-interface inside the pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// An 802.1Q network, by the device that carries it and its id. Exactly one carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "[has(self.parent), has(self.parentLink)].exists_one(carrier, carrier)",
        "a vlan has exactly one carrier: parent (a device of the node) or parentLink (a link of the pod)",
    ),
    (
        "!has(self.mode) || has(self.parent)",
        "mode is about a device of the node; a vlan on a parentLink is the pod's alone",
    ),
])))]
pub struct Vlan {
    /// The device of the node that carries the network, by its name or altname (at most 15 bytes); only
    /// one that the policy names. It may appear later and go away at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub parent: Option<String>,
    /// A link inside the pod that carries the network: another link of podconfig's, or any other by its name
    /// there. Nothing of the node is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub parent_link: Option<String>,
    /// The id in the 802.1Q tag: 1 to 4094.
    #[schemars(range(min = 1, max = 4094))]
    pub id: i32,
    /// `Shared`: the pod gets a veth on a bridge that all pods of the node on this network share.
    /// `Exclusive`: the vlan device itself moves into this one pod, where the policy allows that. Default: Shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// Who has the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// The node has it; the pods have veths on its bridge.
    Shared,
    /// One pod has it.
    Exclusive,
}
