//! Addresses that never collide: which one a link gets, who has it, and what no link may touch.

/// Who has which address, and how a link comes by one.
pub mod claims;
/// Pure: all that is known of these on this node.
pub mod inventory;
/// Pure: what a kernel's addresses and routes mean for links.
pub mod kernel;
/// Pure: whether a link would be where no link may be.
pub mod overlap;
/// Pure: addresses of one network that may be given out.
pub mod range;
/// Pure: the networks that no link may overlap, and what overlaps them.
pub mod reserved;
/// Pure: who says where the networks of a cluster are, and what each object says.
pub mod sources;
