//! The daemon of the node, seen from outside.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::{NODE, api::Api};

pub struct Daemon {
    pid: u32,
}

impl Daemon {
    pub fn of_node(api: &Api) -> Result<Self> {
        let uid = api.uid_of_ours("daemon", NODE)?;
        let pid = process_of(&uid, "reconfd").context("the daemon's process is not there")?;
        Ok(Self { pid })
    }

    /// Kilobytes: now, and the most that ever were.
    pub fn resident(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.with_context(|| format!("a process has {name}"))?;
            Ok(text.trim().trim_end_matches(" kB").parse()?)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// What its connections have brought it so far, TLS and all.
    pub fn received(&self) -> Result<f64> {
        let target = self.pid.to_string();
        let words = ["-t", &target, "-n", "--", "ss", "-tinpHO"];
        let output = Command::new("nsenter").args(words).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = format!("pid={},", self.pid);
        let of_daemon = text.lines().filter(|line| line.contains(&ours));
        let bytes = of_daemon.filter_map(|line| {
            let (_, rest) = line.split_once("bytes_received:")?;
            rest.split(' ').next()?.parse::<f64>().ok()
        });
        Ok(bytes.sum())
    }
}

/// A process of a pod, by its name; not the keeper, which is the daemon's program too.
pub fn process_of(uid: &str, name: &str) -> Option<u32> {
    let mark = format!("pod{uid}");
    let fits = |pid: &u32| {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let read = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
        read("comm").trim() == name
            && read("cgroup").contains(&mark)
            && !read("cmdline").split('\0').any(|word| word == "keep")
    };
    let all = fs::read_dir("/proc").ok()?;
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(fits)
}

/// For those who wait in vain.
pub fn log_tail() -> String {
    let words = [
        "-n",
        "podconfig-system",
        "logs",
        "--tail=40",
        "daemonset/podconfig-daemon",
        "-c",
        "daemon",
    ];
    let output = Command::new("kubectl").args(words).output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// A process that the cluster's scripts have started.
pub fn pid_of(name: &str) -> Result<u32> {
    let script = format!("{}/cluster/node", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(script).args(["--pid", name]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .with_context(|| format!("{name} is not up"))
}

/// The folder of the cluster's state.
pub fn state() -> Result<PathBuf> {
    let folder = env::var_os("CLUSTER_STATE")
        .context("CLUSTER_STATE is not set: run `make bench-cluster`")?;
    Ok(PathBuf::from(folder))
}
