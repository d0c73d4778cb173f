//! The file operations that decide about trust and crash safety. All use the folder's descriptor: a path may resolve
//! differently in the next call.

use std::{
    cell::Cell,
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::Path,
};

use nix::{
    dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat, renameat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
    unistd::{UnlinkatFlags, fsync, geteuid, linkat, unlinkat},
};

use super::FolderProblem;
use crate::entry::MAX_BYTES;

/// Temporary files: hidden, which no entry is.
const TEMPORARY: &str = ".new.";
/// Of the kernel, for one file name.
const MAX_NAME_BYTES: usize = 255;

/// An open folder that only this user can write to.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

/// An id as a file name.
pub(super) fn name(id: &str) -> Result<&str, FolderProblem> {
    let is_plain = !id.is_empty() && !id.starts_with('.') && !id.contains(['/', '\0']);
    if !is_plain {
        return Err(FolderProblem::Untrusted("no entry has such a name".into()));
    }
    // The temporary file's name is longer.
    if id.len() + TEMPORARY.len() > MAX_NAME_BYTES {
        return Err(Errno::ENAMETOOLONG.into());
    }
    Ok(id)
}

impl Dir {
    /// Opens a folder and refuses one in which other users could create or replace files.
    pub(super) fn open(path: &Path) -> Result<Self, FolderProblem> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|errno| match errno {
            // With O_DIRECTORY the kernel returns ENOTDIR for a link as well.
            Errno::ENOTDIR | Errno::ELOOP => {
                FolderProblem::Untrusted("it is not a folder, or a symbolic link".into())
            }
            errno => errno.into(),
        })?;
        trust(&fstat(&fd)?, SFlag::S_IFDIR)?;
        Ok(Self(fd))
    }

    /// Creates the folder with mode 0700 if it is missing, its parents with 0755 but for the nearest, which is 0700.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, FolderProblem> {
        match Self::open(path) {
            Err(FolderProblem::Missing) => {}
            other => return other,
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        if let Some(above) = parent.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(above)?;
        }
        for folder in [parent, path] {
            make(folder)?;
        }
        // A folder that is not durable loses each file in it.
        for folder in [parent.parent().unwrap_or(parent), parent] {
            fsync(open(
                folder,
                OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?)?;
        }
        Self::open(path)
    }

    /// Writes a file, and fails if there is one of this name.
    pub(super) fn create(&self, name: &str, text: &[u8]) -> Result<(), FolderProblem> {
        let is_linked = Cell::new(false);
        // `linkat` refuses an existing name, which `renameat` replaces.
        let published = self.publish(name, text, |temporary| {
            linkat(&self.0, temporary, &self.0, name, AtFlags::empty())?;
            is_linked.set(true);
            Ok(())
        });
        self.discard(name);
        if published.is_err() && is_linked.get() {
            // It could not be synced: the caller takes it as not written.
            let _ = unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir);
        }
        published
    }

    /// Writes a file, or replaces it.
    pub(super) fn replace(&self, name: &str, text: &[u8]) -> Result<(), FolderProblem> {
        let published = self.publish(name, text, |temporary| {
            renameat(&self.0, temporary, &self.0, name)
        });
        if published.is_err() {
            self.discard(name);
        }
        published
    }

    /// Writes and syncs a temporary file, gives it its name, and syncs the folder.
    fn publish(
        &self,
        name: &str,
        text: &[u8],
        link: impl Fn(&str) -> nix::Result<()>,
    ) -> Result<(), FolderProblem> {
        let temporary = temporary(name);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let open = || {
            openat(
                &self.0,
                temporary.as_str(),
                flags | OFlag::O_CLOEXEC,
                Mode::S_IRUSR | Mode::S_IWUSR,
            )
        };
        let file = match open() {
            // Of a daemon that died.
            Err(Errno::EEXIST) => {
                self.discard(name);
                open()
            }
            other => other,
        }?;
        let mut file = File::from(file);
        file.write_all(text)?;
        file.sync_all()?;
        link(&temporary)?;
        Ok(fsync(&self.0)?)
    }

    /// Removes a temporary file. If this fails, the sweep of the next daemon does it.
    fn discard(&self, name: &str) {
        let _ = unlinkat(
            &self.0,
            temporary(name).as_str(),
            UnlinkatFlags::NoRemoveDir,
        );
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), FolderProblem> {
        unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(fsync(&self.0)?)
    }

    pub(super) fn rename_to(&self, other: &Self, name: &str) -> Result<(), FolderProblem> {
        renameat(&self.0, name, &other.0, name)?;
        fsync(&other.0)?;
        Ok(fsync(&self.0)?)
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, FolderProblem> {
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ELOOP => FolderProblem::Untrusted("it is a symbolic link".into()),
            Errno::ENXIO => FolderProblem::Untrusted("it is not a plain file".into()),
            errno => errno.into(),
        })?;
        trust(&fstat(&file)?, SFlag::S_IFREG)?;
        let mut text = Vec::new();
        File::from(file)
            .take(MAX_BYTES + 1)
            .read_to_end(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(FolderProblem::TooLarge(text.len()));
        }
        Ok(text)
    }

    pub(super) fn names(&self) -> Result<Vec<String>, FolderProblem> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = dir::Dir::openat(self.0.as_fd(), ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    pub(super) fn sweep(&self) -> Result<usize, FolderProblem> {
        let mut names = self.names()?;
        names.retain(|name| name.starts_with(TEMPORARY));
        for name in &names {
            match unlinkat(&self.0, name.as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(names.len())
    }
}

fn temporary(name: &str) -> String {
    format!("{TEMPORARY}{name}")
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Refuses a file by its type, its owner, or its mode.
fn trust(stat: &FileStat, wanted: SFlag) -> Result<(), FolderProblem> {
    let mode = stat.st_mode & 0o7777;
    let problem = if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != wanted {
        "it is not a plain file".into()
    } else if stat.st_uid != geteuid().as_raw() {
        format!("it belongs to user {}, not to {}", stat.st_uid, geteuid())
    } else if mode & 0o022 != 0 {
        format!("others may write it (mode {mode:04o})")
    } else {
        return Ok(());
    };
    Err(FolderProblem::Untrusted(problem))
}
