//! The Container Network Interface as data: what a plugin is asked, what it answers, and which configuration of it may
//! run. Pure: no I/O, no Kubernetes.

/// A chain of plugins as it was judged: what runs.
pub mod frozen;
/// Strict JSON, which a plugin cannot read in another way.
pub mod json;
/// Whether a tenant's configuration may run.
pub mod judge;
/// Names of networks, containers, interfaces and plugins.
pub mod names;
/// The configuration of a network.
pub mod netconf;
/// What a pod's annotation says of its networks.
pub mod network_status;
/// Errors of plugins.
pub mod plugin_error;
/// The types of plugins in a configuration.
pub mod plugin_types;
/// The input of one execution of a plugin.
pub mod request;
/// Results of plugins.
pub mod result;
/// What of a configuration no message may repeat.
pub mod secrets;
/// Which networks a pod's annotation asks for.
pub mod selection;
/// Versions of the specification.
pub mod version;

pub use frozen::{FrozenChain, FrozenPlugin};
pub use netconf::{AttachmentInput, NetworkConfig, Trust};
pub use plugin_error::PluginError;
pub use request::{Command, PluginInput, PluginRequest};
pub use result::CniResult;
pub use secrets::Secrets;
pub use version::Version;
