//! The process of a jail, seen from outside: it is started with an order, and ended if it takes too long or if the
//! daemon goes away.

use std::{
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use rustix::process::{Signal, pidfd_send_signal};

use crate::{
    jail::{ForkServer, Layout, Order},
    protocol::{Executed, Refusal, RefusalKind, Response},
    wire,
};

/// The jail ends its plugins by itself; this is for a jail that does not.
const SLACK: Duration = Duration::from_secs(5);
/// A killed process may be in a system call that takes its time.
const TO_END: Duration = Duration::from_secs(30);

/// Why there is no outcome of a chain.
pub enum NotExecuted {
    /// No plugin has run.
    Refused(Refusal),
    /// The jail had its order: plugins may have run.
    Unknown(String),
}

/// Executes a chain in a jail of its own, which may not have ended yet. `daemon`: if that closes, the chain is ended; it
/// is not begun if that has closed while the chain waited for its place, because the next daemon may have deleted by then
/// what it would make.
pub fn execute(
    fork_server: &ForkServer,
    order: &Order,
    netns: Option<BorrowedFd<'_>>,
    daemon: &UnixStream,
) -> Result<(Executed, Jail), NotExecuted> {
    let failed = |error: io::Error| refused(format!("cannot start a jail: {error}"));
    if has_closed(daemon).map_err(failed)? {
        return Err(refused("the daemon has gone".to_owned()).into());
    }
    let jail = Jail::start(fork_server).map_err(failed)?;
    let unknown = |what: String| NotExecuted::Unknown(what);
    // It may have been read whole before the error.
    let fd = netns.map(|fd| fd.as_raw_fd());
    wire::send(&jail.socket, order, fd)
        .map_err(|error| unknown(format!("cannot send the order to the jail: {error}")))?;
    let until = Instant::now() + order.limits.chain + SLACK;
    let unwatched = |error: io::Error| unknown(format!("cannot wait for the jail: {error}"));
    match wait(&jail.socket, daemon, until).map_err(unwatched)? {
        Ended::Responded => {}
        Ended::DaemonGone => return Err(unknown("the daemon has gone".to_owned())),
        Ended::TooLong => return Err(unknown("the jail did not end in time".to_owned())),
    }
    Ok((jail.outcome()?, jail))
}

/// The daemon sends nothing after its request, so what can be read is its end.
fn has_closed(daemon: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(daemon.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl From<Refusal> for NotExecuted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Builds a jail without executing anything.
pub fn try_jail(fork_server: &ForkServer, layout: &Layout) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot start a jail: {error}");
    let jail = Jail::start(fork_server).map_err(failed)?;
    wire::send(&jail.socket, &Order::empty(layout.clone()), None).map_err(failed)?;
    match jail.outcome() {
        Ok(_) => Ok(()),
        Err(NotExecuted::Refused(refusal)) => Err(refusal.message),
        Err(NotExecuted::Unknown(what)) => Err(what),
    }
}

enum Ended {
    Responded,
    DaemonGone,
    TooLong,
}

/// Waits until the jail has responded or closed.
fn wait(jail: &UnixStream, daemon: &UnixStream, until: Instant) -> io::Result<Ended> {
    loop {
        let mut fds = [
            PollFd::new(jail.as_fd(), PollFlags::POLLIN),
            // It sends nothing more, so what can be read is its end.
            PollFd::new(daemon.as_fd(), PollFlags::POLLIN),
        ];
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(Ended::TooLong);
        }
        let rest = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, rest) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].any().unwrap_or(false) {
            return Ok(Ended::Responded);
        }
        if fds[1].any().unwrap_or(false) {
            return Ok(Ended::DaemonGone);
        }
    }
}

/// Process 1 of a jail. Its end ends everything in the jail; it is forced when this is dropped.
pub struct Jail {
    process: OwnedFd,
    socket: UnixStream,
}

impl Jail {
    fn start(fork_server: &ForkServer) -> io::Result<Self> {
        let (socket, inside) = UnixStream::pair()?;
        let process = fork_server.fork(&inside)?;
        Ok(Self { process, socket })
    }

    /// The response, once there is one.
    fn outcome(&self) -> Result<Executed, NotExecuted> {
        let unknown = |what: String| NotExecuted::Unknown(what);
        match wire::receive::<Response>(&self.socket) {
            Ok(Some((Response::Ran(executed), _))) => Ok(executed),
            Ok(Some((Response::Refused(refusal), _))) => Err(refusal.into()),
            Ok(Some((Response::Unknown(what), _))) => Err(unknown(what)),
            Ok(None) => Err(unknown("the jail ended without a response".to_owned())),
            Err(error) => Err(unknown(format!(
                "the jail's response cannot be read: {error}"
            ))),
        }
    }

    /// Waits for its end, after which nothing of it runs.
    fn ended(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut fds = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let rest = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, rest) {
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // It has responded and is about to end, or is to end at once: nothing is lost.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        self.ended(TO_END);
    }
}

fn refused(message: String) -> Refusal {
    Refusal::new(RefusalKind::Jail, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order::empty(Layout {
            root: "/".into(),
            writable: Vec::new(),
            run: Vec::new(),
            hidden: Vec::new(),
        })
    }

    #[test]
    fn a_chain_of_a_daemon_that_has_gone_is_not_begun() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let fork_server = ForkServer::default();
        let ended = execute(&fork_server, &order(), None, &ours).err().unwrap();
        let NotExecuted::Refused(refusal) = ended else {
            unreachable!("it was begun");
        };
        assert_eq!(refusal.message, "the daemon has gone");
    }
}
