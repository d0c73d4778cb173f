//! Claims as files: a folder that several daemons may share, one file for each claim with the content of the
//! object. A file is made as a whole or not at all, and only if there is none of its name.

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

use crate::{
    address::claims::{AllocatorState, Backend, ClaimAllocator},
    metrics::Metrics,
    source::Trigger,
};

mod file;
mod folder;
use file::file_of;
use folder::Folder;

/// How often it is looked whether somebody has changed the folder.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The thread that does what is due; when this is dropped, it ends.
#[must_use]
pub struct Keeping {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The claims of a node, kept in a folder, which is made if it is not there.
pub fn start(
    folder: &Path,
    node: &str,
    state: AllocatorState,
    metrics: Metrics,
    notify: impl Fn(Trigger) + Send + Sync + 'static,
) -> io::Result<(ClaimAllocator, Keeping)> {
    fs::create_dir_all(folder)?;
    let folder = Arc::new(Folder::new(folder));
    folder.clear_unfinished();
    let asked = folder.clone();
    let wakeup: Arc<Mutex<Option<std::thread::Thread>>> = Arc::default();
    let rung = wakeup.clone();
    let backend = Backend {
        sync: Some(Box::new(move |request| {
            let response = asked.execute(request);
            metrics.claim_asked(request.verb(), response.result());
            response
        })),
        wake: Box::new(move || {
            let thread = rung.lock().unwrap_or_else(PoisonError::into_inner);
            thread.iter().for_each(std::thread::Thread::unpark);
        }),
        notify: Box::new(notify),
    };
    let claims = ClaimAllocator::new(state, backend);
    folder.look(&claims, node);
    claims.set_synced();
    let stop = Arc::new(AtomicBool::new(false));
    let (node, stopped, served) = (node.to_owned(), stop.clone(), claims.clone());
    let thread = std::thread::Builder::new().name("claims".into());
    let thread = thread.spawn(move || folder.keep(&served, &node, &stopped))?;
    *wakeup.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    let keeping = Keeping {
        stop,
        thread: Some(thread),
    };
    Ok((claims, keeping))
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of its own has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Folder {
    /// Does what is due, and looks now and then at what others did.
    fn keep(&self, claims: &ClaimAllocator, node: &str, stopped: &AtomicBool) {
        let mut looked = Instant::now();
        while !stopped.load(Ordering::Acquire) {
            claims.run_due(None);
            if looked.elapsed() >= LOOK_AGAIN {
                looked = Instant::now();
                self.look(claims, node);
            }
            let due = claims.next_due();
            let rest = LOOK_AGAIN.saturating_sub(looked.elapsed());
            let due = due.map_or(rest, |due| due.saturating_duration_since(Instant::now()));
            std::thread::park_timeout(due.min(rest).max(Duration::from_millis(1)));
        }
    }

    /// Tells the claims of this node as the folder has them.
    fn look(&self, claims: &ClaimAllocator, node: &str) {
        let before = claims.names();
        let Ok(files) = self.files() else {
            return tracing::warn!(folder = %self.root.display(), "the claims can not be listed");
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
