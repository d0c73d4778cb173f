//! The process: arguments, logging, exit code.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use reconfd::config::{Config, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let config = Config::parse();
    use_few_arenas();
    start_logging(&config);
    match reconfd::run(&config) {
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

fn start_logging(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let text = match config.log_format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    match text {
        true => logger.with_target(false).init(),
        false => logger.json().flatten_event(true).with_target(false).init(),
    }
}
