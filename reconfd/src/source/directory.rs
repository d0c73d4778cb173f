//! The directory source: a folder of manifests, watched, which plays the API server. Never changes a
//! manifest; never lets one that is broken disturb another, or what was in force.

/// Claims as files.
pub mod claims;
mod documents;
mod identity;
mod key;
mod open;
mod pages;
mod read;
mod reader;
mod shelf;
mod sink;
mod stores;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use nix::sys::eventfd::EventFd;

pub use self::{read::Admit, sink::FileSink};
use self::{reader::Reader, watch::Watch};
use super::{StoreWriter, Stores, Trigger};

#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of manifests; it must be there at the start.
    pub manifests: PathBuf,
    /// The plugin's folder; it may come later.
    pub records: PathBuf,
    /// Where reports go.
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

/// The running source; when it is dropped, the watching ends, and no change is told any more.
#[must_use]
pub struct Directory {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Directory {
    /// Reads everything there is before it returns; from then on, `notify` is called for each change,
    /// on a thread of the source's own, after the objects have changed.
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
        let watch = Watch::new(&options.manifests, &options.records).map_err(cannot_watch)?;
        let stop = watch.stop();
        let writer = StoreWriter::new();
        let stores = writer.stores();
        let sink = FileSink::new(&options.reports);
        let mut reader = Reader::new(&options.manifests, writer, sink.clone(), admit);
        reader.first(&options.reports).map_err(cannot_watch)?;
        let cannot_start = |cause| Error::Thread {
            path: options.manifests.clone(),
            cause,
        };
        let thread = std::thread::Builder::new().name("manifests".into());
        let thread = thread
            .spawn(move || reader.run(watch, &notify))
            .map_err(cannot_start)?;
        Ok((
            stores,
            sink,
            Self {
                stop,
                thread: Some(thread),
            },
        ))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(errno) = self.stop.write(1) {
            return tracing::error!(%errno, "cannot stop watching manifests");
        }
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

fn check_apart(options: &Options) -> Result<(), Error> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let manifests = real(&options.manifests);
    let records = real(&options.records);
    let reports = real(&options.reports);
    let same = |one, other| {
        Err(Error::SameFolder {
            path: options.manifests.clone(),
            one,
            other,
        })
    };
    if manifests == records {
        return same("manifests", "records");
    }
    if manifests == reports {
        return same("manifests", "reports");
    }
    if records == reports {
        let path = options.records.clone();
        return Err(Error::SameFolder {
            path,
            one: "records",
            other: "reports",
        });
    }
    Ok(())
}

/// Whether a name is one of a manifest, and not an editor's or a transfer's temporary.
fn is_manifest(name: &str) -> bool {
    let temporary = name.starts_with(['.', '#', '~']);
    !temporary
        && [".yaml", ".yml", ".json"]
            .iter()
            .any(|end| name.len() > end.len() && name.ends_with(end))
}

/// Whether a file's name is what it was before it was made a string.
fn is_text(name: &str) -> bool {
    !name.contains(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests;
