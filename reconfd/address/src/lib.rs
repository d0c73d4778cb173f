//! Address management: allocation of link addresses, and the networks that links must not overlap.

/// Address allocation for links, by AddressClaims.
pub mod claims;
/// Pure: the reserved networks known on this node.
pub mod inventory;
/// Pure: the node's and pods' addresses and routes as reserved networks.
pub mod kernel;
/// Pure: checks a link's networks against reserved networks.
pub mod overlap;
/// Pure: the addresses of a network that may be allocated.
pub mod range;
/// Pure: the networks that no link may overlap, and lookups in them.
pub mod reserved;
/// Pure: the Kubernetes objects that describe the networks of a cluster, and their parsers.
pub mod sources;
