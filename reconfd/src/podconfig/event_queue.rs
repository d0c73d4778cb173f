//! Event queue of the reconciler: any thread can send an event or stop it; an eventfd wakes it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use store::Trigger;

/// Sends events to the reconciler from any thread.
#[derive(Clone)]
pub struct EventSender {
    triggers: mpsc::Sender<Trigger>,
    eventfd: Arc<EventFd>,
    stop: Arc<AtomicBool>,
}

/// The reconciler's end of the queue.
pub struct EventReceiver {
    pub(super) triggers: mpsc::Receiver<Trigger>,
    pub(super) eventfd: Arc<EventFd>,
    pub(super) stop: Arc<AtomicBool>,
}

pub fn event_queue() -> io::Result<(EventSender, EventReceiver)> {
    let (trigger_sender, triggers) = mpsc::channel();
    let eventfd = Arc::new(EventFd::from_value_and_flags(
        0,
        EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
    )?);
    let stop = Arc::new(AtomicBool::new(false));
    let sender = EventSender {
        triggers: trigger_sender,
        eventfd: eventfd.clone(),
        stop: stop.clone(),
    };
    Ok((
        sender,
        EventReceiver {
            triggers,
            eventfd,
            stop,
        },
    ))
}

impl EventSender {
    pub fn send(&self, trigger: Trigger) {
        // A reconciler that has ended needs no event.
        let _ = self.triggers.send(trigger);
        let _ = self.eventfd.write(1);
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.eventfd.write(1);
    }
}
