//! Addresses that never collide: which one a link gets, who has it, and what no link may touch.

/// Who has which address, and how a link comes by one.
pub mod claims;
/// Pure: addresses of one network that may be given out.
pub mod range;
/// Pure: the networks that no link may overlap, and what overlaps them.
pub mod reserved;
