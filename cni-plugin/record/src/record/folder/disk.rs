//! The file operations of a record folder that decide about trust and crash safety. All use the folder's fd:
//! a path may resolve differently in the next call.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

/// Temporary files: hidden, which no record is.
const TEMPORARY: &str = ".new.";
/// Prefix of records that a reader has moved aside, followed by a unique number and the record's name.
const ASIDE: &str = ".old.";
/// The age at which a temporary file's writer is dead: no writer runs longer than seconds.
const STALE_SECONDS: i64 = 60;

pub(super) fn is_record_name(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with('.')
}

/// Why a file is not trusted: its type, its owner, or its mode.
pub(super) fn distrust(stat: &FileStat, wanted: SFlag) -> Option<String> {
    let mode = stat.st_mode & 0o7777;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != wanted {
        Some("is not a plain file".into())
    } else if stat.st_uid != geteuid().as_raw() {
        Some(format!(
            "belongs to user {}, not to {}",
            stat.st_uid,
            geteuid()
        ))
    } else if mode & 0o022 != 0 {
        Some(format!("others may write it (mode {mode:04o})"))
    } else {
        None
    }
}

/// Writes under a unique name and renames: readers see the old record or the new one.
pub(super) fn replace(folder: &OwnedFd, name: &str, text: &[u8]) -> Result<(), Errno> {
    let temporary = format!("{TEMPORARY}{}", unique());
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(
        folder,
        temporary.as_str(),
        flags,
        Mode::S_IRUSR | Mode::S_IWUSR,
    )?;
    let written = File::from(file)
        .write_all(text)
        .map_err(|error| errno_of(&error));
    let done = written.and_then(|()| renameat(folder, temporary.as_str(), folder, name));
    if done.is_err() {
        // This may fail as well; the sweep removes the file then.
        let _ = unlinkat(folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    done
}

/// A unique part of a file name.
fn unique() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!(
        "{}.{}",
        std::process::id(),
        since.unwrap_or_default().as_nanos()
    )
}

/// Renames a record; returns its new name.
pub(super) fn set_aside(folder: &OwnedFd, name: &str) -> Result<String, Errno> {
    let aside = format!("{ASIDE}{}.{name}", unique());
    renameat(folder, name, folder, aside.as_str())?;
    Ok(aside)
}

/// Gives a record its name back, unless a newer record has it. The file has a name at every moment.
pub(super) fn put_back(folder: &OwnedFd, aside: &str, name: &str) -> Result<(), Errno> {
    match linkat(folder, aside, folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => unlinkat(folder, aside, UnlinkatFlags::NoRemoveDir),
        // Another process has put it back.
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Restores all files that were moved aside; returns their number.
pub(super) fn restore(folder: &OwnedFd) -> io::Result<usize> {
    let mut restored = 0;
    for aside in names_in(folder)? {
        // Process id, time, and the record's name, which may contain dots.
        let name = aside
            .strip_prefix(ASIDE)
            .and_then(|rest| rest.splitn(3, '.').nth(2));
        if let Some(name) = name.filter(|name| is_record_name(name)) {
            put_back(folder, &aside, name)?;
            restored += 1;
        }
    }
    Ok(restored)
}

pub(super) fn names_in(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = Dir::openat(folder.as_fd(), ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Removes temporary files of dead writers; returns their number.
pub(super) fn sweep(folder: &OwnedFd) -> io::Result<usize> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.unwrap_or_default().as_secs();
    let old = i64::try_from(now).unwrap_or(i64::MAX) - STALE_SECONDS;
    let mut swept = 0;
    for name in names_in(folder)? {
        let stat = fstatat(folder, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let stale = name.starts_with(TEMPORARY) && stat.is_ok_and(|stat| stat.st_mtime < old);
        if stale && unlinkat(folder, name.as_str(), UnlinkatFlags::NoRemoveDir).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
