//! The daemon of podconfig: makes each recorded pod's links what the objects say. On a cluster the same
//! program is also the controller, which sees more than one node.

/// Addresses that never collide.
pub mod address;
/// Pods that no record speaks of: what others say about where they are.
pub mod backfill;
/// The command line.
pub mod cli;
/// Status conditions of PodConfigs and PodReports.
pub mod conditions;
/// Flags and environment of the daemon.
pub mod config;
/// The cluster controller.
pub mod controller;
/// The daemon: its threads, from the first to the last.
pub mod daemon;
/// `/livez`, `/readyz`, `/metrics`.
pub mod http;
/// One copy of podconfig on a node.
pub mod installation;
/// Keeps the switch pinned and the chain intact.
pub mod keep;
/// One program of a kind per installation and node.
pub mod lock;
/// Metrics of the daemon.
pub mod metrics;
/// Which networks no link may overlap, as they are printed.
pub mod networks;
/// The machine: namespaces, the switch, links. Knows nothing of Kubernetes.
pub mod node;
/// One pod after the other: fetch, decide, act, tell.
pub mod podconfig;
/// The namespaces that an installation serves.
pub mod scope;
/// Where objects come from and where reports go.
pub mod source;
/// podconfig taken away again.
pub mod uninstall;

use self::cli::{Cli, Program};

/// Runs what the command line says, until SIGTERM or SIGINT.
pub fn run(cli: &Cli) -> anyhow::Result<()> {
    match cli {
        Cli::Daemon(config) => daemon::run(config),
        Cli::Other(Program::Controller(config)) => controller::run(config),
        Cli::Other(Program::Keep(config)) => keep::run(config),
        Cli::Other(Program::Networks(config)) => networks::run(config),
        Cli::Other(Program::Uninstall(config)) => uninstall::run(config),
    }
}
