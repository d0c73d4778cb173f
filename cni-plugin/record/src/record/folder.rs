//! The folder of records: one file for each sandbox and interface, replaced atomically. It never follows a
//! link, blocks on a FIFO, or trusts a file that another user could have written.

mod disk;

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::netns::retry;

use super::{MAX_RECORD_BYTES, Record, RecordError, RecordErrorKind as Kind, parse};

/// The folder of records of one node.
#[derive(Debug, Clone)]
pub struct RecordFolder {
    path: PathBuf,
}

impl RecordFolder {
    /// A handle by path; nothing is opened or created yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file name of a sandbox's record; invalid ids and interface names are refused.
    pub fn file_name(&self, container_id: &str, ifname: &str) -> Result<String, RecordError> {
        parse::file_name(container_id, ifname).map_err(|(field, problem)| {
            RecordError::in_field(Kind::BadName, &self.path, field, problem)
        })
    }

    /// Writes a record, replacing an older one of the same sandbox and interface. No fsync: the folder does
    /// not survive a reboot, nor do its namespaces.
    pub fn write(&self, record: &Record) -> Result<String, RecordError> {
        let name = self.file_name(&record.container_id, &record.ifname)?;
        let path = self.path.join(&name);
        if let Some((field, problem)) = record.invalid_field() {
            return Err(RecordError::in_field(
                Kind::Malformed,
                &path,
                field,
                problem,
            ));
        }
        let text = serde_json::to_vec(record)
            .map_err(|error| RecordError::new(Kind::Malformed, &path, error.to_string()))?;
        if text.len() > MAX_RECORD_BYTES {
            let problem = format!("{} bytes are more than {MAX_RECORD_BYTES}", text.len());
            return Err(RecordError::new(Kind::TooLarge, &path, problem));
        }
        let folder = self.open_or_make()?;
        match disk::replace(&folder, &name, &text) {
            Err(Errno::ENOSPC | Errno::EDQUOT) => {
                self.sweep_in(&folder)?;
                disk::replace(&folder, &name, &text)
            }
            other => other,
        }
        .map_err(|errno| io_error(&path, "cannot write it", errno))?;
        Ok(name)
    }

    /// Removes a record. A missing one counts as removed.
    pub fn remove(&self, container_id: &str, ifname: &str) -> Result<(), RecordError> {
        let name = self.file_name(container_id, ifname)?;
        let folder = match self.open() {
            Err(error) if error.kind == Kind::Missing => return Ok(()),
            other => other?,
        };
        match unlinkat(&folder, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(io_error(&self.path.join(name), "cannot remove it", errno)),
        }
    }

    /// Removes a record if it is unchanged; returns whether it was. A newer record of the plugin stays. The
    /// file is moved aside before it is compared, so that the comparison and the removal are atomic.
    pub fn remove_unchanged(&self, record: &Record) -> Result<bool, RecordError> {
        let name = self.file_name(&record.container_id, &record.ifname)?;
        let folder = match self.open() {
            Err(error) if error.kind == Kind::Missing => return Ok(false),
            other => other?,
        };
        let is_same = |file: &str| {
            self.read_as(&folder, file, &name)
                .is_ok_and(|r| r == *record)
        };
        if !is_same(&name) {
            return Ok(false);
        }
        let failed = |errno| io_error(&self.path.join(&name), "cannot remove it", errno);
        let aside = match disk::set_aside(&folder, &name) {
            Err(Errno::ENOENT) => return Ok(false),
            other => other.map_err(failed)?,
        };
        if !is_same(&aside) {
            disk::put_back(&folder, &aside, &name).map_err(failed)?;
            return Ok(false);
        }
        unlinkat(&folder, aside.as_str(), UnlinkatFlags::NoRemoveDir).map_err(failed)?;
        Ok(true)
    }

    /// Restores the files that a process moved aside and left when it died in [`Self::remove_unchanged`];
    /// returns their number.
    pub fn restore(&self) -> Result<usize, RecordError> {
        let folder = match self.open() {
            Err(error) if error.kind == Kind::Missing => return Ok(0),
            other => other?,
        };
        disk::restore(&folder)
            .map_err(|error| RecordError::new(Kind::Io, &self.path, error.to_string()))
    }

    /// Reads one record by its file name.
    pub fn read(&self, file_name: &str) -> Result<Record, RecordError> {
        let path = self.path.join(file_name);
        if file_name.contains('/') || !disk::is_record_name(file_name) {
            let problem = "no record has such a file name";
            return Err(RecordError::new(Kind::BadName, &path, problem));
        }
        self.read_in(&self.open()?, file_name)
    }

