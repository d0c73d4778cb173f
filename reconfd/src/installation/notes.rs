//! Which copies of podconfig are installed on this node: one file for each, in a folder that all of them
//! know. It lies beside the records, on a file system that a boot empties.

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

/// Not the name of an installation.
const LOCK: &str = ".lock";

/// What a copy says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    pub version: String,
    pub chain: Chained,
    /// Why the chain is not as it should be, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether the plugin is in the node's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chained {
    /// It is not known yet, or there is no chain yet.
    Pending,
    /// It is, and somebody looks after it.
    Kept,
    /// It cannot be put there, or somebody takes it out again and again.
    Broken,
    /// It is not meant to be.
    Off,
}

impl Note {
    pub fn new(chain: Chained, message: impl Into<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            chain,
            message: message.into(),
        }
    }
}

/// The folder with the notes of all copies on this node.
#[derive(Clone, Debug)]
pub struct Notes(PathBuf);

impl Notes {
    pub fn in_run_dir(run_dir: &Path) -> Self {
        Self(run_dir.join("installations"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Nobody else installs or uninstalls while the value lives.
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

    /// A reader meets the old note or the new one.
    pub fn write(&self, installation: &str, note: &Note) -> anyhow::Result<()> {
        let path = self.0.join(installation);
        let draft = self.0.join(format!(".{installation}.new"));
        let written = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let mut file = fs::File::create(&draft)?;
            file.write_all(&serde_json::to_vec(note)?)?;
            fs::rename(&draft, &path)
        };
        written().with_context(|| format!("write the note {}", path.display()))
    }

    pub fn read(&self, installation: &str) -> anyhow::Result<Option<Note>> {
        let path = self.0.join(installation);
        let told = || format!("read the note {}", path.display());
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => serde_json::from_slice(&read.with_context(told)?)
                .map(Some)
                .with_context(told),
        }
    }

    /// Says whether there was one.
    pub fn remove(&self, installation: &str) -> anyhow::Result<bool> {
        let path = self.0.join(installation);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("remove {}", path.display())),
        }
    }

    /// Every copy that is noted, whatever its note says.
    pub fn all(&self) -> anyhow::Result<Vec<String>> {
        let told = || format!("list {}", self.0.display());
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(told)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.with_context(told)?.file_name();
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

    fn notes() -> (tempfile::TempDir, Notes) {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::in_run_dir(folder.path());
        (folder, notes)
    }

    #[test]
    fn what_a_copy_notes_others_can_read() {
        let (_folder, notes) = notes();
        assert!(notes.read("default").unwrap().is_none());
        let note = Note::new(Chained::Broken, "taken out again and again");
        notes.write("default", &note).unwrap();
        assert_eq!(notes.read("default").unwrap(), Some(note));
    }

    #[test]
    fn locks_and_drafts_are_no_copies() {
        let (_folder, notes) = notes();
        assert!(notes.all().unwrap().is_empty());
        let _lock = notes.lock().unwrap();
        for name in ["tenant-a", "default"] {
            notes.write(name, &Note::new(Chained::Kept, "")).unwrap();
        }
        fs::write(notes.path().join(".default.new"), "half").unwrap();
        assert_eq!(notes.all().unwrap(), ["default", "tenant-a"]);
    }

    #[test]
    fn a_copy_counts_even_if_its_note_cannot_be_read() {
        let (_folder, notes) = notes();
        fs::create_dir_all(notes.path()).unwrap();
        fs::write(notes.path().join("tenant-a"), "half").unwrap();
        assert!(notes.read("tenant-a").is_err());
        assert_eq!(notes.all().unwrap(), ["tenant-a"]);
    }

    #[test]
    fn removing_may_be_repeated() {
        let (_folder, notes) = notes();
        notes
            .write("default", &Note::new(Chained::Off, ""))
            .unwrap();
        assert!(notes.remove("default").unwrap());
        assert!(!notes.remove("default").unwrap());
    }
}
