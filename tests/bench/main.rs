//! `make bench`: what podconfig costs, as ratios, in one run. It judges no time: it prints each bar,
//! what was got, and whether that is met. Needs root; leaves nothing behind.

/// Links of CNI plugins.
mod attach;
/// A real cluster.
mod cluster;
mod cni;
mod cost;
mod daemon;
mod ears;
mod floor;
mod guest;
mod manifest;
mod many;
mod node;
mod one;
mod paper;
mod plugin;
mod same;
mod segment;
mod table;
mod traffic;
mod tunnel;
mod vlan;
mod wire;
mod wish;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::{daemon::Daemon, floor::Floor, table::Table, traffic::far, wish::By};

/// The programs that are measured.
pub struct Programs {
    pub plugin: String,
    pub daemon: String,
}

fn main() -> ExitCode {
    let mut table = Table::default();
    let mut parts: Vec<String> = env::args().skip(1).collect();
    let is_guest = parts.first().is_some_and(|word| word == guest::PACKED);
    if is_guest {
        parts.remove(0);
    }
    let ran = run(&parts, is_guest, &mut table);
    match table.packed() {
        Ok(packed) if is_guest => println!("{packed}"),
        _ => table.print(),
    }
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the bench could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(parts: &[String], is_guest: bool, table: &mut Table) -> Result<()> {
    if let [cluster::CLUSTER, ..] = parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        note_load(table)?;
        return cluster::run(&parts[1..], table);
    }
    let programs = Programs {
        plugin: program(
            "PODCONFIG_CNI_BIN",
            "../../x86_64-unknown-linux-musl/plugin/podconfig-cni",
        )?,
        daemon: program("RECONFD_BIN", "reconfd")?,
    };
    node::enter()?;
    if let [word, number] = parts
        && word == far::FAR
    {
        return far::be(number, &programs);
    }
    if !is_guest {
        note_load(table)?;
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    if wanted("plugin") {
        plugin::run(&programs, table)?;
    }
    if wanted("traffic") {
        traffic::run(table)?;
    }
    node::apply("policy", manifest::POLICY)?;
    let (mut daemon, _) = Daemon::start(&programs.daemon)?;
    let mut floor = Floor::new()?;
    if wanted("one") {
        one::run(&daemon, &mut floor, table)?;
    }
    if wanted("tunnel") {
        tunnel::run(&daemon, &mut floor, table)?;
    }
    if wanted("vlan") {
        match (is_guest, guest::is_needed()?) {
            (true, _) => vlan::run(&daemon, &mut floor, By::Wall, table)?,
            (false, true) => guest::run("vlan", table)?,
            (false, false) => vlan::run(&daemon, &mut floor, By::Cpu, table)?,
        }
    }
    // While the daemon knows few other pods, for its memory is measured too; and behind what these
    // would make dearer.
    if wanted("many") {
        daemon = many::run(daemon, &programs, &mut floor, table)?;
    }
    if wanted("segment") {
        segment::run(&daemon, &mut floor, table)?;
    }
    daemon.stop()?;
    if wanted("cni") {
        attach::run(&programs, table)?;
    }
    Ok(())
}

fn note_load(table: &mut Table) -> Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let cpus = std::thread::available_parallelism()?;
    let load = load.split(' ').next().unwrap_or_default();
    table.note(format!(
        "{cpus} CPUs, load {load} before the start: what others do is in every figure"
    ));
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
