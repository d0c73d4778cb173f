//! The folder of entries: `results` for what is attached, `lost` for what could not be undone. Each file is replaced
//! atomically and synced, so that after a crash it has the old content or the new one.

mod disk;

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::errno::Errno;
use thiserror::Error;

use crate::entry::{Entry, FileError, MAX_BYTES, decode, encode};
use disk::Dir;

const RESULTS: &str = "results";
const LOST: &str = "lost";

/// The store of one installation on one node.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

#[derive(Debug, Error)]
#[error("cannot {op} {}: {problem}", .path.display())]
pub struct FolderError {
    pub op: &'static str,
    pub path: PathBuf,
    pub problem: FolderProblem,
}

#[derive(Debug, Error)]
pub enum FolderProblem {
    #[error("there is none")]
    Missing,
    /// A file that is not an entry of this program has the name.
    #[error("another file has this name")]
    Exists,
    #[error("{0}")]
    Untrusted(String),
    #[error("{0}")]
    Format(FileError),
    #[error("{0} bytes are more than {MAX_BYTES}")]
    TooLarge(usize),
    #[error("{}", .0.desc())]
    Io(Errno),
}

/// What a folder contains.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of their file names.
    pub entries: Vec<Entry>,
    /// Files that are left alone: torn, foreign or newer ones.
    pub unreadable: Vec<Unreadable>,
}

/// A file that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub file: String,
    pub problem: String,
}

impl Folder {
    /// A handle by path; nothing is opened or created yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The store of an installation: `<state>/<installation>/attachments`.
    pub fn of_installation(state: &Path, installation: &str) -> Self {
        Self::new(state.join(installation).join("attachments"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of an entry.
    pub fn entry_path(&self, id: &str) -> PathBuf {
        self.path.join(RESULTS).join(id)
    }

    /// The file of a lost entry.
    pub fn lost_path(&self, id: &str) -> PathBuf {
        self.path.join(LOST).join(id)
    }

    /// Writes an entry that has no file yet. A file that exists stays: only its owner knows what it means.
    pub fn create(&self, entry: &Entry) -> Result<(), FolderError> {
        self.write(entry, "create", Dir::create)
    }

    /// Replaces an entry's file.
    pub fn replace(&self, entry: &Entry) -> Result<(), FolderError> {
        self.write(entry, "write", Dir::replace)
    }

    fn write(
        &self,
        entry: &Entry,
        op: &'static str,
        how: impl Fn(&Dir, &str, &[u8]) -> Result<(), FolderProblem>,
    ) -> Result<(), FolderError> {
        let id = entry.id();
        let text = encode(entry)
            .map_err(|error| FolderProblem::Format(FileError::Torn(error.to_string())));
        let written = text.and_then(|text| {
            if text.len() as u64 > MAX_BYTES {
                return Err(FolderProblem::TooLarge(text.len()));
            }
            let dir = Dir::open_or_make(&self.path.join(RESULTS))?;
            how(&dir, disk::name(&id)?, &text)
        });
        written.map_err(|problem| self.error(op, RESULTS, &id, problem))
    }

    /// Removes an entry. A missing one counts as removed.
    pub fn remove(&self, id: &str) -> Result<(), FolderError> {
        let removed =
            Dir::open(&self.path.join(RESULTS)).and_then(|dir| dir.remove(disk::name(id)?));
        match removed {
            Err(FolderProblem::Missing) => Ok(()),
            other => other.map_err(|problem| self.error("remove", RESULTS, id, problem)),
        }
    }

    /// Moves an entry to `lost`. It is in one of both folders at every moment.
    pub fn lose(&self, id: &str) -> Result<(), FolderError> {
        let moved = Dir::open(&self.path.join(RESULTS)).and_then(|results| {
            let lost = Dir::open_or_make(&self.path.join(LOST))?;
            results.rename_to(&lost, disk::name(id)?)
        });
        moved.map_err(|problem| self.error("move to lost", RESULTS, id, problem))
    }

    /// Drops a lost entry.
    pub fn forget(&self, id: &str) -> Result<(), FolderError> {
        let removed = Dir::open(&self.path.join(LOST)).and_then(|dir| dir.remove(disk::name(id)?));
        removed.map_err(|problem| self.error("forget", LOST, id, problem))
    }

    /// What is attached, or in progress.
    pub fn list(&self) -> Result<Listing, FolderError> {
        self.list_in(RESULTS)
    }

    /// What could not be undone.
    pub fn lost(&self) -> Result<Listing, FolderError> {
        self.list_in(LOST)
    }

    fn list_in(&self, folder: &str) -> Result<Listing, FolderError> {
        let failed = |problem| self.error("list", folder, "", problem);
        let dir = match Dir::open(&self.path.join(folder)) {
            Err(FolderProblem::Missing) => return Ok(Listing::default()),
            other => other.map_err(failed)?,
        };
        let mut names = dir.names().map_err(failed)?;
        names.retain(|name| !name.starts_with('.'));
        names.sort_unstable();
        let mut listing = Listing::default();
        for file in names {
            match read(&dir, &file) {
                Ok(entry) => listing.entries.push(entry),
                // Removed since the folder was read.
                Err(FolderProblem::Missing) => {}
                Err(problem) => listing.unreadable.push(Unreadable {
                    file,
                    problem: problem.to_string(),
                }),
            }
        }
        Ok(listing)
    }

    /// Removes temporary files of a daemon that died while it wrote; only one daemon writes here. Returns their
    /// number.
    pub fn sweep(&self) -> Result<usize, FolderError> {
        match Dir::open(&self.path.join(RESULTS)).and_then(|dir| dir.sweep()) {
            Err(FolderProblem::Missing) => Ok(0),
            other => other.map_err(|problem| self.error("sweep", RESULTS, "", problem)),
        }
    }

    fn error(
        &self,
        op: &'static str,
        folder: &str,
        id: &str,
        problem: FolderProblem,
    ) -> FolderError {
        let path = self.path.join(folder).join(id);
        FolderError { op, path, problem }
    }
}

fn read(dir: &Dir, file: &str) -> Result<Entry, FolderProblem> {
    let text = dir.read(file)?;
    decode(file, &text).map_err(FolderProblem::Format)
}

impl From<Errno> for FolderProblem {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::Missing,
            Errno::EEXIST => Self::Exists,
            errno => Self::Io(errno),
        }
    }
}

impl From<io::Error> for FolderProblem {
    fn from(error: io::Error) -> Self {
        error
            .raw_os_error()
            .map_or(Errno::EIO, Errno::from_raw)
            .into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
