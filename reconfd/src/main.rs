//! The process: arguments, logging, exit code.

use std::{io::IsTerminal, process::ExitCode};

use reconfd::cli::{Cli, LogFormat, Logging};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    use_few_arenas();
    start_logging(cli.logging());
    match reconfd::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A thread that visits a pod lives for microseconds; an arena of memory for each would stay.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn use_few_arenas() {
    // SAFETY: called before any other thread starts; a refusal changes nothing.
    unsafe { nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1) };
}

#[cfg(not(target_env = "gnu"))]
fn use_few_arenas() {}

fn start_logging(config: &Logging) {
    // Their errors are told by those who asked, with what they asked for.
    let filter = EnvFilter::try_new(format!(
        "kube_client=off,kube_runtime=off,{}",
        config.filter
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    match text {
        true => logger.with_target(false).init(),
        false => logger.json().flatten_event(true).with_target(false).init(),
    }
}
