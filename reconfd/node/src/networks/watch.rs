//! Watches the networks of the node's own namespace on a separate thread: a full routing table must not delay
//! links.

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
use crate::{
    event_socket::EventSocket,
    links::ownership_mark::is_alias,
    netlink::{Changes, Error, Socket},
    watched_netns::read_links,
};

/// Debounce time: changes within it are read together.
const CALM: Duration = Duration::from_millis(20);
/// A large table is read less often: at most a tenth of the time is spent on it.
const LONGEST_CALM: Duration = Duration::from_secs(10);
/// Retry interval after a failure, independent of events.
const AGAIN: Duration = Duration::from_secs(2);

/// The networks, or why they could not be read.
pub type NetworksResult = Result<Arc<[KernelNetwork]>, Error>;

/// The predicate of relevant networks.
pub type NetworkFilter = fn(&KernelNetwork) -> bool;

/// The running watch; it ends when it is dropped.
#[must_use]
pub struct NetworkWatch {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl NetworkWatch {
    /// Watches the namespace of the calling thread. `notify` is called once at first, and then for every
    /// change.
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
        // Synchronously, so that the networks are known when this returns.
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
        // The thread holds its own reference, so the write reaches it.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
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
            // Pending and lost events are covered by the next read.
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
            let alias = links.get(&index).and_then(|info| info.alias.as_deref());
            alias.is_some_and(is_alias)
        };
        let found = read(&mut self.socket, &links, is_ours, self.matters);
        self.socket.rest();
        self.took = started.elapsed();
        found.map(Into::into)
    }

    /// Waits for an event; returns whether the watch goes on.
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
