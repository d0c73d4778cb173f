//! Reads libcni's result folder: without following symlinks, without blocking on a FIFO, and with a size limit.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    time::SystemTime,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
    unistd::geteuid,
};

/// Several times a chain in base64 and a pod's annotations.
const MAX_BYTES: u64 = 1 << 20;

/// Why a file is not a valid entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("it does not exist")]
    Gone,
    #[error("not a regular file")]
    NotAFile,
    #[error("owned by user {0}, not {1}")]
    WrongOwner(u32, u32),
    #[error("writable by others (mode {0:04o})")]
    Writable(u32),
    #[error("larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("cannot read it: {0}")]
    Unreadable(io::Error),
}

#[derive(Debug)]
pub struct CacheFolder(OwnedFd);

impl CacheFolder {
    /// Opens the folder at the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// The names in it; a name that is not UTF-8 is not an entry.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(&self.0, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let name = entry?.file_name().to_str().map(str::to_owned);
            names.extend(name.ok().filter(|name| !name.starts_with('.')));
        }
        Ok(names)
    }

    /// The content of a file, and when it was last written.
    pub fn read(&self, name: &str) -> Result<(Vec<u8>, SystemTime), EntryError> {
        let file = self.open_file(OsStr::new(name))?;
        let found = file.metadata().map_err(EntryError::Unreadable)?;
        let (owner, own) = (found.uid(), geteuid().as_raw());
        if !found.is_file() {
            return Err(EntryError::NotAFile);
        }
        if owner != own {
            return Err(EntryError::WrongOwner(owner, own));
        }
        if found.mode() & 0o022 != 0 {
            return Err(EntryError::Writable(found.mode() & 0o7777));
        }
        let mut text = Vec::new();
        let mut bounded = file.take(MAX_BYTES + 1);
        bounded
            .read_to_end(&mut text)
            .map_err(EntryError::Unreadable)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(EntryError::TooLarge);
        }
        let written = found.modified().map_err(EntryError::Unreadable)?;
        Ok((text, written))
    }

    fn open_file(&self, name: &OsStr) -> Result<File, EntryError> {
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        match openat(&self.0, name, flags, Mode::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::ENOENT) => Err(EntryError::Gone),
            // A symlink; a socket; a FIFO without a reader, or a device without a driver.
            Err(Errno::ELOOP | Errno::ENXIO | Errno::ENODEV) => Err(EntryError::NotAFile),
            Err(errno) => Err(EntryError::Unreadable(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{
        fs::{self, Permissions},
        os::unix::{fs::PermissionsExt, net::UnixListener},
    };

    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, CacheFolder) {
        let root = TempDir::new().unwrap();
        let folder = CacheFolder::open(root.path()).unwrap();
        (root, folder)
    }

    #[test]
    fn a_plain_file_is_read_and_listed() {
        let (root, folder) = folder();
        fs::write(root.path().join("a-b-eth0"), "hello").unwrap();
        fs::write(root.path().join(".hidden"), "").unwrap();
        for _ in 0..2 {
            assert_eq!(folder.names().unwrap(), ["a-b-eth0"]);
        }
        assert_eq!(folder.read("a-b-eth0").unwrap().0, b"hello");
    }

    #[test]
    fn what_is_no_plain_file_is_refused_without_waiting() {
        let (root, folder) = folder();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRUSR).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("broken")).unwrap();
        for name in ["folder", "fifo", "socket", "link", "broken"] {
            let refused = folder.read(name).unwrap_err();
            assert!(matches!(refused, EntryError::NotAFile), "{name}: {refused}");
        }
        assert!(matches!(
            folder.read("absent").unwrap_err(),
            EntryError::Gone
        ));
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let (root, folder) = folder();
        let path = root.path().join("open");
        fs::write(&path, "{}").unwrap();
        for mode in [0o666, 0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = folder.read("open").unwrap_err();
            assert!(matches!(refused, EntryError::Writable(_)), "{refused}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(folder.read("open").is_ok());
    }

    #[test]
    fn a_file_without_an_end_is_read_only_so_far() {
        let (root, folder) = folder();
        let file = File::create(root.path().join("huge")).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(
            folder.read("huge").unwrap_err(),
            EntryError::TooLarge
        ));
    }
}
