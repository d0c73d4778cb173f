//! The thread that waits for events and hands them on.

use std::{
    io,
    sync::Arc,
    thread::{Builder, JoinHandle, sleep},
    time::{Duration, Instant},
};

use nix::sys::eventfd::EventFd;

use crate::{DirWatch, Events};

/// Pause after an error of the watch itself.
const PAUSE: Duration = Duration::from_secs(1);

/// A running watch. It ends when this is dropped, and no event is handed on after that.
#[must_use]
#[derive(Debug)]
pub struct WatchThread {
    name: &'static str,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl WatchThread {
    /// Calls `handle` for each batch of events, also for an empty one at the time that it has
    /// returned the last time.
    pub fn spawn(
        name: &'static str,
        mut watch: DirWatch,
        mut handle: impl FnMut(Events) -> Option<Instant> + Send + 'static,
    ) -> io::Result<Self> {
        let stop = watch.stop();
        let thread = Builder::new().name(name.into()).spawn(move || {
            let mut until = None;
            loop {
                match watch.wait(until) {
                    Ok(events) if events.stop => return,
                    Ok(events) => until = handle(events),
                    Err(error) => {
                        tracing::error!(%error, "cannot watch for {name}");
                        sleep(PAUSE);
                    }
                }
            }
        })?;
        Ok(Self {
            name,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        if let Err(errno) = self.stop.write(1) {
            return tracing::error!(%errno, "cannot stop watching for {}", self.name);
        }
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}
