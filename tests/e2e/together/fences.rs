//! What RBAC cannot say: each fence, with what it lets through and what it refuses. Told with impersonation and
//! objects made by hand, so an API server alone is enough for it; `thief.rs` tells it with a token that was stolen.

/// Who may claim an address, and free it.
mod claims;
/// What the controller alone may write, and what people may.
mod controller;
/// What a daemon may write.
mod daemon;
/// Where fences are tried.
mod yard;
