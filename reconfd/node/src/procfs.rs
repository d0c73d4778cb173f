//! Network sysctls, through a private procfs mount: in a container the ordinary `/proc/sys` is read-only.
//! `sys/net` shows the namespace of the thread that opens a file.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};
use sandbox_record::netns::retry;

/// Bytes of a number.
const LONGEST_VALUE: usize = 32;

pub struct Procfs(OwnedFd);

impl Procfs {
    /// A detached mount that ends with the process; the ordinary `/proc` if the kernel or a security policy
    /// refuses one.
    pub fn open() -> io::Result<Self> {
        let detached = || {
            let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&fs)?;
            fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        let ordinary = |_| {
            rustix::fs::open(
                "/proc",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        Ok(Self(detached().or_else(ordinary)?))
    }

    /// Sets `net/<name>` in the calling thread's network namespace.
    pub fn set(&self, name: &str, value: &str) -> io::Result<()> {
        let mut file = self.file(name, OFlags::WRONLY)?;
        file.write_all(value.as_bytes())
            .map_err(|e| with_context("write", name, &e))
    }

    /// Ensures the value of a setting, which need not exist (module not loaded); returns whether it was
    /// changed.
    pub fn ensure(&self, name: &str, value: &str) -> io::Result<bool> {
        match self.get(name)? {
            Some(now) if now != value => self.set(name, value).map(|()| true),
            Some(_) | None => Ok(false),
        }
    }

    /// A setting of the calling thread's network namespace; `None` if it does not exist.
    pub fn get(&self, name: &str) -> io::Result<Option<String>> {
        let mut now = String::new();
        match self.file(name, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?.read_to_string(&mut now)?,
        };
        Ok(Some(now.trim().to_owned()))
    }

    /// A handle of the link settings of a family (`ipv4`, `ipv6`) in the calling thread's network namespace,
    /// usable from any thread; `None` if the kernel has no such family.
    pub fn link_settings(&self, family: &str) -> io::Result<Option<LinkSettings>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match open_at(&self.0, &format!("sys/net/{family}/conf"), flags) {
            Ok(fd) => Ok(Some(LinkSettings(fd))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(with_context(
                "open",
                &format!("{family}/conf"),
                &errno.into(),
            )),
        }
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let path = format!("sys/net/{name}");
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = open_at(&self.0, &path, flags);
        Ok(fd
            .map_err(|errno| with_context("open", name, &io::Error::from(errno)))?
            .into())
    }
}

/// The settings folder of one namespace, bound to it independent of the thread.
pub struct LinkSettings(OwnedFd);

impl LinkSettings {
    /// Sets `<link>/<setting>`.
    pub fn set(&self, name: &str, value: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match open_at(&self.0, name, flags) {
            // Below an MTU of 1280 a link has no IPv6 and no settings for it.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            file => file,
        };
        let mut file: File = file
            .map_err(|errno| with_context("open", name, &errno.into()))?
            .into();
        file.write_all(value.as_bytes())
            .map_err(|e| with_context("write", name, &e))
    }

    /// Sets `<link>/<setting>`, if it differs, until the result is restored.
    pub fn replace(&self, name: &str, value: &str) -> io::Result<Option<Replaced>> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file: File = match open_at(&self.0, name, flags) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            file => file
                .map_err(|errno| with_context("open", name, &errno.into()))?
                .into(),
        };
        let mut before = [0; LONGEST_VALUE];
        let read = file.read_at(&mut before, 0);
        let length = read.map_err(|e| with_context("read", name, &e))?;
        let before = before[..length].trim_ascii().to_owned();
        if before == value.as_bytes() {
            return Ok(None);
        }
        file.write_all_at(value.as_bytes(), 0)
            .map_err(|e| with_context("write", name, &e))?;
        Ok(Some(Replaced { file, before }))
    }
}

/// A setting with another value for a moment.
pub struct Replaced {
    file: File,
    before: Vec<u8>,
}

impl Replaced {
    /// Sets the previous value, unless the link is gone or has another name.
    pub fn restore(self) -> io::Result<()> {
        match self.file.write_all_at(&self.before, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

fn open_at(folder: &OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    retry(
        || openat(folder, path, flags, Mode::empty()),
        |errno| Some(nix::errno::Errno::from_raw(errno.raw_os_error())),
    )
}

fn with_context(op: &str, name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{op} net/{name}: {error}"))
}
