//! The process: arguments, logging, exit code.

use std::{io::IsTerminal, process::ExitCode};

use args::{LogFormat, Logging};
use reconfd::cli::Cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Jails are forks of a process that has one thread.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == runner::JAIL)
    {
        return runner::serve_jails();
    }
    let cli = Cli::parse();
    keep_little_memory();
    start_logging(cli.logging());
    match reconfd::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Threads that enter a pod's namespace live for microseconds, but a malloc arena for each would stay. And memory
/// for a burst of pods is returned to the node: by default glibc raises both thresholds to the largest block
/// that was ever freed, and from then on keeps holes of that size.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn keep_little_memory() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
    const BLOCK: i32 = 128 * 1024;
    for (option, value) in [
        (M_ARENA_MAX, 1),
        (M_MMAP_THRESHOLD, BLOCK),
        (M_TRIM_THRESHOLD, BLOCK),
    ] {
        // SAFETY: called before any other thread starts; a refusal changes nothing.
        unsafe { mallopt(option, value) };
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_little_memory() {}

fn start_logging(config: &Logging) {
    // Callers log the errors of these crates, with the request.
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
