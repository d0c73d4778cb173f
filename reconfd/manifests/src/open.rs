//! Reads one manifest of a folder. Never blocks, never opens anything but a regular file (opening a device has
//! effects), never leaves the folder, never reads more than the limit.

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

/// Larger files are refused.
pub const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub enum Opened {
    Text(String),
    Gone,
    Refused(String),
}

/// Opens the folder, for [`read`].
pub fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The entry itself, not the target of a symlink.
pub fn stat(folder: BorrowedFd<'_>, name: &str) -> Option<Stat> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

pub fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

/// Whether a new entry was created by opening it for writing; all others are complete when they appear.
pub fn is_being_written(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1
}

pub fn read(folder: BorrowedFd<'_>, name: &str) -> Opened {
    match found(folder, name) {
        Ok(place) => {
            let text = regular(&place).and_then(|()| contents(&place));
            text.map_or_else(Opened::Refused, Opened::Text)
        }
        Err(Errno::NOENT) if stat(folder, name).is_none() => Opened::Gone,
        Err(Errno::NOENT) => Opened::Refused("is a dangling symlink".into()),
        Err(Errno::XDEV) => Opened::Refused("is a symlink out of the folder".into()),
        Err(Errno::LOOP) => Opened::Refused("is a symlink loop".into()),
        Err(errno) => Opened::Refused(unreadable(errno)),
    }
}

fn found(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: there was a rename meanwhile, and the kernel could not verify the path.
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
        FileType::RegularFile if u64::try_from(stat.st_size).is_ok_and(|size| size > MAX_BYTES) => {
            return Err(too_large());
        }
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a folder (sub-folders are not read)",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "not a regular file",
    };
    Err(format!("is {kind}, not a manifest"))
}

fn contents(place: &OwnedFd) -> Result<String, String> {
    // The file that was checked, whatever has its name now.
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(unreadable)?);
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
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
    format!("is larger than {} KiB", MAX_BYTES >> 10)
}

/// A file's modification time; now, if it is unknown.
pub fn modified(path: &Path) -> SystemTime {
    let modified = std::fs::metadata(path).and_then(|file| file.modified());
    modified.unwrap_or_else(|_| SystemTime::now())
}
