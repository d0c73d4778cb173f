//! What a plugin leaves on the node though its DEL has succeeded, deleted by the programs that the plugin itself uses.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use cni::{CniResult, FrozenChain, request::PATH};
use serde_json::Value;

use crate::{
    masquerade::{chain_name, deletion, is_asked},
    protocol::{Executed, Fault},
};

/// Tables of IPv4 and IPv6: how they are read, and how they are changed.
const FAMILIES: [(&str, &str); 2] = [
    ("iptables-save", "iptables-restore"),
    ("ip6tables-save", "ip6tables-restore"),
];
/// Of an error text, in bytes.
const MOST_TEXT: usize = 512;

/// Deletes rules of masquerading. A plugin whose rules cannot be deleted has not succeeded. The jail is ended if this
/// takes too long.
pub fn masquerade(chain: &FrozenChain, result: Option<&Value>, executed: &mut Executed) {
    let steps = executed.steps.iter_mut();
    let mut done =
        steps.filter(|step| step.fault.is_none() && is_asked(&chain.plugins[step.index]));
    let Some(step) = done.next() else { return };
    let result = result.and_then(|result| CniResult::from_value(result.clone()).ok());
    for (save, restore) in FAMILIES {
        // A node without the program, or a kernel without the table, has no such rules.
        let saved = lines_with(&chain_name(chain), save).unwrap_or_default();
        if let Some(input) = deletion(&saved, chain, result.as_ref())
            && let Err(what) = change(restore, &input)
        {
            step.fault = Some(Fault::Left(what));
        }
    }
}

/// The lines of the table of address translation that name the chain: of a cluster's node it has many others.
fn lines_with(name: &str, save: &str) -> io::Result<String> {
    let mut program = program(save, &["-t", "nat"], Stdio::null());
    let mut program = program.stderr(Stdio::null()).spawn()?;
    let mut found = String::new();
    if let Some(printed) = program.stdout.take() {
        let lines = BufReader::new(printed).lines().map_while(Result::ok);
        for line in lines.filter(|line| line.contains(name)) {
            found += &line;
            found.push('\n');
        }
    }
    match program.wait()?.success() {
        true => Ok(found),
        false => Err(io::Error::other(save)),
    }
}

/// Changes the table by this input, whole or not at all.
fn change(restore: &str, input: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{restore}: {error}");
    let arguments = ["--noflush", "--wait", "5"];
    let mut program = program(restore, &arguments, Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = program.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    let output = program.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let errors = &output.stderr[..output.stderr.len().min(MOST_TEXT)];
            let errors = String::from_utf8_lossy(errors);
            Err(format!("{restore}: {}", errors.trim()))
        }
    }
}

fn program(name: &str, arguments: &[&str], stdin: Stdio) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).env_clear().env("PATH", PATH);
    command.stdin(stdin).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}
