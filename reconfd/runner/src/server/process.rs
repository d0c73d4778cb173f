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

/// Why there is no outcome of a chain.
pub enum NotExecuted {
    /// No plugin has run.
    Refused(Refusal),
    /// The jail had its order: plugins may have run.
    Unknown(String),
}

/// Executes a chain in a jail of its own. `daemon`: if that closes, the chain is ended; it is not begun if that has
/// closed while the chain waited for its place, because the next daemon may have deleted by then what it would make.
pub fn execute(
    order: &Order,
    netns: Option<BorrowedFd<'_>>,
    daemon: &UnixStream,
) -> Result<Executed, NotExecuted> {
    let failed = |error: io::Error| refused(format!("cannot start a jail: {error}"));
    if has_closed(daemon).map_err(failed)? {
        return Err(refused("the daemon has gone".to_owned()).into());
    }
    let (socket, inside) = UnixStream::pair().map_err(failed)?;
    let mut jail = Jail::start(inside).map_err(failed)?;
    wire::send(&socket, order, netns.map(|fd| fd.as_raw_fd())).map_err(failed)?;
    let until = Instant::now() + order.limits.chain + SLACK;
    let unknown = |what: String| NotExecuted::Unknown(what);
    let unwatched = |error: io::Error| unknown(format!("cannot wait for the jail: {error}"));
    match wait(&socket, daemon, until).map_err(unwatched)? {
        Ended::Responded => {}
        Ended::DaemonGone => return Err(unknown("the daemon has gone".to_owned())),
        Ended::TooLong => return Err(unknown("the jail did not end in time".to_owned())),
    }
    match wire::receive::<Response>(&socket) {
        Ok(Some((Response::Ran(executed), _))) => {
            jail.finish();
            Ok(executed)
        }
        Ok(Some((Response::Refused(refusal), _))) => Err(refusal.into()),
        Ok(Some((Response::Unknown(what), _))) => Err(unknown(what)),
        Ok(None) => Err(unknown(format!(
            "the jail ended without a response: {}",
            jail.words()
        ))),
        Err(error) => Err(unknown(format!(
            "the jail's response cannot be read: {error}"
        ))),
    }
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
pub fn try_jail(layout: &Layout) -> Result<(), Refusal> {
    let failed = |error: io::Error| refused(format!("cannot start a jail: {error}"));
    let (socket, inside) = UnixStream::pair().map_err(failed)?;
    let mut jail = Jail::start(inside).map_err(failed)?;
    wire::send(&socket, &Order::empty(layout.clone()), None).map_err(failed)?;
    match wire::receive::<Response>(&socket) {
        Ok(Some((Response::Ran(_), _))) => Ok(()),
        Ok(Some((Response::Refused(refusal), _))) => Err(refusal),
        Ok(Some((Response::Unknown(what), _))) => Err(refused(what)),
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
        let ended = execute(&order(), None, &ours).err().unwrap();
        let NotExecuted::Refused(refusal) = ended else {
            unreachable!("it was begun");
        };
        assert_eq!(refusal.message, "the daemon has gone");
    }
}
