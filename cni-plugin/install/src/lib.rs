//! Installs the plugin into a node's CNI folders and uninstalls it. It must never leave a partially written
//! file that a runtime could read, change content of others, or remove the binary while a runtime may still
//! call it.

mod args;
mod binary;
mod cache;
mod chain;
mod copy;
mod entry;
mod error;
mod folder;
mod install;
mod mode;
mod output;
mod pass;
mod placement;
mod removal;
mod staged_file;
mod step;
mod uninstall;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use args::InstallCommand;
use install::install;
use output::{PROGRAM, warn};
use uninstall::uninstall;

/// The exit code for an invalid command line.
const USAGE: u8 = 2;

/// The help of `install` or `uninstall`; the reference of flags is made from it.
pub fn help(verb: &str) -> Result<&'static str, String> {
    match args::parse(&[verb.to_owned(), "--help".to_owned()])? {
        InstallCommand::Help(text) => Ok(text),
        other => Err(format!("{verb} --help is {other:?}")),
    }
}

/// Runs the command line without the program's name.
pub fn run(args: &[String]) -> ExitCode {
    let ended = match args::parse(args) {
        Err(text) => {
            warn(&text);
            return ExitCode::from(USAGE);
        }
        Ok(InstallCommand::Help(text)) => return print(text),
        Ok(InstallCommand::Version) => {
            return print(&format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION")));
        }
        Ok(InstallCommand::Install(options)) if options.watch => watch::run(&options),
        Ok(InstallCommand::Install(options)) => install(&options),
        Ok(InstallCommand::Uninstall(options)) => uninstall(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            warn(&failure.text);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
