//! The daemon of podconfig: reconciles the links of each recorded pod with the objects. The same program is also the
//! cluster controller.

/// Arguments that several subcommands have.
pub mod args;
/// Hints to pods without a record.
pub mod backfill;
/// The command line.
pub mod cli;
/// Status conditions of PodConfigs and PodReports.
pub mod conditions;
/// Flags and environment of the daemon.
pub mod config;
/// The cluster controller.
pub mod controller;
/// Start and end of the daemon.
pub mod daemon;
/// `/livez`, `/readyz`, `/metrics`.
pub mod http;
/// An installation of podconfig on a node.
pub mod installation;
/// Keeps the switch pinned and the plugin in the chain.
pub mod keep;
/// Lock files of daemon and keeper.
pub mod lock;
/// Metrics of the daemon.
pub mod metrics;
/// `reconfd networks` and the snapshot file.
pub mod networks;
/// The node reconciler: observe, plan, apply, report.
pub mod podconfig;
/// Object sources and report sinks.
pub mod source;
/// `reconfd uninstall`.
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
