//! The jail of a chain: a process of its own with private mount and pid namespaces, in which the node's file system is
//! read-only and its secrets are covered. It stops a plugin from doing a hostile configuration's will with files,
//! sockets and processes; it stops no hostile plugin, since one with SYS_ADMIN can become root of the node.
//!
//! Two processes: the first enters the namespaces and waits; the second is process 1 of the new pid namespace, builds the
//! mounts and executes the chain. When it ends, the kernel ends everything else in there; it ends with the first one, and
//! that with the runner.

use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use cni::FrozenChain;
use nix::{
    sched::{CloneFlags, unshare},
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};
use rustix::process::set_parent_process_death_signal;
use serde::{Deserialize, Serialize};

use crate::{
    chain::{Chain, Execution},
    exec::execute,
    protocol::{Fault, Operation, Refusal, RefusalKind, Response},
    wire,
};

/// What processes in the jail may do.
mod limits;
/// Mounts.
mod mounts;
/// Fallback where the kernel has no mount_setattr.
mod remount;

/// The hidden subcommand of the jail's first process.
pub const SUBCOMMAND: &str = "run-jail";

/// What the runner sends to a jail, with the descriptor of the pod's network namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub operation: Operation,
    pub chain: FrozenChain,
    pub layout: Layout,
    pub cni_path: String,
    /// The binaries of the chain's plugins, by type, as paths of the node.
    pub binaries: BTreeMap<String, PathBuf>,
    pub limits: TimeLimits,
}

/// What of the node is in the jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Where the node's file system is: `/host` in a container, `/` beside one.
    pub root: PathBuf,
    /// Folders that plugins may write, which are made if they are missing.
    pub writable: Vec<PathBuf>,
    /// Sockets and folders below `/run` that are in the jail as well.
    pub run: Vec<PathBuf>,
    /// Folders that are empty in the jail, where they exist.
    pub hidden: Vec<PathBuf>,
}

/// Limits of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLimits {
    pub plugin: Duration,
    pub chain: Duration,
}

impl Order {
    /// Builds a jail and executes nothing.
    pub fn empty(layout: Layout) -> Self {
        Self {
            operation: Operation::Preflight,
            chain: FrozenChain {
                network: String::new(),
                cni_version: cni::Version::LATEST,
                plugins: Vec::new(),
                disable_check: true,
                disable_gc: true,
                runtime_config: serde_json::Map::new(),
                args: Vec::new(),
                container_id: String::new(),
                ifname: String::new(),
                netns: String::new(),
                digests: BTreeMap::new(),
            },
            layout,
            cni_path: String::new(),
            binaries: BTreeMap::new(),
            limits: TimeLimits {
                plugin: Duration::ZERO,
                chain: Duration::ZERO,
            },
        }
    }
}

/// The first process of a jail. Its standard input is the socket to the runner.
pub fn enter() -> ExitCode {
    match enter_namespaces() {
        Ok(code) => code,
        Err(error) => {
            // The runner reports what it finds here if there is no response.
            eprintln!("{}", error.message);
            ExitCode::FAILURE
        }
    }
}

#[allow(unsafe_code)]
fn fork_alone() -> nix::Result<ForkResult> {
    // SAFETY: this process has one thread, so the child may do anything.
    unsafe { fork() }
}

fn enter_namespaces() -> Result<ExitCode, Refusal> {
    let jail = |what: &str, error: io::Error| {
        Refusal::new(RefusalKind::Jail, format!("cannot {what}: {error}"))
    };
    end_with_parent().map_err(|error| jail("follow the runner's end", error))?;
    close_others_on_exec().map_err(|error| jail("close descriptors of others", error))?;
    let socket = std::io::stdin();
    // Closed on exec: a plugin that had it could respond in the place of its chain.
    let socket = rustix::io::fcntl_dupfd_cloexec(&socket, 3)
        .map_err(|errno| jail("use the socket", errno.into()))?;
    let socket = UnixStream::from(socket);
    let received =
        wire::receive::<Order>(&socket).map_err(|error| jail("read the order", error))?;
    let Some((order, netns)) = received else {
        return Ok(ExitCode::SUCCESS);
    };
    let spaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    unshare(spaces).map_err(|errno| jail("make namespaces", errno.into()))?;
    match fork_alone().map_err(|errno| jail("start process 1", errno.into()))? {
        ForkResult::Parent { child } => {
            drop(socket);
            loop {
                match waitpid(child, None) {
                    Err(nix::errno::Errno::EINTR) => {}
                    Ok(WaitStatus::Exited(_, 0)) => return Ok(ExitCode::SUCCESS),
                    _ => return Ok(ExitCode::FAILURE),
                }
            }
        }
        ForkResult::Child => Ok(run(&socket, &order, netns)),
    }
}

/// Descriptors that the runner has inherited reach no plugin.
#[allow(unsafe_code)]
fn close_others_on_exec() -> io::Result<()> {
    const FIRST: u32 = 3;
    // SAFETY: it changes a flag of this process's descriptors, and closes none.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_close_range,
            FIRST,
            u32::MAX,
            nix::libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Process 1: builds the jail, executes the chain, and sends the response.
fn run(socket: &UnixStream, order: &Order, netns: Option<OwnedFd>) -> ExitCode {
    let response = match prepare(order, netns.as_ref()) {
        Ok(()) => Response::Ran(execute_chain(order, netns.is_some())),
        Err(refusal) => Response::Refused(refusal),
    };
    match wire::send(socket, &response, None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn prepare(order: &Order, netns: Option<&OwnedFd>) -> Result<(), Refusal> {
    let refused = |message: String| Refusal::new(RefusalKind::Jail, message);
    end_with_parent()
        .map_err(|error| refused(format!("cannot follow the runner's end: {error}")))?;
    let netns = netns.map(|fd| (fd.as_raw_fd(), Path::new(&order.chain.netns)));
    mounts::build(&order.layout, netns).map_err(refused)?;
    limits::apply().map_err(refused)
}

fn execute_chain(order: &Order, has_netns: bool) -> crate::protocol::Executed {
    let chain = Chain {
        chain: &order.chain,
        cni_path: &order.cni_path,
        has_netns,
    };
    let end = Instant::now() + order.limits.chain;
    let mut execute = |request: &cni::PluginRequest, plugin_type: &str| {
        let rest = end.saturating_duration_since(Instant::now());
        let limit = order.limits.plugin.min(rest);
        match order.binaries.get(plugin_type) {
            Some(binary) if !limit.is_zero() => execute(binary, request, limit),
            Some(_) => not_run(Fault::TimedOut(order.limits.chain.as_secs())),
            None => not_run(Fault::NotRun("it was not chosen".to_owned())),
        }
    };
    chain.run(&order.operation, &mut execute)
}

fn not_run(fault: Fault) -> Execution {
    Execution {
        took: Duration::ZERO,
        printed: Err(fault),
    }
}

fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(
        rustix::process::Signal::KILL,
    ))?)
}
