//! Addresses that never collide: which one a link gets, who has it, and what no link may touch.

/// Pure: what a kernel's addresses and routes mean for links.
pub mod kernel;
/// Pure: the networks that no link may overlap, and what overlaps them.
pub mod reserved;
