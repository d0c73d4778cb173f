//! libcni's result cache: what a runtime keeps about every sandbox that it attached. It is there for
//! pods that started before the plugin was in the chain, and for all where it can not be. Its files are
//! written in place, by others, and some outlive their pods for ever.

/// One file's content.
mod entry;
/// The folder on the disk.
mod folder;
/// What happens in it.
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use crds::report::RecordSource;
use nix::sys::eventfd::EventFd;

use self::{
    folder::{Folder, Refused},
    watch::{Batch, Watch},
};
use super::{Hints, PodName};
use crate::source::Trigger;

/// The running watch; when it is dropped, the watching ends.
#[must_use]
pub struct Cache {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Cache {
    /// Reads everything there is before it returns; from then on, `notify` is called for each pod of
    /// which something else is said than before.
    pub fn start(
        path: &Path,
        hints: Hints,
        notify: impl Fn(Trigger) + Send + 'static,
    ) -> io::Result<Self> {
        let mut watch = Watch::new(path)?;
        let stop = watch.stop();
        let mut reader = Reader::new(path, hints);
        reader.read_all();
        let thread = std::thread::Builder::new().name("cni-cache".into());
        let thread = thread.spawn(move || {
            loop {
                match watch.wait() {
                    Ok(Batch { stop: true, .. }) => break,
                    Ok(batch) => {
                        let touched = reader.take(batch).into_iter();
                        touched.for_each(|(namespace, name)| {
                            notify(Trigger::Hint { namespace, name })
                        });
                    }
                    Err(error) => {
                        let path = reader.path.display();
                        break tracing::error!("watch {path}: {error}; it is not watched any more");
                    }
                }
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Err(errno) = self.stop.write(1) {
            return tracing::error!(%errno, "cannot stop watching libcni's results");
        }
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Reader {
    path: PathBuf,
    hints: Hints,
    /// Files that are no entries, and why: each is told once.
    bad: BTreeMap<String, String>,
    /// Why the folder could not be read the last time.
    trouble: Option<String>,
}

impl Reader {
    fn new(path: &Path, hints: Hints) -> Self {
        Self {
            path: path.to_owned(),
            hints,
            bad: BTreeMap::new(),
            trouble: None,
        }
    }

    fn take(&mut self, batch: Batch) -> BTreeSet<PodName> {
        if batch.all {
            return self.read_all();
        }
        let Some(folder) = (!batch.names.is_empty()).then(|| self.open()).flatten() else {
            return BTreeSet::new();
        };
        let names = batch.names.iter();
        names.flat_map(|name| self.read(&folder, name)).collect()
    }

    /// A folder that is not there has no entries; one that can not be read is not known to have none.
    fn read_all(&mut self) -> BTreeSet<PodName> {
        let Some(folder) = self.open() else {
            return match self.path.try_exists() {
                Ok(false) => self.keep_only(&BTreeSet::new()),
                _ => BTreeSet::new(),
            };
        };
        let names: BTreeSet<String> = match folder.names() {
            Ok(names) => names.into_iter().collect(),
            Err(error) => {
                self.doubt(format!("cannot be listed: {error}"));
                return BTreeSet::new();
            }
        };
        let mut touched = self.keep_only(&names);
        touched.extend(names.iter().flat_map(|name| self.read(&folder, name)));
        touched
    }

    fn keep_only(&mut self, names: &BTreeSet<String>) -> BTreeSet<PodName> {
        self.bad.retain(|name, _| names.contains(name));
        let gone = self
            .hints
            .keep_only(RecordSource::Cache, |name| names.contains(name));
        gone.into_iter().collect()
    }

    fn open(&mut self) -> Option<Folder> {
        match Folder::open(&self.path) {
            Ok(folder) => {
                self.trouble = None;
                Some(folder)
            }
            Err(error) => {
                self.doubt(format!("cannot be opened: {error}"));
                None
            }
        }
    }

    fn doubt(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(
                "libcni's results in {} {trouble}; pods without a record are not found by it",
                self.path.display()
            );
            self.trouble = Some(trouble);
        }
    }

    /// Reads one file again; the pods of which it says something else than before.
    fn read(&mut self, folder: &Folder, name: &str) -> Vec<PodName> {
        let read = match folder.read(name) {
            Ok((text, written)) => entry::read(name, &text, written),
            Err(Refused::Gone) => Ok(None),
            // What it says now is not known; what it said stays.
            Err(Refused::Unreadable(error)) => {
                self.doubt(format!("have an entry that cannot be read: {error}"));
                return Vec::new();
            }
            Err(refused) => Err(refused.to_string()),
        };
        let hint = match read {
            Ok(hint) => {
                self.bad.remove(name);
                hint
            }
            Err(why) => {
                if self.bad.get(name) != Some(&why) {
                    tracing::debug!(file = ?name, "not an entry of libcni's cache: {why}");
                    self.bad.insert(name.into(), why);
                }
                None
            }
        };
        self.hints.put(RecordSource::Cache, name, hint)
    }
}

#[cfg(test)]
mod tests;
