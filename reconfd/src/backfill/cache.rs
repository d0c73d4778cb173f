//! libcni's result cache, with an entry for every sandbox that a runtime attached: for pods that started before the
//! plugin was in the chain, and for nodes where it cannot be. Its files are written in place by other programs, and
//! some outlive their pods for ever.

/// Parses an entry.
mod entry;
/// Reads the folder.
mod folder;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use crds::report::RecordSource;
use dirwatch::{DirWatch, Folder, FolderEvents, WatchThread};
use store::Trigger;

use self::folder::{CacheFolder, EntryError};
use super::{Hints, PodName};

/// The running watch; it ends when this is dropped.
#[must_use]
pub struct CniCache {
    _thread: WatchThread,
}

impl CniCache {
    /// Reads all entries before it returns. From then on `notify` is called for each pod whose hints have changed.
    pub fn start(
        path: &Path,
        hints: Hints,
        notify: impl Fn(Trigger) + Send + 'static,
    ) -> io::Result<Self> {
        let watch = DirWatch::new(vec![Folder::new(path)])?;
        let mut reader = Reader::new(path, hints);
        reader.read_all();
        let thread = WatchThread::spawn("cni-cache", watch, move |events| {
            let touched = events.folders.iter().flat_map(|events| reader.take(events));
            touched.for_each(|(namespace, name)| notify(Trigger::Hint { namespace, name }));
            None
        })?;
        Ok(Self { _thread: thread })
    }
}

struct Reader {
    path: PathBuf,
    hints: Hints,
    /// Files that are not valid entries, with the error: each is logged once.
    bad: BTreeMap<String, String>,
    /// The error of the last read of the folder.
    last_error: Option<String>,
}

impl Reader {
    fn new(path: &Path, hints: Hints) -> Self {
        Self {
            path: path.to_owned(),
            hints,
            bad: BTreeMap::new(),
            last_error: None,
        }
    }

    fn take(&mut self, events: &FolderEvents) -> BTreeSet<PodName> {
        if events.all || events.lost {
            return self.read_all();
        }
        let mut names = events.visible().peekable();
        let Some(folder) = names.peek().is_some().then(|| self.open()).flatten() else {
            return BTreeSet::new();
        };
        names.flat_map(|name| self.read(&folder, name)).collect()
    }

    /// A missing folder has no entries; the entries of an unreadable one are unknown, and kept.
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
                self.warn_once(format!("cannot be listed: {error}"));
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

    fn open(&mut self) -> Option<CacheFolder> {
        match CacheFolder::open(&self.path) {
            Ok(folder) => {
                self.last_error = None;
                Some(folder)
            }
            Err(error) => {
                self.warn_once(format!("cannot be opened: {error}"));
                None
            }
        }
    }

    fn warn_once(&mut self, last_error: String) {
        if self.last_error.as_ref() != Some(&last_error) {
            tracing::warn!(
                "libcni's results in {} {last_error}; pods without a record are not found there",
                self.path.display()
            );
            self.last_error = Some(last_error);
        }
    }

    /// Reads one file; returns the pods whose hints have changed.
    fn read(&mut self, folder: &CacheFolder, name: &str) -> Vec<PodName> {
        let read = match folder.read(name) {
            Ok((text, written)) => entry::read(name, &text, written),
            Err(EntryError::Gone) => Ok(None),
            // Unknown content: the last hint stays.
            Err(EntryError::Unreadable(error)) => {
                self.warn_once(format!("have an entry that cannot be read: {error}"));
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
