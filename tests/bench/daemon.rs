//! The real daemon, as a process whose costs are looked at from outside.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use crate::{cost::Whose, node};

const LISTEN: &str = "127.0.0.1:9478";
const LOG: &str = "/run/podconfig/reconfd.log";
const PATIENCE: Duration = Duration::from_secs(60);
/// Somebody who used less than this in `QUIET` is through.
const IDLE_MICROS: f64 = 120.0;
const QUIET: Duration = Duration::from_millis(60);

pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it is ready; how long that took.
    pub fn start(program: &str) -> Result<(Self, Duration)> {
        Self::start_prepared(program, |_| Ok(()))
    }

    /// The same after something was done to its command.
    pub fn start_prepared(
        program: &str,
        prepare: impl FnOnce(&mut Command) -> Result<()>,
    ) -> Result<(Self, Duration)> {
        let log = File::options().append(true).create(true).open(LOG)?;
        let mut command = Command::new(program);
        command
            .args(["--source", &format!("directory:{}", node::OBJECTS)])
            .args(["--records", node::RECORDS, "--reports", node::REPORTS])
            .args([
                "--netns-folder",
                node::NAMESPACES,
                "--switch-folder",
                node::NAMESPACES,
            ])
            .args([
                "--run-dir",
                "/run/podconfig",
                "--listen",
                LISTEN,
                "--log-format",
                "json",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        end_with_parent(&mut command);
        prepare(&mut command)?;
        let start = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let daemon = Self { child };
        daemon.wait_ready()?;
        Ok((daemon, start.elapsed()))
    }

    fn wait_ready(&self) -> Result<()> {
        let start = Instant::now();
        while !get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if start.elapsed() > PATIENCE {
                bail!(
                    "the daemon is not ready after {PATIENCE:?}; its log:\n{}",
                    log_tail()
                );
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub fn cpu(&self) -> Whose {
        Whose::Process(Pid::from_raw(self.child.id().cast_signed()))
    }

    /// Waits until it has nothing left to do. What it uses while it waits is counted as its work.
    pub fn settle(&self) -> Result<()> {
        settle(|| self.cpu().cpu())
    }

    /// The sum over all label sets of a metric.
    pub fn metric(name: &str) -> Result<f64> {
        let text = get("/metrics")?;
        let of_name = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        Ok(text
            .lines()
            .filter(of_name)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// The most kilobytes that were ever resident.
    pub fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("a process has VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// SIGTERM; how long the end took.
    pub fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )?;
        self.child.wait()?;
        Ok(start.elapsed())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until this account of CPU time stands still.
pub fn settle(cpu: impl Fn() -> Result<f64>) -> Result<()> {
    let mut before = cpu()?;
    loop {
        sleep(QUIET);
        let now = cpu()?;
        if now - before < IDLE_MICROS {
            return Ok(());
        }
        before = now;
    }
}

pub fn log_tail() -> String {
    let log = fs::read_to_string(LOG).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

fn get(path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(LISTEN)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Nothing of the bench outlives it, however it ends.
#[allow(unsafe_code)]
pub fn end_with_parent(command: &mut Command) {
    // SAFETY: prctl is a plain system call: it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
    }
}
