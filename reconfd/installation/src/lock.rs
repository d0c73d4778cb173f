//! Lock files: one daemon and one keeper per installation and node. Two would undo each other's changes.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// Held as long as the value lives; the kernel releases it however the process ends.
pub type Lock = Flock<File>;

/// Interval of attempts while waiting for a lock.
const PAUSE: Duration = Duration::from_millis(100);

/// The program that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Daemon,
    Keeper,
}

impl Role {
    pub fn path(self, folder: &Path, installation: &str) -> PathBuf {
        match self {
            Self::Daemon => folder.join(format!("{installation}.lock")),
            Self::Keeper => folder.join(format!("{installation}.keeper.lock")),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Keeper => "keeper",
        }
    }
}

/// Takes the daemon's lock; fails if another daemon of the installation holds it.
pub fn take(folder: &Path, installation: &str) -> anyhow::Result<Lock> {
    take_as(Role::Daemon, folder, installation)
}

pub fn take_as(role: Role, folder: &Path, installation: &str) -> anyhow::Result<Lock> {
    let path = role.path(folder, installation);
    match try_lock(folder, &path)? {
        Some(lock) => Ok(lock),
        None => bail!(
            "another {} of the installation {installation:?} runs on this node ({} is locked); stop it, or give this one another --installation",
            role.as_str(),
            path.display()
        ),
    }
}

/// Waits for the holder of the lock to end, and takes it.
pub fn wait_for(
    role: Role,
    folder: &Path,
    installation: &str,
    timeout: Duration,
) -> anyhow::Result<Lock> {
    let (path, start) = (role.path(folder, installation), Instant::now());
    let mut is_logged = false;
    loop {
        if let Some(lock) = try_lock(folder, &path)? {
            return Ok(lock);
        }
        if start.elapsed() >= timeout {
            bail!(
                "the {} of the installation {installation:?} still runs on this node after {} s ({} is locked); end it first",
                role.as_str(),
                timeout.as_secs(),
                path.display()
            );
        }
        if !std::mem::replace(&mut is_logged, true) {
            tracing::info!(lock = %path.display(), "waiting for the {} to end", role.as_str());
        }
        sleep(PAUSE);
    }
}

/// Whether that program is running.
pub fn is_held(role: Role, folder: &Path, installation: &str) -> anyhow::Result<bool> {
    let path = role.path(folder, installation);
    Ok(try_lock(folder, &path)?.is_none())
}

/// Whether the program seems to be running, read from /proc/locks: a try at its lock could delay it.
pub fn is_seen(role: Role, folder: &Path, installation: &str) -> bool {
    let Ok(file) = fs::metadata(role.path(folder, installation)) else {
        return false;
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let ending = format!(":{}", file.ino());
    locks.lines().any(|line| {
        line.contains("FLOCK") && line.split_whitespace().any(|word| word.ends_with(&ending))
    })
}

fn try_lock(folder: &Path, path: &Path) -> anyhow::Result<Option<Lock>> {
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = file.with_context(|| format!("open the lock {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(is_still_there(&lock, path)?.then_some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).with_context(|| format!("lock {}", path.display())),
    }
}

/// Whether the locked file still has its path: an uninstallation removes it, and a lock on a removed file excludes
/// no other program.
fn is_still_there(lock: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = lock.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn of_one_kind_there_is_one_and_each_kind_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = take(folder.path(), "default").unwrap();
        assert!(take(folder.path(), "default").is_err());
        assert!(is_held(Role::Daemon, folder.path(), "default").unwrap());
        assert!(!is_held(Role::Keeper, folder.path(), "default").unwrap());
        assert!(is_seen(Role::Daemon, folder.path(), "default"));
        assert!(!is_seen(Role::Keeper, folder.path(), "default"));
        let _keeper = take_as(Role::Keeper, folder.path(), "default").unwrap();
        let _other = take(folder.path(), "tenant-a").unwrap();
        drop(daemon);
        assert!(take(folder.path(), "default").is_ok());
    }

    #[test]
    fn a_timeout_names_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let _daemon = take(folder.path(), "default").unwrap();
        let refused = wait_for(Role::Daemon, folder.path(), "default", MOMENT).unwrap_err();
        assert!(refused.to_string().contains("default.lock"), "{refused}");
        assert!(wait_for(Role::Keeper, folder.path(), "default", MOMENT).is_ok());
    }

    #[test]
    fn a_lock_on_a_removed_file_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.lock");
        let _old = take(folder.path(), "default").unwrap();
        fs::remove_file(&path).unwrap();
        let new = take(folder.path(), "default").unwrap();
        assert!(is_still_there(&new, &path).unwrap());
    }
}
