//! The directory source: a watched folder of manifests in the place of an API server. Never changes a manifest;
//! a broken one affects neither the others nor the versions in force.

mod atomic_files;
/// Claims as files.
pub mod claims;
mod documents;
mod identity;
mod index;
mod key;
mod object;
mod open;
mod parse;
mod reader;
/// Validation by the CRD's schema, defaults and CEL rules.
pub mod schema;
mod sink;
mod stores;

use std::{
    io,
    path::{Path, PathBuf},
};

use dirwatch::{DirWatch, Folder, WatchThread};
use store::{StoreWriter, Stores, Trigger, records};

use self::reader::Reader;
pub use self::{parse::Admit, sink::FileSink};

#[derive(Clone, Debug)]
pub struct Options {
    /// The manifest folder; it must exist at the start.
    pub manifests: PathBuf,
    /// The plugin's record folder; it may be created later.
    pub records: PathBuf,
    /// The folder for reports.
    pub reports: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot watch {}: {cause}", path.display())]
    Watch { path: PathBuf, cause: io::Error },
    #[error("{} is the folder of {one} and of {other}; each needs its own", path.display())]
    SameFolder {
        path: PathBuf,
        one: &'static str,
        other: &'static str,
    },
    #[error("cannot start the thread that watches {}: {cause}", path.display())]
    Thread { path: PathBuf, cause: io::Error },
}

/// The running source. Dropping it ends the watch; no trigger is sent after that.
#[must_use]
pub struct Directory {
    _thread: WatchThread,
}

impl Directory {
    /// Reads all manifests before it returns. From then on `notify` is called for each change, on the source's own
    /// thread, after the stores were updated.
    pub fn start(
        options: &Options,
        admit: Box<Admit>,
        notify: impl Fn(Trigger) + Send + 'static,
    ) -> Result<(Stores, FileSink, Self), Error> {
        check_apart(options)?;
        let cannot_watch = |cause| Error::Watch {
            path: options.manifests.clone(),
            cause,
        };
        let watch = watch(options).map_err(cannot_watch)?;
        let writer = StoreWriter::default();
        let stores = writer.stores();
        let sink = FileSink::new(&options.reports);
        let mut reader = Reader::new(&options.manifests, writer, sink.clone(), admit);
        reader
            .initial_read(&options.reports)
            .map_err(cannot_watch)?;
        let cannot_start = |cause| Error::Thread {
            path: options.manifests.clone(),
            cause,
        };
        let handle = move |events| reader.events(events, &notify);
        let thread = WatchThread::spawn("manifests", watch, handle).map_err(cannot_start)?;
        Ok((stores, sink, Self { _thread: thread }))
    }
}

/// Watches the manifest folder, which must exist, and the record folder, which need not.
fn watch(options: &Options) -> io::Result<DirWatch> {
    let manifests = Folder::new(&options.manifests)
        .with_created()
        .with_touched();
    let mut watch = DirWatch::new(vec![manifests, records::folder(&options.records)])?;
    watch.require(0)?;
    Ok(watch)
}

fn check_apart(options: &Options) -> Result<(), Error> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folders = [
        ("manifests", &options.manifests),
        ("records", &options.records),
        ("reports", &options.reports),
    ];
    for (at, (one, path)) in folders.into_iter().enumerate() {
        let mut others = folders[at + 1..].iter();
        if let Some((other, _)) = others.find(|(_, other)| real(other) == real(path)) {
            let path = path.clone();
            return Err(Error::SameFolder { path, one, other });
        }
    }
    Ok(())
}

/// Whether a file name is a manifest's, and not a temporary of an editor or a transfer.
fn is_manifest(name: &str) -> bool {
    let temporary = name.starts_with(['.', '#', '~']);
    !temporary
        && [".yaml", ".yml", ".json"]
            .iter()
            .any(|end| name.len() > end.len() && name.ends_with(end))
}

/// Whether a file name survived the lossy conversion to a string.
fn is_text(name: &str) -> bool {
    !name.contains(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests;
