//! Segments: VLANs and VXLANs on devices of the node, which several pods can share.

/// Pure: the tunnel endpoints of `peers: {auto: {}}`.
pub mod endpoints;
/// Pure: which namespace owns a segment, and whose settings it has.
pub mod owner;

pub use owner::{Member, Registration, Segments};
