//! The fork server: a process of one thread from which the jails are forked. The runner has threads, so a jail of its own
//! would have to execute the program anew, which costs more than all the mounts.
//!
//! The runner sends one message for each jail, with the socket on which the jail will find its order, and receives a
//! descriptor of the process, by which it sees and forces its end. The server ends when the runner has, and each jail
//! with the server.

use std::{
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process::{Command, ExitCode, Stdio, exit},
    sync::{Mutex, PoisonError},
};

use nix::{
    libc,
    sched::CloneFlags,
    sys::signal::{SigHandler, Signal, signal},
};

use super::enter;
use crate::wire;

/// The hidden subcommand of the fork server.
pub const SUBCOMMAND: &str = "run-jail";

/// The fork server, as the runner sees it. It is started with the first jail, and again if it has ended.
#[derive(Default)]
pub struct ForkServer(Mutex<Option<UnixStream>>);

impl ForkServer {
    /// Makes a jail, which reads its order from this socket. Returns a descriptor of its process 1.
    pub fn fork(&self, socket: &UnixStream) -> io::Result<OwnedFd> {
        let mut server = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = server.as_ref()
            && let Ok(process) = ask(running, socket)
        {
            return Ok(process);
        }
        // A jail that it may have made has no order, and ends with it.
        let started = start()?;
        let process = ask(&started, socket)?;
        *server = Some(started);
        Ok(process)
    }
}

fn start() -> io::Result<UnixStream> {
    let (socket, inside) = UnixStream::pair()?;
    let mut server = Command::new("/proc/self/exe")
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(OwnedFd::from(inside))
        .stdout(Stdio::null())
        .spawn()?;
    // Only its end is left to wait for.
    std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || server.wait())?;
    Ok(socket)
}

fn ask(server: &UnixStream, socket: &UnixStream) -> io::Result<OwnedFd> {
    send(server, socket.as_raw_fd())?;
    receive(server)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The process of the fork server. Its standard input is the socket to the runner.
pub fn serve() -> ExitCode {
    match serve_until_closed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the fork server of jails ends: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_until_closed() -> io::Result<()> {
    // Nothing is asked about how a jail ended: the kernel reaps it.
    set_child_signal(SigHandler::SigIgn)?;
    close_others_on_exec()?;
    // Closed on exec: a plugin that had it could ask for jails.
    let runner = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?);
    while let Some(socket) = receive(&runner)? {
        let socket = UnixStream::from(socket);
        if let Some(process) = clone_jail()? {
            drop(socket);
            // A runner that has gone is seen by the next read.
            let _ = send(&runner, process.as_raw_fd());
            continue;
        }
        // Process 1 of the jail. The socket of the server would keep it from seeing the runner's end.
        drop(runner);
        close_standard_input()?;
        set_child_signal(SigHandler::SigDfl)?;
        let code = enter(&socket);
        exit(i32::from(code != ExitCode::SUCCESS));
    }
    Ok(())
}

/// Descriptors that the runner has inherited reach no plugin.
#[allow(unsafe_code)]
fn close_others_on_exec() -> io::Result<()> {
    const FIRST: u32 = 3;
    // SAFETY: it changes a flag of this process's descriptors, and closes none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn close_standard_input() -> io::Result<()> {
    let nothing = std::fs::File::open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdin(nothing)?)
}

#[allow(unsafe_code)]
fn set_child_signal(handler: SigHandler) -> io::Result<()> {
    // SAFETY: neither of the two handlers is a function.
    unsafe { signal(Signal::SIGCHLD, handler) }?;
    Ok(())
}

/// Forks a process 1 of new namespaces. `None`: this is that process.
#[allow(unsafe_code)]
fn clone_jail() -> io::Result<Option<OwnedFd>> {
    let spaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    let flags = spaces.bits() | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut process: RawFd = -1;
    // SAFETY: without a stack and CLONE_VM this is fork(2), and this process has one thread, so the child may do
    // anything. The kernel writes one descriptor to `process`, which lives until the call returns.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            0,
            &raw mut process,
            0,
            0,
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        // SAFETY: the kernel has just made this descriptor for this process; nothing else owns it.
        _ => Ok(Some(unsafe { OwnedFd::from_raw_fd(process) })),
    }
}

/// `None`: the other side has closed.
fn receive(from: &UnixStream) -> io::Result<Option<OwnedFd>> {
    match wire::receive_part(from, &mut [0])? {
        (0, _) => Ok(None),
        (_, Some(fd)) => Ok(Some(fd)),
        (_, None) => Err(io::Error::other("a message came without its descriptor")),
    }
}

fn send(to: &UnixStream, fd: RawFd) -> io::Result<()> {
    wire::send_part(to, &[1], Some(fd)).map(drop)
}
