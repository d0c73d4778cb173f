//! Executes CNI plugins for pods that run already: `reconfd run`. The daemon decides, and sends a frozen chain with the
//! descriptor of the pod's network namespace over a unix socket; each chain runs in a jail of its own, and its plugins
//! reach nothing of this process. The runner has a list of its own, of the plugins that it may execute at all.

/// The binaries of plugins.
mod binaries;
/// Pure: the order of a chain.
mod chain;
/// The daemon's side of the socket.
pub mod client;
/// The command line.
pub mod config;
/// One execution of a plugin.
mod exec;
/// The jail of a chain.
mod jail;
/// Pure: rules of masquerading that plugins leave.
mod masquerade;
/// Files of the node.
mod node_files;
/// Requests and responses.
pub mod protocol;
/// The server.
pub mod server;
/// What the processes of a chain take.
mod usage;
/// Messages with a descriptor on a unix socket.
mod wire;

pub use jail::{SUBCOMMAND as JAIL, serve as serve_jails};
