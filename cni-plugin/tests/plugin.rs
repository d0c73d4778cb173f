//! The real binary, called as a container runtime calls it, with real network namespaces.
//! Needs root; makes what it needs under a temporary folder and takes it away again.

#![allow(clippy::unwrap_used)]

#[path = "plugin/add.rs"]
mod add;
#[path = "plugin/harness.rs"]
mod harness;
#[path = "plugin/life.rs"]
mod life;
#[path = "plugin/names.rs"]
mod names;
#[path = "plugin/node.rs"]
mod node;
#[path = "plugin/outcome.rs"]
mod outcome;
#[path = "plugin/requests.rs"]
mod requests;
#[path = "plugin/waiting.rs"]
mod waiting;
