//! The recorder at the end of a node's CNI chain, and what the daemon shares with it: the record of a
//! sandbox and the door to a network namespace. Running the plugin must never change a pod's network.

pub mod install;
pub mod netns;
pub mod record;
pub mod watchdog;

mod commands;
mod json;
mod protocol;
mod request;
mod sandbox;
mod world;

pub use protocol::{PLUGIN_TYPE, SUPPORTED_VERSIONS};
pub use world::{World, run};
