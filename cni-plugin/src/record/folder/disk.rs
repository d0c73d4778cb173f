//! The few calls below a record folder that decide what is believed and what survives a crash.
//! Everything must go through the open folder: a path can change its meaning between two calls.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

/// Temporary files: hidden, and never with the ending of a record.
const TEMPORARY: &str = ".new.";
/// A temporary file this old belongs to a writer that is dead: no writer lives longer than seconds.
const STALE_SECONDS: i64 = 60;

pub(super) fn is_record_name(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with(TEMPORARY)
}

/// Why something is not to be believed: its type, its owner, or that others can write it.
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

/// Writes under a name of nobody else's and renames: readers see the old record or the new one.
pub(super) fn replace(folder: &OwnedFd, name: &str, text: &[u8]) -> Result<(), Errno> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let temporary = format!("{TEMPORARY}{}.{}", std::process::id(), since.as_nanos());
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
        // It may fail as well; the sweep finds what stays.
        let _ = unlinkat(folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    done
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

/// Removes temporary files of dead writers and counts them.
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
