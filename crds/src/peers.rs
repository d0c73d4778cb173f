//! `PeerSlice`: the peer nodes of a VXLAN segment with `peers: {auto: {}}`. Split into small objects, so that adding
//! or removing a node changes one of them.

// Each printer column has a type, and the lint takes that for a repetition.
#![allow(clippy::duplicated_attributes)]

use std::net::IpAddr;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// Maximum number of peers in a slice.
pub const MOST_PEERS: usize = 100;

/// Some of the nodes that run pods of this namespace on a VNI and port.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "podconfig.dev",
    version = "v1alpha1",
    kind = "PeerSlice",
    namespaced,
    category = "podconfig-dev",
    doc = "Nodes that run pods of this namespace on one VXLAN segment, for tunnels with \
           `peers: {auto: {}}`. Written by the controller only, from the reports of the nodes.",
    printcolumn(name = "VNI", type_ = "integer", json_path = ".spec.vni"),
    printcolumn(name = "Port", type_ = "integer", json_path = ".spec.port"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct PeerSliceSpec {
    /// The VXLAN network identifier: 1 to 16777215.
    #[schemars(range(min = 1, max = 16_777_215))]
    pub vni: i32,
    /// The UDP port of the outer packets: 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The nodes and their addresses on the underlay, at most 100, each node once.
    #[serde(default)]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["node"])
    )]
    pub peers: Vec<Peer>,
}

/// A tunnel peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// The name of the node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// Its address on the underlay.
    #[schemars(schema_with = "shape::peer_address")]
    pub address: IpAddr,
}
