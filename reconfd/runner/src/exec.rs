//! One execution of a plugin, inside of a jail: bounded in time, output, memory and processes. This process is process 1 of the jail, so
//! it ends everything else there when a limit is reached.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use cni::{PluginError, PluginRequest, plugin_error::Exit};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::Pid,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::{chain::Execution, protocol::Fault, usage::UsageWatch};

/// What is kept of the standard output. A result is a few kilobytes; beyond this the plugin is ended.
pub const MOST_OUTPUT: usize = 256 << 10;
/// What is kept of the standard error; the rest is read and dropped.
const MOST_ERRORS: usize = 64 << 10;
/// A process that the plugin has left may hold its output open: what has been printed is read for so long.
const AFTER_EXIT: Duration = Duration::from_millis(200);
const BUSY_TRIES: u32 = 6;
/// The longest wait between two looks at the process, where the kernel does not report its end.
const TICK: Duration = Duration::from_millis(20);

/// Executes the binary until the deadline.
pub fn execute(
    binary: &Path,
    request: &PluginRequest,
    limit: Duration,
    usage: &mut UsageWatch,
) -> Execution {
    let started = Instant::now();
    let printed = start(binary, request, started + limit)
        .map_err(|error| Fault::NotRun(format!("{}: {error}", binary.display())))
        .and_then(|child| {
            Running::new(child, &request.stdin, usage)?.finish(started + limit, limit)
        });
    Execution {
        took: started.elapsed(),
        printed,
    }
}

/// A binary that is being written is busy for a moment.
fn start(binary: &Path, request: &PluginRequest, deadline: Instant) -> io::Result<Child> {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(request.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                let rest = deadline.saturating_duration_since(Instant::now());
                sleep(rest.min(Duration::from_secs(1)));
            }
            started => return started,
        }
    }
    command.spawn()
}

/// A plugin that runs, with what it has printed.
struct Running<'a> {
    child: Child,
    /// Readable once the process has ended. None: the kernel has no such descriptors.
    pidfd: Option<OwnedFd>,
    stdin: Option<ChildStdin>,
    to_write: &'a [u8],
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    output: Vec<u8>,
    errors: Vec<u8>,
    usage: &'a mut UsageWatch,
}

impl<'a> Running<'a> {
    fn new(mut child: Child, to_write: &'a [u8], usage: &'a mut UsageWatch) -> Result<Self, Fault> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let fds = [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        for fd in fds.into_iter().flatten() {
            set_nonblocking(fd).map_err(|errno| Fault::NotRun(errno.to_string()))?;
        }
        Ok(Self {
            pidfd: pidfd(&child),
            child,
            stdin,
            to_write,
            stdout,
            stderr,
            output: Vec::new(),
            errors: Vec::new(),
            usage,
        })
    }

    fn finish(mut self, deadline: Instant, limit: Duration) -> Result<Vec<u8>, Fault> {
        let ended = self.run(deadline, limit);
        if ended.is_err() {
            self.usage.end(self.pid());
            // The kernel ends it at once.
            let _ = self.ended(WaitIdOptions::empty());
        }
        match PluginError::of(ended?, &self.output, &self.errors) {
            None => Ok(self.output),
            Some(error) => Err(Fault::Plugin(error)),
        }
    }

    fn run(&mut self, deadline: Instant, limit: Duration) -> Result<Exit, Fault> {
        let broken = |error: io::Error| Fault::NotRun(error.to_string());
        let mut exited: Option<(Exit, Instant)> = None;
        loop {
            self.transfer().map_err(broken)?;
            if self.output.len() > MOST_OUTPUT {
                return Err(Fault::TooMuchOutput(MOST_OUTPUT));
            }
            self.usage.look(self.pid())?;
            let is_drained = self.stdout.is_none() && self.stderr.is_none();
            match exited {
                Some((exit, until)) if is_drained || Instant::now() >= until => {
                    return Ok(exit);
                }
                Some(_) => {}
                None => {
                    let exit = self.ended(WaitIdOptions::NOHANG).map_err(broken)?;
                    exited = exit.map(|exit| (exit, Instant::now() + AFTER_EXIT));
                }
            }
            if exited.is_none() && Instant::now() >= deadline {
                return Err(Fault::TimedOut(limit.as_secs()));
            }
            match exited {
                None => self.wait(self.pidfd.as_ref(), deadline)?,
                Some((_, until)) if !is_drained => self.wait(None, until)?,
                Some(_) => {}
            }
        }
    }

    /// How the process ended. It stays as a zombie, which the kernel reaps with the jail: a process is reaped with its
    /// entries in procfs, and right after its end the kernel would spin until its last threads have given theirs up.
    fn ended(&self, how: WaitIdOptions) -> io::Result<Option<Exit>> {
        let process = WaitId::Pid(rustix::process::Pid::from_child(&self.child));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how;
        let ended = waitid(process, options)?;
        Ok(ended.map(|status| match status.terminating_signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Status(status.exit_status().unwrap_or(-1)),
        }))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Waits until something can be transferred, the process has ended, or its usage is to be looked at.
    fn wait(&self, end: Option<&OwnedFd>, deadline: Instant) -> Result<(), Fault> {
        let mut fds = Vec::with_capacity(4);
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        fds.extend(self.stdout.iter().map(|fd| readable(fd.as_fd())));
        fds.extend(self.stderr.iter().map(|fd| readable(fd.as_fd())));
        fds.extend(end.iter().map(|fd| readable(fd.as_fd())));
        fds.extend(
            self.stdin
                .iter()
                .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLOUT)),
        );
        let now = Instant::now();
        let rest = deadline.saturating_duration_since(now);
        // Whole milliseconds: the look would be waited for with polls of none.
        let look = self.usage.next().saturating_duration_since(now) + Duration::from_millis(1);
        let longest = match (end.is_some(), fds.is_empty()) {
            (true, _) => Duration::MAX,
            (false, false) => TICK,
            // With the outputs closed only its end is left to wait for.
            (false, true) => Duration::from_millis(1),
        };
        let rest = PollTimeout::try_from(rest.min(longest).min(look)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, rest) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Fault::NotRun(errno.to_string())),
        }
    }

    /// Writes and reads what is possible without waiting.
    fn transfer(&mut self) -> io::Result<()> {
        if let Some(stdin) = &mut self.stdin {
            match stdin.write(self.to_write) {
                Ok(written) => self.to_write = &self.to_write[written..],
                Err(error) if is_later(&error) => {}
                // It reads no more, which is its own business.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.to_write = &[],
                Err(error) => return Err(error),
            }
            if self.to_write.is_empty() {
                self.stdin = None;
            }
        }
        if drain(&mut self.stdout, &mut self.output, MOST_OUTPUT + 1)? {
            self.stdout = None;
        }
        if drain(&mut self.stderr, &mut self.errors, MOST_ERRORS)? {
            self.stderr = None;
        }
        Ok(())
    }
}

/// Reads until nothing is there, keeps at most so much, and returns whether the other side has closed. It reads a
/// bounded amount per call, so that the limits are looked at in between.
fn drain(from: &mut Option<impl Read>, to: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let Some(from) = from else { return Ok(true) };
    let mut buffer = [0; 16 << 10];
    for _ in 0..16 {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) => {
                let room = most.saturating_sub(to.len());
                to.extend_from_slice(&buffer[..read.min(room)]);
            }
            Err(error) if is_later(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn pidfd(child: &Child) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}
