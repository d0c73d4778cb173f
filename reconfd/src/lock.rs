//! One daemon per installation and node: two would undo each other's work.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// Holds the lock as long as the value lives; the kernel takes it back however the process ends.
pub fn take(folder: &Path, installation: &str) -> anyhow::Result<Flock<File>> {
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let path = folder.join(format!("{installation}.lock"));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.with_context(|| format!("open the lock {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => bail!(
            "another daemon of the installation {installation:?} runs on this node ({} is locked); stop it, or give this one another --installation",
            path.display()
        ),
        Err((_, errno)) => Err(errno).with_context(|| format!("lock {}", path.display())),
    }
}
