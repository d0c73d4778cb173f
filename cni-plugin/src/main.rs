//! `podconfig-cni`: passes the process environment and streams to the library. It only decides between a call
//! by a runtime and interactive use.

use std::process::ExitCode;

use cni_plugin::{CniIo, run, watchdog};

const HELP: &str = "\
podconfig-cni writes down where a pod's network namespace is, so that podconfig's
daemon (reconfd) can reach it. It is the last plugin of a node's CNI chain; the container
runtime runs it, with CNI_COMMAND set and the network's configuration on stdin.

  podconfig-install --help    how to put it into this node's CNI chain, and take it out
  podconfig-cni --version
";

/// The exit code for an invalid command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = std::env::var_os("CNI_COMMAND").unwrap_or_default();
    if command.is_empty() {
        return by_hand();
    }
    // An exit without output is a success for commands without a result, and a failure for those with one.
    let silent_exit = u8::from(command == "ADD" || command == "VERSION");
    if let Err(errno) = watchdog::arm(silent_exit) {
        eprintln!("podconfig-cni: no watchdog: {}", errno.desc());
    }
    ExitCode::from(run(process_io(
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    )))
}

fn process_io<'a>(
    stdin: &'a mut dyn std::io::Read,
    stdout: &'a mut dyn std::io::Write,
    stderr: &'a mut dyn std::io::Write,
) -> CniIo<'a> {
    CniIo {
        env: &|name| std::env::var_os(name),
        stdin,
        stdout,
        stderr,
    }
}

/// A call without CNI_COMMAND is not from a runtime.
fn by_hand() -> ExitCode {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match words.first().map(String::as_str) {
        Some(verb @ ("install" | "uninstall")) => {
            eprintln!("podconfig-cni: podconfig-install {verb} does this, with the same flags");
            ExitCode::from(USAGE)
        }
        Some("--version" | "-V") => {
            println!("podconfig-cni {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("--help" | "-h" | "help") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{HELP}");
            // A runtime that did not set the variable gets the error of the specification.
            ExitCode::from(run(process_io(
                &mut std::io::empty(),
                &mut std::io::stdout().lock(),
                &mut std::io::sink(),
            )))
        }
    }
}
