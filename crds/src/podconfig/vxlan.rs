//! `vxlan`: a link to pods on other nodes through a tunnel.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vlan::Mode;
use crate::shape;

/// The VXLAN port assigned by IANA.
pub const VXLAN_PORT: u16 = 4789;

/// A VXLAN segment with exactly one underlay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "[has(self.underlay), has(self.underlayLink)].exists_one(carrier, carrier)",
        "a vxlan has exactly one carrier: underlay (a device of the node) or underlayLink (a link of the pod)",
    ),
    (
        "!has(self.mode) || has(self.underlay)",
        "mode is about a device of the node; a vxlan on an underlayLink is the pod's alone",
    ),
    (
        "!has(self.peers.auto) || has(self.underlay)",
        "peers.auto are other nodes; a vxlan on an underlayLink has addresses or a group",
    ),
])))]
pub struct Vxlan {
    /// Underlay device on the node, by its name or altname (at most 15 bytes); the policy must list it. Outer packets
    /// are accepted only from it, and are sent along the node's routes to the peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub underlay: Option<String>,
    /// Underlay link inside the pod, such as `eth0`. The node is not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub underlay_link: Option<String>,
    /// The VXLAN network identifier: 1 to 16777215.
    #[schemars(range(min = 1, max = 16_777_215))]
    pub vni: i32,
    /// The UDP port of the outer packets, 1 to 65535. Default: 4789.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// `Shared`: the pod gets a veth on a bridge that all pods of the node on this segment share.
    /// `Exclusive`: the vxlan device itself moves into this one pod, where the policy allows that; root in the pod can
    /// then send to any VNI as the node. Default: Shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The tunnel peers.
    pub peers: Peers,
}

/// Tunnel peers: discovered, listed, or a multicast group. Exactly one of the three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.auto), has(self.addresses), has(self.group)].exists_one(way, way)",
    "peers have exactly one of auto, addresses or group",
)])))]
pub struct Peers {
    /// `{}`: the nodes that run pods of this namespace on this VNI and port, discovered and kept current as pods start,
    /// move and stop. Only addresses inside the policy's `peers` are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoPeers>,
    /// IP addresses of the peers, all of one family, at most 64; the node's own are ignored. Broadcast and multicast
    /// frames are sent to each peer, and frames are accepted only from peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::peer_addresses")]
    pub addresses: Option<Vec<IpAddr>>,
    /// Multicast address that all endpoints join, such as `239.1.1.1`; the underlay must support it. Frames are accepted
    /// only from the networks in the policy's `peers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::multicast_group")]
    pub group: Option<IpAddr>,
}

/// No options yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutoPeers {}

impl Vxlan {
    /// The UDP port, by default the standard one; `None`: not a valid port.
    pub fn port(&self) -> Option<u16> {
        self.port
            .map_or(Some(VXLAN_PORT), |port| u16::try_from(port).ok())
    }
}
