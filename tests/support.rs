//! What stories are told with: a throwaway node, its pods, the real daemon, and waiting.
//! Nothing here knows how podconfig works inside; the kernel's state is read with iproute2 alone.

use std::{env, path::PathBuf};

/// libcni's result cache.
pub mod cache;
/// Runs CNI chains as a container runtime does.
pub mod chain;
/// The real daemon.
pub mod daemon;
/// The one place that enters a namespace.
pub mod enter;
/// Several nodes on one wire.
pub mod fabric;
/// How a test opens.
pub mod fixture;
/// Frames, byte by byte.
pub mod frame;
/// The keeper, its chain, and the uninstallation.
pub mod keeper;
/// Links that are edited to other kinds.
pub mod kinds;
/// Links of the kernel, as iproute2 tells them.
pub mod look;
/// YAML.
pub mod manifests;
/// The kernel's events.
pub mod monitor;
/// Words about multicast groups.
pub mod multicast;
/// What Multus does when a pod starts.
pub mod multus;
/// The throwaway node.
pub mod node;
/// Pings.
pub mod ping;
/// Counted pings.
pub mod ping_stream;
/// A CNI plugin and the ways in which its link ends.
pub mod plugins;
/// Pods.
pub mod pod;
/// What a program prints.
pub mod program_log;
/// The runner of CNI plugins.
pub mod runner;
/// A container runtime's CRI socket.
pub mod runtime;
/// Waiting.
pub mod wait;
/// Packet sockets.
pub mod wire;

/// A program of this project: named by the environment, or built beside the test binary.
pub fn binary(variable: &str, name: &str) -> String {
    let path = env::var_os(variable).map_or_else(|| beside(name), PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: run `make test`, or name the program in {variable}",
        path.display()
    );
    path.to_string_lossy().into_owned()
}

/// `target/<profile>/deps/node-…` → `target/<profile>/<name>`.
fn beside(name: &str) -> PathBuf {
    let me = env::current_exe().expect("a program knows its path");
    me.ancestors()
        .nth(2)
        .expect("a test binary is in a deps folder")
        .join(name)
}
