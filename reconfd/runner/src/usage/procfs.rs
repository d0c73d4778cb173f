//! The processes that the jail's procfs shows, in KiB where it is memory. One that ends meanwhile has nothing.

use std::fs;

use rustix::process::{WaitId, WaitIdOptions, waitid};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub is_zombie: bool,
    pub threads: u64,
    /// With what of it is in swap.
    pub anonymous: u64,
    pub shared: u64,
}

impl Process {
    pub fn memory(&self) -> u64 {
        self.anonymous + self.shared
    }

    /// From `/proc/<pid>/status`.
    fn parse(pid: i32, status: &str) -> Self {
        let mut process = Self {
            pid,
            threads: 1,
            ..Self::default()
        };
        for (name, value) in fields(status) {
            let number = number(value);
            match name {
                "State" => process.is_zombie = value.starts_with(['Z', 'X']),
                "PPid" => process.parent = i32::try_from(number).unwrap_or_default(),
                "Threads" => process.threads = number.max(1),
                "RssAnon" | "VmSwap" => process.anonymous += number,
                "RssShmem" => process.shared = number,
                _ => {}
            }
        }
        process
    }
}

/// Every process but this one.
pub fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != 1)
        .filter_map(|pid| Some(Process::parse(pid, &read(pid, "status")?)))
}

/// The number that was given last in this pid namespace. Numbers are given in their order.
pub fn newest() -> u64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next_back().map_or(0, number)
}

/// The memory of a process, of which it has a part where others share it.
pub fn share(process: &Process) -> u64 {
    match (
        read(process.pid, "smaps_rollup"),
        read(process.pid, "status"),
    ) {
        (Some(text), _) => of_rollup(&text),
        // A kernel that does not let it be read.
        (None, Some(_)) => process.memory(),
        (None, None) => 0,
    }
}

fn of_rollup(text: &str) -> u64 {
    let parts = ["Pss_Anon", "Pss_Shmem", "SwapPss"];
    let found = fields(text).filter(|(name, _)| parts.contains(name));
    found.map(|(_, value)| number(value)).sum()
}

fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name, value.trim()))
}

/// The first word, as a number.
fn number(value: &str) -> u64 {
    let word = value.split_whitespace().next();
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn read(pid: i32, name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).ok()
}

/// A child of this process that has ended gives up its number.
pub fn reap(process: &Process) {
    if let Some(pid) = rustix::process::Pid::from_raw(process.pid) {
        // It may be no child any more.
        let _ = waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
    }
}

/// What it starts from now on inherits it.
pub fn be_first_victim(process: &Process) {
    // It may have ended.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", process.pid), "1000");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = "Name:\ta: b\nState:\tS (sleeping)\nPPid:\t7\nVmRSS:\t    9000 kB\nRssAnon:\t    2000 kB\n\
            RssFile:\t    6000 kB\nRssShmem:\t    1000 kB\nVmSwap:\t     500 kB\nThreads:\t12\n";
        let expected = Process {
            pid: 8,
            parent: 7,
            is_zombie: false,
            threads: 12,
            anonymous: 2500,
            shared: 1000,
        };
        assert_eq!(Process::parse(8, status), expected);
    }

    #[test]
    fn a_zombie_has_no_memory_and_one_number() {
        let process = Process::parse(8, "State:\tZ (zombie)\nPPid:\t1\nThreads:\t0\n");
        assert!(process.is_zombie);
        assert_eq!((process.threads, process.memory()), (1, 0));
    }

    #[test]
    fn pages_of_files_are_not_counted() {
        let text = "00400000-7fff ---p 00000000 00:00 0    [rollup]\nPss:   300 kB\nPss_Dirty:  9 kB\n\
            Pss_Anon:   100 kB\nPss_File:   150 kB\nPss_Shmem:   50 kB\nSwap:   8 kB\nSwapPss:   4 kB\n";
        assert_eq!(of_rollup(text), 154);
    }
}
