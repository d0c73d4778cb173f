//! One manifest's text, out of a folder. Never waits, never opens what is not a regular file (a
//! device does things when it is opened), never leaves the folder, never reads more than it may.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    time::SystemTime,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

/// More than this is no manifest.
pub const LARGEST: u64 = 1 << 20;

#[derive(Debug)]
pub enum Opened {
    Text(String),
    Gone,
    Refused(String),
}

/// The folder itself, for [`read`].
pub fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The name itself, not what it leads to.
pub fn look(folder: BorrowedFd<'_>, name: &str) -> Option<Stat> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

pub fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

/// A new entry of this kind was made by opening it for writing; all others come complete.
pub fn is_being_written(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1
}

pub fn read(folder: BorrowedFd<'_>, name: &str) -> Opened {
    match found(folder, name) {
        Ok(place) => {
            let text = regular(&place).and_then(|()| contents(&place));
            text.map_or_else(Opened::Refused, Opened::Text)
        }
        Err(Errno::NOENT) if look(folder, name).is_none() => Opened::Gone,
        Err(Errno::NOENT) => Opened::Refused("is a symlink that leads to nothing".into()),
        Err(Errno::XDEV) => Opened::Refused("is a symlink that leaves the folder".into()),
        Err(Errno::LOOP) => Opened::Refused("is a symlink that leads in a circle".into()),
        Err(errno) => Opened::Refused(unreadable(errno)),
    }
}

fn found(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed meanwhile, and the kernel could not be sure of the path.
    for _ in 0..8 {
        match rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => continue,
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

fn regular(place: &OwnedFd) -> Result<(), String> {
    let stat = rustix::fs::fstat(place).map_err(unreadable)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if u64::try_from(stat.st_size).is_ok_and(|size| size > LARGEST) => {
            return Err(too_large());
        }
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a folder (sub-folders are not read)",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "no regular file",
    };
    Err(format!("is {kind}, not a manifest"))
}

fn contents(place: &OwnedFd) -> Result<String, String> {
    // The very file that was looked at, whatever bears its name now.
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(unreadable)?);
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!(
            "is not UTF-8 text (byte {} is the first that is not)",
            at + 1
        )
    })
}

fn unreadable(errno: Errno) -> String {
    format!("cannot be read: {}", std::io::Error::from(errno))
}

fn too_large() -> String {
    format!(
        "is larger than {} KiB, which no manifest needs",
        LARGEST >> 10
    )
}

/// Since when a file is as it is; now, if that can't be said.
pub fn modified(path: &Path) -> SystemTime {
    let modified = std::fs::metadata(path).and_then(|file| file.modified());
    modified.unwrap_or_else(|_| SystemTime::now())
}
