//! `vxlan`: a link that reaches pods of other nodes through a tunnel.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vlan::Mode;
use crate::shape;

/// The port that IANA has given to VXLAN.
pub const VXLAN_PORT: u16 = 4789;

/// A VXLAN segment. Exactly one device that its outer packets leave by.
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
    /// The device of the node that the tunnel is on, by its name or altname (at most 15 bytes); only one
    /// that the policy names. Outer packets are taken from it alone, and leave as the node routes to the peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::node_interface")]
    pub underlay: Option<String>,
    /// A link inside the pod that the outer packets leave by: `eth0`, say. Nothing of the node is touched.
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
    /// `Exclusive`: the vxlan device itself moves into this one pod, where the policy allows that; root
    /// there can then send to any VNI as the node. Default: Shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Where the other ends of the tunnel are.
    pub peers: Peers,
}

/// The other ends of a tunnel: found, one by one, or as a multicast group. Exactly one of the three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "[has(self.auto), has(self.addresses), has(self.group)].exists_one(way, way)",
    "peers are told in exactly one way: auto, addresses or group",
)])))]
pub struct Peers {
    /// `{}`: the nodes that run pods of this namespace on this VNI and port, found and kept current as pods
    /// come, move and go. Of their addresses only those that the policy's `peers` hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoPeers>,
    /// IP addresses of the other ends, all of one family, at most 64; the node's own are left out. What is
    /// for all of the segment is sent to each of them, and only from them frames are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::peer_addresses")]
    pub addresses: Option<Vec<IpAddr>>,
    /// A multicast address that all ends join, such as `239.1.1.1`; the underlay must carry it. Frames are
    /// taken only from the networks that the policy lists as `peers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::multicast_group")]
    pub group: Option<IpAddr>,
}

/// Nothing to choose yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutoPeers {}

impl Vxlan {
    /// The UDP port, the usual one where none is asked for; `None`: what is asked for is no port.
    pub fn port(&self) -> Option<u16> {
        self.port
            .map_or(Some(VXLAN_PORT), |port| u16::try_from(port).ok())
    }
}
