//! The CNI plugin that records sandboxes, last in a node's CNI chain, and the code that it shares with the
//! daemon: sandbox records and network namespace handles. The plugin never changes a pod's network.

pub mod install;
pub mod netns;
pub mod record;
pub mod watchdog;

mod commands;
mod io;
mod json;
mod protocol;
mod request;
mod sandbox;

pub use commands::run;
pub use io::CniIo;
pub use protocol::{PLUGIN_TYPE, SUPPORTED_VERSIONS};
