//! What stories of a cluster are told with: `kubectl` as people use it, and the kernels of its nodes and pods
//! as iproute2 tells them. Nothing here knows how podconfig works inside.

/// podconfig, put on the cluster and taken off.
pub mod installation;
/// `kubectl`.
pub mod kubectl;
/// Wishes, permissions and pods, as YAML.
pub mod manifests;
/// Nodes, and the programs that make the cluster.
pub mod node;
/// Counted pings.
pub mod ping;
/// Pods, and their links.
pub mod pod;
/// podconfig itself: its programs on the cluster.
pub mod product;
/// A namespace with a policy of its own, for one story.
pub mod tenant;

use std::time::Duration;

use crate::wait::within;

/// The machine may be busy with other things: what takes a second may take long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until the probe is content; its error is the state that it saw.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, probe)
}
