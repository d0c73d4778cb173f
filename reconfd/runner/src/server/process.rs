//! The process of a jail, seen from outside: it is started with an order, and ended if it takes too long or if the
//! daemon goes away.

use std::{
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    jail::{Layout, Order, SUBCOMMAND},
    protocol::{Executed, Refusal, RefusalKind, Response},
    wire,
};

/// The jail ends its plugins by itself; this is for a jail that does not.
const SLACK: Duration = Duration::from_secs(5);
const MOST_WORDS: u64 = 4 << 10;

/// Executes a chain in a jail of its own. `daemon`: if that closes, the chain is ended.
pub fn execute(
    order: &Order,
    netns: Option<BorrowedFd<'_>>,
    daemon: &UnixStream,
) -> Result<Executed, Refusal> {
    let failed = |error: io::Error| refused(format!("cannot start a jail: {error}"));
    let (socket, inside) = UnixStream::pair().map_err(failed)?;
    let mut jail = Jail::start(inside).map_err(failed)?;
    wire::send(&socket, order, netns.map(|fd| fd.as_raw_fd())).map_err(failed)?;
    let until = Instant::now() + order.limits.chain + SLACK;
    match wait(&socket, daemon, until).map_err(failed)? {
        Ended::Responded => {}
        Ended::DaemonGone => return Err(refused("the daemon has gone".to_owned())),
        Ended::TooLong => return Err(refused("the jail did not end in time".to_owned())),
    }
    match wire::receive::<Response>(&socket) {
        Ok(Some((Response::Ran(executed), _))) => {
            jail.finish();
            Ok(executed)
        }
        Ok(Some((Response::Refused(refusal), _))) => Err(refusal),
        Ok(None) => Err(refused(format!(
            "the jail ended without a response: {}",
            jail.words()
        ))),
        Err(error) => Err(refused(format!(
            "the jail's response cannot be read: {error}"
        ))),
    }
}

/// Builds a jail without executing anything.
pub fn try_jail(layout: &Layout) -> Result<(), Refusal> {
    let failed = |error: io::Error| refused(format!("cannot start a jail: {error}"));
    let (socket, inside) = UnixStream::pair().map_err(failed)?;
    let mut jail = Jail::start(inside).map_err(failed)?;
    wire::send(&socket, &Order::empty(layout.clone()), None).map_err(failed)?;
    match wire::receive::<Response>(&socket) {
        Ok(Some((Response::Ran(_), _))) => Ok(()),
        Ok(Some((Response::Refused(refusal), _))) => Err(refusal),
        Ok(None) => Err(refused(format!(
            "the jail ended without a response: {}",
            jail.words()
        ))),
        Err(error) => Err(refused(format!(
            "the jail's response cannot be read: {error}"
        ))),
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

/// The first process of a jail. Its end ends the jail.
struct Jail(Child);

impl Jail {
    fn start(socket: UnixStream) -> io::Result<Self> {
        let child = Command::new("/proc/self/exe")
            .arg(SUBCOMMAND)
            .env_clear()
            .stdin(OwnedFd::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// It ends by itself once it has responded.
    fn finish(&mut self) {
        let _ = self.0.wait();
    }

    fn words(&mut self) -> String {
        let mut words = Vec::new();
        if let Some(stderr) = self.0.stderr.take() {
            let _ = stderr.take(MOST_WORDS).read_to_end(&mut words);
        }
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn refused(message: String) -> Refusal {
    Refusal::new(RefusalKind::Jail, message)
}
