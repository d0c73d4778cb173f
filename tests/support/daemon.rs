//! The real daemon on a throwaway node; its log is printed when the test fails.

use std::{
    cell::Cell,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    binary,
    enter::with_netns,
    node::TestNode,
    program_log::ProgramLog,
    wait::{eventually, seen, within},
};

const PORT: u16 = 9469;

pub struct Daemon {
    /// Pid 1 of its node.
    node: u32,
    /// `nsenter`, which ends with the daemon and as the daemon did.
    door: Child,
    pid: Pid,
    port: u16,
    log: ProgramLog,
    over: Cell<bool>,
}

/// How a daemon differs from the usual one.
#[derive(Default)]
pub struct Options<'a> {
    pub port: Option<u16>,
    pub more: &'a [&'a str],
    pub objects: Option<&'a str>,
    pub reports: Option<&'a str>,
}

impl TestNode {
    /// Starts the daemon and waits until it says that it is ready.
    pub fn daemon(&self) -> Daemon {
        let daemon = self.daemon_unawaited(&Options::default());
        daemon.wait_ready();
        daemon
    }

    pub fn daemon_with(&self, options: &Options<'_>) -> Daemon {
        let daemon = self.daemon_unawaited(options);
        daemon.wait_ready();
        daemon
    }

    pub fn daemon_unawaited(&self, options: &Options<'_>) -> Daemon {
        let port = options.port.unwrap_or(PORT);
        let mut command = self.command(&binary("RECONFD_BIN", "reconfd"));
        command
            .args([
                "--source",
                &format!(
                    "directory:{}",
                    options.objects.unwrap_or("/run/podconfig/objects")
                ),
            ])
            .args(["--records", "/run/podconfig/records"])
            .args([
                "--reports",
                options.reports.unwrap_or("/run/podconfig/reports"),
            ])
            .args([
                "--netns-folder",
                "/run/netns",
                "--switch-folder",
                "/run/netns",
            ])
            .args(["--run-dir", "/run/podconfig"])
            .args([
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--log-format",
                "json",
            ])
            .args(rest(options.more))
            .args(options.more);
        let log = ProgramLog::of("daemon", &mut command);
        let door = command.spawn().expect("nsenter runs");
        // One that refuses to start may have ended before it was seen.
        let pid = eventually("the daemon's process", || {
            child_of(door.id()).or_else(|why| ended(door.id()).ok_or(why))
        });
        Daemon {
            node: self.pid(),
            door,
            pid,
            port,
            log,
            over: Cell::new(false),
        }
    }
}

/// Stories that are not about it do not wait until an address has rested.
fn rest(more: &[&str]) -> &'static [&'static str] {
    match more.contains(&"--address-rest") {
        true => &[],
        false => &["--address-rest", "0"],
    }
}

/// The process itself, if it has ended and nobody has asked how.
fn ended(pid: u32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit(") ").next()?;
    let pid = i32::try_from(pid).ok()?;
    state.starts_with('Z').then(|| Pid::from_raw(pid))
}

pub(super) fn child_of(parent: u32) -> Result<Pid, String> {
    let children =
        fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let child = children
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok());
    child
        .map(Pid::from_raw)
        .ok_or(format!("children of {parent}: {children:?}"))
}

impl Daemon {
    pub fn wait_ready(&self) {
        within(
            Duration::from_secs(10),
            "the daemon is ready",
            || match self.get("/readyz") {
                Ok((200, _)) => Ok(()),
                Ok((code, body)) => Err(format!("/readyz answers {code}: {body}")),
                Err(error) => Err(format!("{error}\n{}", self.log())),
            },
        );
    }

    /// Status code and body.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let port = self.port;
        let netns = format!("/proc/{}/ns/net", self.node);
        let answer = with_netns(Path::new(&netns), move || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_read_timeout(Some(Duration::from_secs(3)))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        let answer = answer.map_err(|error| format!("GET {path}: {error}"))?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(format!("no HTTP: {answer:?}"))?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((code.ok_or(format!("no status: {head}"))?, body.to_owned()))
    }

    /// The sum over all label sets; 0 for a metric that has no samples yet.
    pub fn metric(&self, name: &str) -> f64 {
        let (code, text) = eventually("the daemon answers", || self.get("/metrics"));
        assert_eq!(code, 200);
        text.lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until that many pods more were reconciled. Without any event the regular check takes one a second, so what
    /// has not happened by then does not happen.
    pub fn reconciles(&self, more: u32) {
        let counted = || self.metric("reconfd_reconciles_total");
        let enough = counted() + f64::from(more);
        within(Duration::from_secs(30), "pods are reconciled", || {
            let now = counted();
            seen(now >= enough, format!("{now} reconciles of {enough}"))
        });
    }

    /// Of a daemon that was just started: waits until each pod was reconciled; nothing was sent for it.
    pub fn changed_nothing(&self) {
        within(Duration::from_secs(30), "every pod is reconciled", || {
            let pods = self.metric("reconfd_pods_recorded");
            let reconciles = self.metric("reconfd_reconciles_total");
            seen(
                pods > 0.0 && reconciles >= pods,
                format!("{reconciles} reconciles of {pods} pods"),
            )
        });
        let sent = self.metric("reconfd_netlink_changes_total");
        assert!(sent.abs() < 0.5, "a restart sent {sent} changes");
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Resident bytes.
    pub fn resident(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the daemon lives");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a process has VmRSS");
        let kilobytes: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("VmRSS is a number");
        kilobytes * 1024
    }

    /// Where each open file of the daemon leads.
    pub fn open_files(&self) -> Vec<String> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the daemon lives");
        let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links
            .map(|target| target.to_string_lossy().into_owned())
            .collect()
    }

    /// The network namespace of each thread of the daemon.
    pub fn thread_namespaces(&self) -> Vec<String> {
        let folder = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the daemon lives");
        let links =
            folder.filter_map(|entry| fs::read_link(entry.ok()?.path().join("ns/net")).ok());
        links
            .map(|target| target.to_string_lossy().into_owned())
            .collect()
    }

    /// From now on it can open nothing more, or as much as it likes again.
    pub fn may_open_files(&self, may: bool) {
        let limit = if may { 4096 } else { 3 };
        let (pid, limit) = (self.pid.to_string(), format!("--nofile={limit}:"));
        let status = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "prlimit (util-linux) is there"
        );
    }

    /// Of the daemon, as the test sees it.
    pub fn process_id(&self) -> i32 {
        self.pid.as_raw()
    }

    pub fn is_alive(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("the daemon lives");
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_end();
    }

    /// SIGTERM, and how long it took.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.wait_end();
        (status, start.elapsed())
    }

    /// Waits for an end that the daemon finds by itself.
    pub fn ends_by_itself(mut self) -> (ExitStatus, String) {
        let status = self.wait_end();
        (status, self.log())
    }

    fn wait_end(&mut self) -> ExitStatus {
        let door = &mut self.door;
        let status = within(Duration::from_secs(10), "the daemon ends", || {
            door.try_wait()
                .expect("a child can be waited for")
                .ok_or("it still runs".to_owned())
        });
        self.over.set(true);
        status
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.over.get() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.door.wait();
        }
    }
}
