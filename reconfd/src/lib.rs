//! The daemon of podconfig: reconciles the links of each recorded pod with the objects. The same program is also the
//! cluster controller.

/// Hints to pods without a record.
pub mod backfill;
/// The command line.
pub mod cli;
/// Flags and environment of the daemon.
pub mod config;
/// Start and end of the daemon.
pub mod daemon;
/// The node reconciler: observe, plan, apply, report.
pub mod podconfig;
/// The links of an installation, and the switch.
mod remove_links;
/// Destination of reports.
pub mod report_sink;

use self::cli::{Cli, Program};

/// Runs what the command line says, until SIGTERM or SIGINT.
pub fn run(cli: &Cli) -> anyhow::Result<()> {
    match cli {
        Cli::Daemon(config) => daemon::run(config),
        Cli::Other(Program::Attachments(config)) => attachments::command::run(config),
        Cli::Other(Program::Controller(config)) => controller::run(config),
        Cli::Other(Program::Keep(config)) => keep::run(config),
        Cli::Other(Program::Networks(config)) => networks::run(config),
        Cli::Other(Program::Run(config)) => Ok(runner::server::run(config)?),
        Cli::Other(Program::Uninstall(config)) => uninstall::run(config, remove_links::remove),
    }
}