    /// Every record or its error, ordered by file name. Temporary files and files without the suffix of
    /// records are not listed.
    pub fn list(&self) -> io::Result<Vec<(String, Result<Record, RecordError>)>> {
        let folder = self.open().map_err(as_io)?;
        let mut names = disk::names_in(&folder)?;
        names.retain(|name| disk::is_record_name(name));
        names.sort_unstable();
        let read = |name: String| {
            let record = self.read_in(&folder, &name);
            (name, record)
        };
        let mut entries: Vec<_> = names.into_iter().map(read).collect();
        // A file that vanished between listing and reading is not listed.
        entries.retain(|(_, entry)| !matches!(entry, Err(error) if error.kind == Kind::Missing));
        Ok(entries)
    }

    /// Removes temporary files of writers that died; returns their number.
    pub fn sweep(&self) -> Result<usize, RecordError> {
        self.sweep_in(&self.open()?)
    }

    fn sweep_in(&self, folder: &OwnedFd) -> Result<usize, RecordError> {
        disk::sweep(folder)
            .map_err(|error| RecordError::new(Kind::Io, &self.path, error.to_string()))
    }

    fn read_in(&self, folder: &OwnedFd, name: &str) -> Result<Record, RecordError> {
        self.read_as(folder, name, name)
    }

    /// Reads `file` as the record of the given name.
    fn read_as(&self, folder: &OwnedFd, file: &str, name: &str) -> Result<Record, RecordError> {
        let path = self.path.join(name);
        if name.contains(char::REPLACEMENT_CHARACTER) {
            let problem = "its name is not UTF-8";
            return Err(RecordError::new(Kind::BadName, &path, problem));
        }
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let opened = retry(
            || openat(folder, file, flags, Mode::empty()),
            |errno| Some(*errno),
        );
        let file = opened.map_err(|errno| match errno {
            Errno::ENOENT => RecordError::new(Kind::Missing, &path, "there is none"),
            Errno::ELOOP => RecordError::new(Kind::Untrusted, &path, "is a symbolic link"),
            Errno::ENXIO => RecordError::new(Kind::Untrusted, &path, "is not a plain file"),
            errno => io_error(&path, "cannot open it", errno),
        })?;
        let stat = fstat(&file).map_err(|errno| io_error(&path, "cannot stat it", errno))?;
        if let Some(problem) = disk::distrust(&stat, SFlag::S_IFREG) {
            return Err(RecordError::new(Kind::Untrusted, &path, problem));
        }
        let mut text = Vec::new();
        let read = File::from(file)
            .take(MAX_RECORD_BYTES as u64 + 1)
            .read_to_end(&mut text);
        read.map_err(|error| {
            RecordError::new(Kind::Io, &path, format!("cannot read it: {error}"))
        })?;
        if text.len() > MAX_RECORD_BYTES {
            let problem = format!("is larger than {MAX_RECORD_BYTES} bytes");
            return Err(RecordError::new(Kind::TooLarge, &path, problem));
        }
        parse::parse(&path, &text)
    }

    fn open_or_make(&self) -> Result<OwnedFd, RecordError> {
        match self.open() {
            Err(error) if error.kind == Kind::Missing => {
                self.make().map_err(|error| {
                    RecordError::new(
                        Kind::Io,
                        &self.path,
                        format!("cannot make the folder: {error}"),
                    )
                })?;
                self.open()
            }
            other => other,
        }
    }

    /// Creates the folder with mode 0700, its parents with 0755.
    fn make(&self) -> io::Result<()> {
        if let Some(parent) = self.path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Opens the folder and refuses one in which other users could create or replace files.
    fn open(&self) -> Result<OwnedFd, RecordError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = retry(
            || open(&self.path, flags, Mode::empty()),
            |errno| Some(*errno),
        );
        let folder = folder.map_err(|errno| match errno {
            Errno::ENOENT => RecordError::new(Kind::Missing, &self.path, "there is no such folder"),
            // With O_DIRECTORY the kernel returns ENOTDIR for a link as well.
            Errno::ENOTDIR | Errno::ELOOP => RecordError::new(
                Kind::Untrusted,
                &self.path,
                "is not a folder, or a symbolic link",
            ),
            errno => io_error(&self.path, "cannot open the folder", errno),
        })?;
        let stat = fstat(&folder).map_err(|errno| io_error(&self.path, "cannot stat it", errno))?;
        match disk::distrust(&stat, SFlag::S_IFDIR) {
            Some(problem) => Err(RecordError::new(Kind::Untrusted, &self.path, problem)),
            None => Ok(folder),
        }
    }
}

fn io_error(path: &Path, op: &str, errno: Errno) -> RecordError {
    RecordError::new(Kind::Io, path, format!("{op}: {}", errno.desc()))
}

fn as_io(error: RecordError) -> io::Error {
    let kind = match error.kind {
        Kind::Missing => io::ErrorKind::NotFound,
        Kind::Untrusted => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests;
