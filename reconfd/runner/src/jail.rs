//! The jail of a chain: a process of its own with private mount and pid namespaces, in which the node's file system is
//! read-only and its secrets are covered. It stops a plugin from doing a hostile configuration's will with files,
//! sockets and processes; it stops no hostile plugin, since one with SYS_ADMIN can become root of the node.
//!
//! Its process is a fork of the fork server, and process 1 of the new pid namespace: it builds the mounts and executes
//! the chain. When it ends, the kernel ends everything else in there; it ends with the fork server, and that with the
//! runner.

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
use rustix::process::set_parent_process_death_signal;
use serde::{Deserialize, Serialize};

use crate::{
    chain::{Chain, Execution, KnownVersions},
    exec::execute,
    protocol::{Fault, Operation, Refusal, RefusalKind, Response},
    usage::{UsageLimits, UsageWatch, end_all_others},
    wire,
};

/// Makes the processes of jails.
mod fork_server;
/// What processes in the jail may do.
mod limits;
/// Mounts.
mod mounts;
/// Fallback where the kernel has no mount_setattr.
mod remount;
/// What plugins leave on the node.
mod sweep;

pub use fork_server::{ForkServer, SUBCOMMAND, serve};

/// What the runner sends to a jail, with the descriptor of the pod's network namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub operation: Operation,
    pub chain: FrozenChain,
    pub layout: Layout,
    pub cni_path: String,
    /// The binaries of the chain's plugins, by type, as paths of the node.
    pub binaries: BTreeMap<String, PathBuf>,
    /// Of these binaries: VERSION is not asked again.
    pub known_versions: KnownVersions,
    pub limits: Limits,
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

/// What a chain may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The time of a plugin.
    pub plugin: Duration,
    /// The time of all.
    pub chain: Duration,
    pub usage: UsageLimits,
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
            known_versions: KnownVersions::new(),
            limits: Limits {
                plugin: Duration::ZERO,
                chain: Duration::ZERO,
                usage: UsageLimits {
                    memory: 0,
                    processes: 0,
                },
            },
        }
    }
}

/// Process 1 of a jail, with the socket to the runner. An order that does not come was withdrawn.
fn enter(socket: &UnixStream) -> ExitCode {
    let done = match receive(socket) {
        Ok(Some((order, netns))) => wire::send(socket, &run(&order, netns), None),
        Ok(None) => Ok(()),
        Err(refusal) => wire::send(socket, &Response::Refused(refusal), None),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn receive(socket: &UnixStream) -> Result<Option<(Order, Option<OwnedFd>)>, Refusal> {
    let failed = |what: &str, error: io::Error| {
        Refusal::new(RefusalKind::Jail, format!("cannot {what}: {error}"))
    };
    // Before the order is read: a runner that ended earlier sends none.
    end_with_parent().map_err(|error| failed("follow the runner's end", error))?;
    wire::receive::<Order>(socket).map_err(|error| failed("read the order", error))
}

/// Builds the jail and executes the chain.
fn run(order: &Order, netns: Option<OwnedFd>) -> Response {
    if let Err(refusal) = prepare(order, netns.as_ref()) {
        return Response::Refused(refusal);
    }
    let executed = execute_chain(order, netns.is_some());
    // What plugins have left ends before the daemon judges what they made.
    end_all_others();
    Response::Ran(executed)
}

fn prepare(order: &Order, netns: Option<&OwnedFd>) -> Result<(), Refusal> {
    let refused = |message: String| Refusal::new(RefusalKind::Jail, message);
    let netns = netns.map(|fd| (fd.as_raw_fd(), Path::new(&order.chain.netns)));
    let processes = order.limits.usage.processes;
    mounts::build(&order.layout, netns, processes).map_err(refused)?;
    limits::apply().map_err(refused)
}

fn execute_chain(order: &Order, has_netns: bool) -> crate::protocol::Executed {
    let chain = Chain {
        chain: &order.chain,
        cni_path: &order.cni_path,
        has_netns,
        known: &order.known_versions,
    };
    let end = Instant::now() + order.limits.chain;
    let mut usage = UsageWatch::new(order.limits.usage);
    let mut execute = |request: &cni::PluginRequest, plugin_type: &str| {
        let rest = end.saturating_duration_since(Instant::now());
        let limit = order.limits.plugin.min(rest);
        match order.binaries.get(plugin_type) {
            Some(binary) if !limit.is_zero() => execute(binary, request, limit, &mut usage),
            Some(_) => not_run(Fault::TimedOut(order.limits.chain.as_secs())),
            None => not_run(Fault::NotRun("it was not chosen".to_owned())),
        }
    };
    let mut executed = chain.run(&order.operation, &mut execute);
    if let Operation::Del { prev_result, .. } = &order.operation {
        sweep::masquerade(&order.chain, prev_result.as_ref(), &mut executed);
    }
    executed
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
