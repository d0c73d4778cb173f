//! The CNI plugin that records sandboxes, last in a node's CNI chain. It never changes a pod's network.

pub mod watchdog;

mod commands;
mod io;
mod protocol;
mod request;
mod sandbox;

pub use commands::run;
pub use io::CniIo;
pub use protocol::{PLUGIN_TYPE, SUPPORTED_VERSIONS};
