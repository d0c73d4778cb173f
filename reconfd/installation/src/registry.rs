//! Registry of the installations on this node: one file for each, in a common folder. It is beside the records, on a
//! file system that is empty after a boot.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Deserialize, Serialize};

use crate::lock::Lock;

/// Not a valid name of an installation.
const LOCK: &str = ".lock";

/// State of one installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryEntry {
    pub version: String,
    pub chain: ChainState,
    /// Why the plugin is not in the chain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether the plugin is in the node's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainState {
    /// Not known yet, or there is no chain yet.
    Pending,
    /// It is, and the keeper supervises it.
    Kept,
    /// It cannot be added, or another program removes it repeatedly.
    Broken,
    /// It is not configured to be.
    Off,
}

impl RegistryEntry {
    pub fn new(chain: ChainState, message: impl Into<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            chain,
            message: message.into(),
        }
    }
}

/// The folder with the entries of all installations on this node.
#[derive(Clone, Debug)]
pub struct Registry(PathBuf);

impl Registry {
    pub fn in_run_dir(run_dir: &Path) -> Self {
        Self(run_dir.join("installations"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Excludes concurrent installs and uninstalls while the value lives.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        fs::create_dir_all(&self.0)
            .with_context(|| format!("make the folder {}", self.0.display()))?;
        let path = self.0.join(LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open the lock {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno): (_, Errno)| errno)
            .with_context(|| format!("lock {}", path.display()))
    }

    /// Writes an entry atomically.
    pub fn write(&self, installation: &str, entry: &RegistryEntry) -> anyhow::Result<()> {
        let path = self.0.join(installation);
        let draft = self.0.join(format!(".{installation}.new"));
        let written = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let mut file = fs::File::create(&draft)?;
            file.write_all(&serde_json::to_vec(entry)?)?;
            fs::rename(&draft, &path)
        };
        written().with_context(|| format!("write the entry {}", path.display()))
    }

    pub fn read(&self, installation: &str) -> anyhow::Result<Option<RegistryEntry>> {
        let path = self.0.join(installation);
        let context = || format!("read the entry {}", path.display());
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => serde_json::from_slice(&read.with_context(context)?)
                .map(Some)
                .with_context(context),
        }
    }

    /// Returns whether there was an entry.
    pub fn remove(&self, installation: &str) -> anyhow::Result<bool> {
        let path = self.0.join(installation);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("remove {}", path.display())),
        }
    }

    /// All installations with an entry, also unreadable ones.
    pub fn all(&self) -> anyhow::Result<Vec<String>> {
        let context = || format!("list {}", self.0.display());
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(context)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.with_context(context)?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn registry() -> (tempfile::TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::in_run_dir(folder.path());
        (folder, registry)
    }

    #[test]
    fn what_a_copy_notes_others_can_read() {
        let (_folder, registry) = registry();
        assert!(registry.read("default").unwrap().is_none());
        let entry = RegistryEntry::new(ChainState::Broken, "taken out again and again");
        registry.write("default", &entry).unwrap();
        assert_eq!(registry.read("default").unwrap(), Some(entry));
    }

    #[test]
    fn locks_and_drafts_are_no_copies() {
        let (_folder, registry) = registry();
        assert!(registry.all().unwrap().is_empty());
        let _lock = registry.lock().unwrap();
        for name in ["tenant-a", "default"] {
            registry
                .write(name, &RegistryEntry::new(ChainState::Kept, ""))
                .unwrap();
        }
        fs::write(registry.path().join(".default.new"), "half").unwrap();
        assert_eq!(registry.all().unwrap(), ["default", "tenant-a"]);
    }

    #[test]
    fn a_copy_counts_even_if_its_note_cannot_be_read() {
        let (_folder, registry) = registry();
        fs::create_dir_all(registry.path()).unwrap();
        fs::write(registry.path().join("tenant-a"), "half").unwrap();
        assert!(registry.read("tenant-a").is_err());
        assert_eq!(registry.all().unwrap(), ["tenant-a"]);
    }

    #[test]
    fn removing_may_be_repeated() {
        let (_folder, registry) = registry();
        registry
            .write("default", &RegistryEntry::new(ChainState::Off, ""))
            .unwrap();
        assert!(registry.remove("default").unwrap());
        assert!(!registry.remove("default").unwrap());
    }
}
