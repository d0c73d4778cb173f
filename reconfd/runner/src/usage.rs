//! What a chain takes of the node, memory and processes, held against its limits while its plugins run. Without this a
//! plugin that allocates or forks without end takes the whole container of the runner into its memory limit, or the node
//! out of process numbers, and every other chain with it.
//!
//! No limit of the kernel does it. A cgroup needs rights that the runner lacks. RLIMIT_NPROC is not for root.
//! RLIMIT_AS and RLIMIT_DATA are for one process, and count what is reserved, which is hundreds of mebibytes in any Go
//! program; beyond them the plugin fails in words of its own. So process 1 looks at the processes of its jail.

/// What the jail's procfs shows.
mod procfs;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use self::procfs::Process;
use crate::protocol::Fault;

/// The first look is so long after the chain's begin, so that a usual chain has none.
const USUAL: Duration = Duration::from_millis(20);
/// Beyond the half of a limit. A core fills less than ten mebibytes meanwhile.
const CLOSE: Duration = Duration::from_millis(2);
/// After a look, so many times what it took passes until the next one. One that takes longer than `USUAL` was kept from
/// the processor, and is not put off for that.
const SHARE: u32 = 5;
/// A killed process may be in a system call that takes its time.
const TO_END: Duration = Duration::from_secs(2);

/// What the processes of a chain may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLimits {
    /// In MiB.
    pub memory: u64,
    /// Threads count as processes, as they do for the kernel.
    pub processes: u64,
}

/// Looks at a chain, from its first plugin to its last.
pub struct UsageWatch {
    limits: UsageLimits,
    next: Instant,
    looked: bool,
    was_over: bool,
    /// The number of the newest process at the last look; process 1 is the first.
    newest: u64,
    /// With more new processes than this since the last look, it is stopped to be counted.
    suspicious: u64,
}

impl UsageWatch {
    pub fn new(limits: UsageLimits) -> Self {
        Self {
            limits,
            next: Instant::now() + USUAL,
            looked: false,
            was_over: false,
            newest: 1,
            suspicious: limits.processes,
        }
    }

    /// When to look again.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Looks, if it is time to. `child`: the plugin, whose end is its executor's.
    pub fn look(&mut self, child: Pid) -> Result<(), Fault> {
        let started = Instant::now();
        if started < self.next {
            return Ok(());
        }
        let newest = procfs::newest();
        let is_bomb = newest.abs_diff(self.newest) > self.suspicious;
        self.newest = newest;
        if is_bomb {
            // Thousands of processes that run would leave this one no time to count them.
            signal_all_others(Signal::SIGSTOP);
        }
        let processes = up_to(self.limits.processes, running(child));
        let usage = Usage::of(&processes);
        usage.check_processes(self.limits)?;
        if is_bomb {
            // It only has many, one after another, and would not get on if it was stopped again and again.
            signal_all_others(Signal::SIGCONT);
            self.suspicious = self.suspicious.saturating_mul(4);
        }
        if !self.looked {
            // Where the container or the node runs out of memory all the same, the plugin ends, and not the runner.
            processes.iter().for_each(procfs::be_first_victim);
            self.looked = true;
        }
        let over = usage.judge_memory(self.limits, || processes.iter().map(procfs::share).sum());
        if over == Over::Surely || over == Over::Probably && self.was_over {
            return Err(Fault::TooMuchMemory(self.limits.memory));
        }
        self.was_over = over == Over::Probably;
        let now = Instant::now();
        self.next = now
            + usage
                .interval(self.limits)
                .max((now - started).min(USUAL) * SHARE);
        Ok(())
    }

    /// Ends all, and waits until it is gone, or the next plugin would answer for its memory.
    ///
    /// No fork bomb outruns this: the kernel sends the signal to every process of the namespace under the lock that a
    /// fork needs to add its process, and a fork with a fatal signal pending fails. If it did not end all the same, the
    /// end of process 1, which the runner forces, is the end of everything here.
    pub fn end(&mut self, child: Pid) {
        let until = Instant::now() + TO_END;
        loop {
            end_all_others();
            if running(child).all(|process| process.is_zombie) || Instant::now() >= until {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        self.was_over = false;
    }
}

/// The processes of the jail beside process 1. What has ended and was left to process 1 is reaped: it holds a number.
fn running(child: Pid) -> impl Iterator<Item = Process> {
    procfs::all().filter(move |process| {
        let is_left = process.is_zombie && process.parent == 1 && process.pid != child.as_raw();
        if is_left {
            procfs::reap(process);
        }
        !is_left
    })
}

/// With the first that is too many, and not the rest: a fork bomb has thousands, and goes on while they are read.
fn up_to(most: u64, processes: impl Iterator<Item = Process>) -> Vec<Process> {
    let mut threads = 0;
    let read = processes.take_while(|process| {
        let before = threads;
        threads += process.threads;
        before <= most
    });
    read.collect()
}

/// Ends every other process of the jail: the plugin and what it has started.
pub fn end_all_others() {
    signal_all_others(Signal::SIGKILL);
}

/// Nothing where this is not process 1, for then these would be the processes of the node.
fn signal_all_others(signal: Signal) {
    if nix::unistd::getpid().as_raw() == 1 {
        // Fails only if there is no other process.
        let _ = kill(Pid::from_raw(-1), signal);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    No,
    /// Between vfork and exec, the memory of a process is its child's as well. It is over if the next look says so.
    Probably,
    Surely,
}

/// What processes take, in KiB. Counted is what the kernel cannot take back: anonymous and shared memory, also in swap.
/// Not counted are pages of files; the jail's `/tmp` and `/run`, which have limits of their own; memory that the kernel
/// holds for them, such as page tables and what is in pipes; and files of memory that no process has mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    processes: u64,
    /// Of the process that has most: its own, which is counted once.
    largest: u64,
    /// Memory that processes share is in it several times.
    sum: u64,
}

impl Usage {
    fn of(processes: &[Process]) -> Self {
        let largest = processes.iter().map(|process| process.anonymous).max();
        Self {
            processes: processes.iter().map(|process| process.threads).sum(),
            largest: largest.unwrap_or_default(),
            sum: processes.iter().map(Process::memory).sum(),
        }
    }

    fn check_processes(&self, limits: UsageLimits) -> Result<(), Fault> {
        match self.processes > limits.processes {
            true => Err(Fault::TooManyProcesses(limits.processes)),
            false => Ok(()),
        }
    }

    /// `shared`: the sum in which shared memory is once, which costs a walk through all of it.
    fn judge_memory(&self, limits: UsageLimits, shared: impl FnOnce() -> u64) -> Over {
        let most = limits.memory << 10;
        if self.largest > most {
            Over::Surely
        } else if self.sum > most && shared() > most {
            Over::Probably
        } else {
            Over::No
        }
    }

    fn interval(&self, limits: UsageLimits) -> Duration {
        let is_close = self.sum > limits.memory << 9 || self.processes > limits.processes / 2;
        if is_close { CLOSE } else { USUAL }
    }
}

#[cfg(test)]
mod tests;
