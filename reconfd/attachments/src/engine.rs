//! The engine: owns store, state and worker threads. Its callers never wait for a plugin or a disk: they state what is
//! requested, and read outcomes. What happens is sent to a callback, from the threads of the engine.

/// Carries out requests of operations.
mod worker;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use cni::request::ValidAttachment;
use thiserror::Error;

use crate::{
    entry::{Entry, Slot},
    folder::{Folder, FolderError, Unreadable},
    limits::Limits,
    ports::{Host, Runner},
    state::{Attachments, PodRequest, Refusal},
    status::{Counts, Event, Failure, PodOutcome},
};

/// Receives what happens. Called without a lock held, from any thread of the engine; it must not block. Events of one
/// pod may arrive out of order: [`Engine::outcome`] says what holds.
pub type OnEvent = Box<dyn Fn(Event) + Send + Sync>;

/// Threads wait for a chain or for work: little stack is enough.
const STACK: usize = 512 * 1024;

/// Handle to the engine. When it is dropped, its threads end after their current request; what is interrupted is
/// undone or continued by the next engine.
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug, Error)]
pub enum EngineError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// What the engine is made of.
pub struct Parts {
    pub folder: Folder,
    pub runner: Box<dyn Runner>,
    pub host: Box<dyn Host>,
    pub on_event: OnEvent,
    pub limits: Limits,
    pub boot_id: String,
}

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    folder: Folder,
    runner: Box<dyn Runner>,
    host: Box<dyn Host>,
    on_event: OnEvent,
}

struct Inner {
    attachments: Attachments,
    /// Namespaces of ended sandboxes, by container, and until when.
    held: HashMap<String, (Arc<OwnedFd>, Instant)>,
    hold: Duration,
    is_stopping: bool,
}

