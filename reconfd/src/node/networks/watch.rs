//! The networks of the node's own namespace, kept current on a thread of their own: a node with a full
//! routing table must not hold up anybody's links.

use std::{
    io,
    os::fd::AsFd as _,
    sync::Arc,
    thread::{Builder, JoinHandle, sleep},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{KernelNetwork, read};
use crate::node::{
    event_socket::EventSocket,
    links::ownership_mark::is_alias,
    netlink::{Changes, Error, Socket},
    watched_netns::read_links,
};

/// What comes in so short a time is read at once.
const CALM: Duration = Duration::from_millis(20);
/// A table that takes long to read is read less often: at most a tenth of the time goes into it.
const LONGEST_CALM: Duration = Duration::from_secs(10);
/// After a failure it is tried again so soon, whatever is heard.
const AGAIN: Duration = Duration::from_secs(2);

/// What the kernel knows, or why that can not be had.
pub type NetworksResult = Result<Arc<[KernelNetwork]>, Error>;

/// Which of the networks anybody wants to know of.
pub type NetworkFilter = fn(&KernelNetwork) -> bool;

/// The running watch; it ends when it is dropped.
#[must_use]
pub struct NetworkWatch {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl NetworkWatch {
    /// Of the namespace of the calling thread, as far as it matters. `tell` is called once at first, and then
    /// for every change.
    pub fn start(
        matters: NetworkFilter,
        notify: impl Fn(NetworksResult) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let events = EventSocket::of_networks()?;
        let socket = Socket::open(&Changes::default())?;
        let mut watcher = Watcher {
            events,
            socket,
            stop: stop.clone(),
            matters,
            reported: None,
            took: Duration::ZERO,
        };
        // At once, so that nobody who starts now finds nothing known.
        watcher.report(&notify);
        let thread = Builder::new().name("networks".into());
        let thread = thread.spawn(move || watcher.run(notify))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for NetworkWatch {
    fn drop(&mut self) {
        // The thread holds its own end: it is there to hear this.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Watcher {
    events: EventSocket,
    socket: Socket,
    stop: Arc<EventFd>,
    matters: NetworkFilter,
    reported: Option<NetworksResult>,
    took: Duration,
}

impl Watcher {
    fn run(mut self, notify: impl Fn(NetworksResult)) {
        loop {
            self.report(&notify);
            if !self.wait() {
                return;
            }
            sleep(CALM.max((self.took * 10).min(LONGEST_CALM)));
            // What was result meanwhile is read with the rest; what is lost as well.
            let _ = self.events.drain(|_, _, _| ());
        }
    }

    fn report(&mut self, notify: impl Fn(NetworksResult)) {
        let result = self.read_networks();
        if self.reported.as_ref() != Some(&result) {
            self.reported = Some(result.clone());
            notify(result);
        }
    }

    fn read_networks(&mut self) -> NetworksResult {
        let started = Instant::now();
        let links = read_links(&mut self.socket)?;
        let is_ours = |index| {
            let alias = links.get(&index).and_then(|row| row.alias.as_deref());
            alias.is_some_and(is_alias)
        };
        let found = read(&mut self.socket, &links, is_ours, self.matters);
        self.socket.rest();
        self.took = started.elapsed();
        found.map(Into::into)
    }

    /// Until something is heard; whether the watch goes on.
    fn wait(&self) -> bool {
        let timeout = match &self.reported {
            Some(Err(_)) => PollTimeout::from(u16::try_from(AGAIN.as_millis()).unwrap_or(u16::MAX)),
            _ => PollTimeout::NONE,
        };
        loop {
            let mut fds = [
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, timeout) {
                Err(nix::errno::Errno::EINTR) => (),
                Err(_) => return false,
                Ok(_) => return fds[0].any() != Some(true),
            }
        }
    }
}
