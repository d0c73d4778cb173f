//! The plugin against Debian's Go plugins and against a program that does nothing, by turns.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    Programs,
    cost::{Costs, Whose, ended, median},
    node,
    table::Table,
};

const ROUNDS: usize = 250;
const VERBS: [&str; 3] = ["ADD", "DEL", "VERSION"];
const POD: &str = "plugin";
const OURS: usize = 0;
const TUNING: usize = 1;
const FLOOR: usize = 3;

/// A program, and its entry in the chain.
struct Plugin {
    name: &'static str,
    program: String,
    entry: Value,
}

pub fn run(programs: &Programs, table: &mut Table) -> Result<()> {
    node::make_namespace(POD, || Ok(()))?;
    let plugins = plugins(programs)?;
    let mut costs = vec![vec![Costs::default(); plugins.len()]; VERBS.len()];
    for round in 0..ROUNDS {
        for (verb, costs) in VERBS.into_iter().zip(&mut costs) {
            // Forth and back, and each is as often the first: what ran before leaves its traces.
            for turn in 0..plugins.len() {
                let step = if round % 2 == 0 {
                    turn
                } else {
                    plugins.len() - turn
                };
                let at = (round / 2 + step) % plugins.len();
                let (cost, ()) = Whose::Children.cost(|| call(&plugins[at], verb))?;
                costs[at].push(cost);
            }
        }
    }
    table.title(&format!(
        "The plugin, {ROUNDS} rounds by turns, records on a tmpfs"
    ));
    for (verb, costs) in VERBS.into_iter().zip(&costs) {
        show(table, &plugins, verb, costs);
    }
    instructions(table, &plugins)?;
    let add = &costs[0];
    table.bar(
        "ADD, CPU to Go tuning",
        1.0 / 6.0,
        add[OURS].cpu_to(&add[TUNING]),
    );
    table.bar(
        "ADD, CPU to the static floor",
        1.5,
        add[OURS].cpu_to(&add[FLOOR]),
    );
    Ok(())
}

fn plugins(programs: &Programs) -> Result<Vec<Plugin>> {
    let go = |name: &'static str| Plugin {
        name,
        program: format!("/usr/lib/cni/{name}"),
        entry: json!({"type": name}),
    };
    let recorder = json!({"type": "podconfig-cni", "recordsDir": node::PLUGIN_RECORDS});
    let floor = floor()?.to_string_lossy().into_owned();
    Ok(vec![
        Plugin {
            name: "podconfig-cni",
            program: programs.plugin.clone(),
            entry: recorder,
        },
        go("tuning"),
        go("portmap"),
        Plugin {
            name: "static main(){return 0;}",
            program: floor,
            entry: json!({"type": "floor"}),
        },
    ])
}

/// Compiles the program that does nothing.
fn floor() -> Result<PathBuf> {
    let (source, program) = (PathBuf::from("/run/floor.c"), PathBuf::from("/run/floor"));
    fs::write(&source, include_str!("floor.c"))?;
    let status = Command::new("cc")
        .args(["-O2", "-static", "-o"])
        .arg(&program)
        .arg(&source)
        .status();
    let status = status.context("cc is needed for the static floor")?;
    anyhow::ensure!(status.success(), "cc -O2 -static floor.c: {status}");
    Ok(program)
}

fn call(plugin: &Plugin, verb: &str) -> Result<()> {
    let mut command = Command::new(&plugin.program);
    dress(&mut command, verb);
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned
        .with_context(|| format!("{} is needed (containernetworking-plugins)", plugin.program))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    match stdin.write_all(request(plugin, verb).as_bytes()) {
        // The floor reads nothing.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => bail!(error),
        _ => drop(stdin),
    }
    ended(child, &format!("{verb} of {}", plugin.name)).map(drop)
}

fn dress(command: &mut Command, verb: &str) {
    command
        .env_clear()
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "c".repeat(64))
        .env("CNI_NETNS", node::namespace_path(POD))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/usr/lib/cni")
        .env("CNI_ARGS", "K8S_POD_UID=00000000-0000-4000-8000-000000000001;IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=plugin");
}

fn request(plugin: &Plugin, verb: &str) -> String {
    let mut request = plugin.entry.clone();
    request["cniVersion"] = "1.0.0".into();
    if verb == "VERSION" {
        return request.to_string();
    }
    request["name"] = "cluster".into();
    request["prevResult"] = json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:02"},
            {"name": "veth0", "mac": "02:00:00:00:00:03"},
            {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": node::namespace_path(POD)},
        ],
        "ips": [{"interface": 2, "address": "10.88.0.7/16", "gateway": "10.88.0.1"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.88.0.1"}],
        "dns": {},
    });
    request.to_string()
}

fn show(table: &mut Table, plugins: &[Plugin], verb: &str, costs: &[Costs]) {
    for (plugin, cost) in plugins.iter().zip(costs) {
        let what = format!("{verb:<8}{}", plugin.name);
        match plugin.name {
            "podconfig-cni" => table.row(&what, cost.median()),
            _ => table.row_to(
                &what,
                cost.median(),
                Some(cost.cpu_to(&costs[OURS])),
                "of ours",
            ),
        }
    }
}

/// User and kernel, where the machine counts them.
fn instructions(table: &mut Table, plugins: &[Plugin]) -> Result<()> {
    let mut counts = Vec::new();
    for plugin in plugins {
        let Some(count) = count(plugin)? else {
            table.note("instructions: not countable here (no hardware counter, or no perf)");
            return Ok(());
        };
        counts.push(count);
    }
    for (plugin, count) in plugins.iter().zip(&counts) {
        table.note(format!(
            "ADD instructions of {}: {count:.0}, x{:.2} of ours",
            plugin.name,
            count / counts[OURS]
        ));
    }
    Ok(())
}

fn count(plugin: &Plugin) -> Result<Option<f64>> {
    let (input, figures) = ("/run/request.json", "/run/perf.csv");
    fs::write(input, request(plugin, "ADD"))?;
    let mut found = Vec::new();
    for _ in 0..15 {
        let mut command = Command::new("perf");
        dress(&mut command, "ADD");
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["stat", "-x,", "-o", figures, "-e", "instructions", "--"])
            .arg(&plugin.program);
        let ran = command
            .stdin(fs::File::open(input)?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let text = fs::read_to_string(figures).unwrap_or_default();
        let counted = text
            .lines()
            .find_map(|line| line.split(',').next()?.parse::<f64>().ok());
        match (ran, counted) {
            (Ok(status), Some(counted)) if status.success() => found.push(counted),
            _ => return Ok(None),
        }
    }
    Ok(Some(median(found.into_iter())))
}
