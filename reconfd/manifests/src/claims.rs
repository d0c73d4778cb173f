//! Claims as files, in a folder that several daemons may share: one file per claim with the content of the object.
//! A file is created atomically, and only if none of its name exists.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use address::claims::{AllocatorState, Backend, ClaimAllocator};
use store::Trigger;

mod file;
mod folder;
use file::file_of;
use folder::ClaimFolder;

/// How often the folder is read again, for changes by other programs.
const RESYNC_INTERVAL: Duration = Duration::from_secs(5);

/// The thread that runs due operations; it ends when this is dropped.
#[must_use]
pub struct ClaimWorker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the claim allocator of a node on a folder, which is created if it does not exist. `count` is called with the
/// verb and the result of each request.
pub fn start(
    folder: &Path,
    node: &str,
    state: AllocatorState,
    count: impl Fn(&'static str, &'static str) + Send + Sync + 'static,
    notify: impl Fn(Trigger) + Send + Sync + 'static,
) -> io::Result<(ClaimAllocator, ClaimWorker)> {
    fs::create_dir_all(folder)?;
    let folder = Arc::new(ClaimFolder::new(folder));
    folder.clear_unfinished();
    let executor = folder.clone();
    let wakeup: Arc<Mutex<Option<std::thread::Thread>>> = Arc::default();
    let sleeping = wakeup.clone();
    let backend = Backend {
        sync: Some(Box::new(move |request| {
            let response = executor.execute(request);
            count(request.verb(), response.result());
            response
        })),
        wake: Box::new(move || {
            let thread = sleeping.lock().unwrap_or_else(PoisonError::into_inner);
            thread.iter().for_each(std::thread::Thread::unpark);
        }),
        notify: Box::new(move |uid| notify(Trigger::Claims { uid })),
    };
    let claims = ClaimAllocator::new(state, backend);
    folder.resync(&claims, node);
    claims.set_synced();
    let stop = Arc::new(AtomicBool::new(false));
    let (node, stopped, served) = (node.to_owned(), stop.clone(), claims.clone());
    let thread = std::thread::Builder::new().name("claims".into());
    let thread = thread.spawn(move || folder.run(&served, &node, &stopped))?;
    *wakeup.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    let worker = ClaimWorker {
        stop,
        thread: Some(thread),
    };
    Ok((claims, worker))
}

impl Drop for ClaimWorker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}

impl ClaimFolder {
    /// Runs due operations, and resyncs at an interval.
    fn run(&self, claims: &ClaimAllocator, node: &str, stopped: &AtomicBool) {
        let mut resynced = Instant::now();
        while !stopped.load(Ordering::Acquire) {
            claims.run_due(None);
            if resynced.elapsed() >= RESYNC_INTERVAL {
                resynced = Instant::now();
                self.resync(claims, node);
            }
            let due = claims.next_due();
            let rest = RESYNC_INTERVAL.saturating_sub(resynced.elapsed());
            let due = due.map_or(rest, |due| due.saturating_duration_since(Instant::now()));
            std::thread::park_timeout(due.min(rest).max(Duration::from_millis(1)));
        }
    }

    /// Brings the allocator up to date with the claims of this node in the folder.
    fn resync(&self, claims: &ClaimAllocator, node: &str) {
        let before = claims.names();
        let Ok(files) = self.files() else {
            return tracing::warn!(folder = %self.root.display(), "cannot list the claims");
        };
        self.keep_only(&files);
        for name in before {
            if !files.contains(&file_of(&name)) {
                claims.deleted(&name);
            }
        }
        for file in files {
            if let Some(claim) = self.cached(&file).filter(|claim| claim.spec.node == node) {
                claims.applied(claim);
            }
        }
    }
}

#[cfg(test)]
mod tests;
