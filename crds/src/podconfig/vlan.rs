//! `vlan`: a link to an 802.1Q network outside of the node, or a sub-interface inside the pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// An 802.1Q network, by its parent device and id. Exactly one parent.
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
    /// Parent device on the node, by its name or altname (at most 15 bytes); the policy must list it. It may appear
    /// later and disappear at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub parent: Option<String>,
    /// Parent link inside the pod: another podconfig link, or any other interface by its name in the pod. The node is
    /// not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub parent_link: Option<String>,
    /// The 802.1Q VLAN id: 1 to 4094.
    #[schemars(range(min = 1, max = 4094))]
    pub id: i32,
    /// `Shared`: the pod gets a veth on a bridge that all pods of the node on this network share.
    /// `Exclusive`: the vlan device itself moves into this one pod, where the policy allows that. Default: Shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// Where the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// On the node; pods have veths on its bridge.
    Shared,
    /// In one pod.
    Exclusive,
}
