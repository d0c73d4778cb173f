//! `make bench`: what podconfig costs, as ratios, in one run. It judges no time: it prints each bar,
//! what was got, and whether that is met. Needs root; leaves nothing behind.

mod cost;
mod daemon;
mod ears;
mod floor;
mod manifest;
mod many;
mod node;
mod one;
mod paper;
mod plugin;
mod same;
mod table;
mod wire;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::{daemon::Daemon, table::Table};

/// The programs that are measured.
pub struct Programs {
    pub plugin: String,
    pub daemon: String,
}

fn main() -> ExitCode {
    let mut table = Table::default();
    let ran = run(&mut table);
    table.print();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the bench could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(table: &mut Table) -> Result<()> {
    let programs = Programs {
        plugin: program(
            "PODCONFIG_CNI_BIN",
            "../x86_64-unknown-linux-musl/plugin/podconfig-cni",
        )?,
        daemon: program("RECONFD_BIN", "reconfd")?,
    };
    node::enter()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let cpus = std::thread::available_parallelism()?;
    let load = load.split(' ').next().unwrap_or_default();
    table.note(format!(
        "{cpus} CPUs, load {load} before the start: what others do is in every figure"
    ));
    let parts: Vec<String> = env::args().skip(1).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    if wanted("plugin") {
        plugin::run(&programs, table)?;
    }
    if !wanted("one") && !wanted("many") {
        return Ok(());
    }
    node::apply("policy", manifest::POLICY)?;
    let (daemon, _) = Daemon::start(&programs.daemon)?;
    let floor = if wanted("one") {
        one::run(&daemon, table)?
    } else {
        floor::Floor::new()?
    };
    if wanted("many") {
        many::run(daemon, &programs, floor, table)?;
    }
    Ok(())
}

/// Named by the environment, or built beside this program.
fn program(variable: &str, beside: &str) -> Result<String> {
    let me = env::current_exe()?;
    let built = || me.parent().map(|folder| folder.join(beside));
    let path = env::var_os(variable)
        .map(PathBuf::from)
        .or_else(built)
        .context("a program is in a folder")?;
    let path = path.canonicalize().with_context(|| {
        format!(
            "{} is missing: run `make bench`, or name it in {variable}",
            path.display()
        )
    })?;
    Ok(path.to_string_lossy().into_owned())
}
