//! The controller's bell: how any thread wakes it, tells it of a change or says stop.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::source::Trigger;

/// Wakes the controller from any thread.
#[derive(Clone)]
pub struct Waker {
    changes: mpsc::Sender<Trigger>,
    bell: Arc<EventFd>,
    stop: Arc<AtomicBool>,
}

/// Where the controller hears what the waker says.
pub struct Inbox {
    pub(super) changes: mpsc::Receiver<Trigger>,
    pub(super) bell: Arc<EventFd>,
    pub(super) stop: Arc<AtomicBool>,
}

pub fn inbox() -> io::Result<(Waker, Inbox)> {
    let (sender, changes) = mpsc::channel();
    let bell = Arc::new(EventFd::from_value_and_flags(
        0,
        EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
    )?);
    let stop = Arc::new(AtomicBool::new(false));
    let waker = Waker {
        changes: sender,
        bell: bell.clone(),
        stop: stop.clone(),
    };
    Ok((
        waker,
        Inbox {
            changes,
            bell,
            stop,
        },
    ))
}

impl Waker {
    pub fn tell(&self, change: Trigger) {
        // A controller that has ended hears nothing, and needs not.
        let _ = self.changes.send(change);
        let _ = self.bell.write(1);
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.bell.write(1);
    }
}
