//! `podconfig-cni`: hands the real world to the library.
//! Nothing is decided here but who is calling: a runtime, an installer, or a person.

use std::process::ExitCode;

use cni_plugin::{World, install, run, watchdog};

const HELP: &str = "\
podconfig-cni writes down where a pod's network namespace is, so that podconfig's
daemon (reconfd) can reach it. It is the last plugin of a node's CNI chain; the container
runtime runs it, with CNI_COMMAND set and the network's configuration on stdin.

  podconfig-cni install --help      put it into this node's CNI chain
  podconfig-cni uninstall --help    take it out again
  podconfig-cni --version
";

fn main() -> ExitCode {
    let command = std::env::var_os("CNI_COMMAND").unwrap_or_default();
    if command.is_empty() {
        return by_hand();
    }
    // A silent end is a success for all that has no answer, and never one for what must have one.
    let silent_exit = u8::from(command == "ADD" || command == "VERSION");
    if let Err(errno) = watchdog::arm(silent_exit) {
        eprintln!("podconfig-cni: no watchdog: {}", errno.desc());
    }
    ExitCode::from(run(real_world(
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    )))
}

fn real_world<'a>(
    stdin: &'a mut dyn std::io::Read,
    stdout: &'a mut dyn std::io::Write,
    stderr: &'a mut dyn std::io::Write,
) -> World<'a> {
    World {
        env: &|name| std::env::var_os(name),
        stdin,
        stdout,
        stderr,
    }
}

/// No runtime calls without CNI_COMMAND.
fn by_hand() -> ExitCode {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match words.first().map(String::as_str) {
        Some("install" | "uninstall") => install::main(&words),
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
            // Should a runtime have forgotten the variable, it gets the specification's error.
            ExitCode::from(run(real_world(
                &mut std::io::empty(),
                &mut std::io::stdout().lock(),
                &mut std::io::sink(),
            )))
        }
    }
}
