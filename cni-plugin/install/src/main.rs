//! `podconfig-install`: puts the plugin into a node's CNI chain, and takes it out again.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    podconfig_install::run(&words)
}