impl Engine {
    /// Reads the store and begins. Also returns the files that are left alone.
    pub fn start(parts: Parts) -> Result<(Self, Vec<Unreadable>), EngineError> {
        let Parts {
            folder,
            runner,
            host,
            on_event,
            limits,
            boot_id,
        } = parts;
        folder.sweep()?;
        let listing = folder.list()?;
        let (parallel, hold) = (limits.parallel.max(1), limits.hold);
        let attachments = Attachments::new(
            limits,
            boot_id,
            listing.entries,
            listing.unreadable.len(),
            Instant::now(),
        );
        let inner = Inner {
            attachments,
            held: HashMap::new(),
            hold,
            is_stopping: false,
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            folder,
            runner,
            host,
            on_event,
        });
        let engine = Self { shared };
        engine.count_lost()?;
        for number in 0..parallel {
            let shared = engine.shared.clone();
            thread::Builder::new()
                .name(format!("attach-{number}"))
                .stack_size(STACK)
                .spawn(move || shared.work())?;
        }
        Ok((engine, listing.unreadable))
    }

    /// States what is requested for a pod, whole.
    pub fn request(&self, request: PodRequest) {
        self.change(|inner| inner.attachments.request(request));
    }

    /// A pod has ended: all of it is detached.
    pub fn pod_ended(&self, uid: &str) {
        self.change(|inner| inner.attachments.pod_ended(uid));
    }

    /// A sandbox has ended, or is about to. Its namespace, if it is still there, is held for DEL.
    pub fn sandbox_ended(&self, container_id: &str, netns: Option<OwnedFd>) {
        self.change(|inner| {
            if let Some(netns) = netns.filter(|_| inner.attachments.has_container(container_id)) {
                let until = Instant::now() + inner.hold;
                inner
                    .held
                    .insert(container_id.to_owned(), (Arc::new(netns), until));
            }
            inner.attachments.sandbox_ended(container_id);
        });
    }

    /// All pods of the node are known: others have ended.
    pub fn synced(&self, known: &BTreeSet<String>) {
        self.change(|inner| inner.attachments.synced(known));
    }

    /// States whether what is attached in a slot may stay, as far as that can be judged.
    pub fn judge_attached(&self, uid: &str, slot: &Slot, refusal: Option<Refusal>) {
        let mut inner = self.shared.lock();
        if inner.attachments.judge_attached(uid, slot, refusal) {
            drop(inner);
            self.shared.changed.notify_all();
        }
    }

    /// What refused the newest result of a slot does so no more: it is tried at that time.
    pub fn try_again(&self, uid: &str, slot: &Slot, at: Instant) {
        self.change(|inner| inner.attachments.try_again(uid, slot, at));
    }

    /// Tries a pod at once, whatever its backoff is.
    pub fn retry(&self, uid: &str) {
        self.change(|inner| inner.attachments.retry(uid));
    }

    /// The links of a sandbox have changed: CHECK runs.
    pub fn links_changed(&self, container_id: &str) {
        let now = Instant::now();
        self.change(|inner| inner.attachments.links_changed(container_id, now));
    }

    /// Detaches everything, for an uninstallation.
    pub fn drain(&self) {
        self.change(|inner| inner.attachments.drain());
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.shared.lock().attachments.is_empty()
    }

    pub fn outcome(&self, uid: &str) -> PodOutcome {
        self.shared.lock().attachments.outcome(uid)
    }

    pub fn counts(&self) -> Counts {
        self.shared.lock().attachments.counts()
    }

    /// Counts the lost attachments: `reconfd attachments --forget` removes some. Reads a folder, which may take a
    /// moment.
    pub fn count_lost(&self) -> Result<usize, FolderError> {
        let listing = self.shared.folder.lost()?;
        let lost = listing.entries.len() + listing.unreadable.len();
        self.shared.lock().attachments.set_lost(lost);
        Ok(lost)
    }

    /// Networks that [`Self::collect`] may be called for.
    pub fn networks_with_gc(&self) -> BTreeSet<String> {
        self.shared.lock().attachments.networks_with_gc()
    }

    /// GC of a network, beside which no operation of the network runs. None: one runs now. `others`: what is valid beside
    /// what is stored.
    pub fn collect(
        &self,
        network: &str,
        others: &BTreeSet<ValidAttachment>,
    ) -> Option<Result<(), Failure>> {
        let mut garbage = self.shared.lock().attachments.hold_network(network)?;
        garbage.valid.extend(others.iter().cloned());
        let mut chains = garbage.chains.iter();
        let runner = &self.shared.runner;
        let done = chains.try_for_each(|chain| runner.collect(chain, &garbage.valid));
        self.shared.lock().attachments.release_network();
        Some(done)
    }

    /// What is stored, for reports and repairs of the daemon.
    pub fn entries(&self) -> Vec<Entry> {
        self.shared.lock().attachments.entries().cloned().collect()
    }

    /// The interfaces of a pod that are taken from Multus, or were since its newest request.
    pub fn taken_over(&self, uid: &str) -> Vec<Slot> {
        let inner = self.shared.lock();
        inner.attachments.taken_over(uid).cloned().collect()
    }

    /// Whether an operation is in progress that may attach in this slot.
    pub fn is_attaching(&self, slot: &Slot) -> bool {
        self.shared.lock().attachments.is_attaching(slot)
    }

    /// What is stored for a pod.
    pub fn entries_of(&self, uid: &str) -> Vec<Entry> {
        let inner = self.shared.lock();
        inner.attachments.entries_of(uid).cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.change(|inner| inner.is_stopping = true);
    }
}

impl Shared {
    /// The state is changed by pure code alone; a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Closes namespaces that were held long enough, or are no longer needed. Returns when to look again.
    fn release(&mut self, now: Instant) -> Option<Instant> {
        let attachments = &self.attachments;
        self.held.retain(|container_id, (_, until)| {
            *until > now && attachments.has_container(container_id)
        });
        self.held.values().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
