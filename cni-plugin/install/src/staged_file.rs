//! Atomic file replacement: a file is written completely beside its target, then renamed. What a crash leaves
//! behind has a name that no runtime loads, and the next run removes it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{InstallError, InstallErrorKind};

const PREFIX: &str = ".podconfig-cni.";
const SUFFIX: &str = ".tmp";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Ownership and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub mode: u32,
    /// User and group; `None`: those of this process.
    pub ids: Option<(u32, u32)>,
}

impl Owner {
    pub fn of(metadata: &fs::Metadata) -> Owner {
        Owner {
            mode: metadata.mode() & 0o7777,
            ids: Some((metadata.uid(), metadata.gid())),
        }
    }
}

/// Identifies a file and its content, to detect replacement and modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    place: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl Version {
    pub fn of(metadata: &fs::Metadata) -> Version {
        Version {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Fails if the path does not hold this version any more, so that a newer file is never overwritten.
    pub fn confirm(self, path: &Path) -> Result<(), InstallError> {
        match fs::metadata(path) {
            Ok(metadata) if Version::of(&metadata) == self => Ok(()),
            _ => {
                let text = format!(
                    "change {}: its owner wrote it at the same moment",
                    path.display()
                );
                Err(InstallError::new(InstallErrorKind::Modified, text))
            }
        }
    }
}

/// A file that is completely on disk but not yet in its place. Removed on drop.
#[derive(Debug)]
pub struct StagedFile {
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl StagedFile {
    /// Writes the file beside its target and syncs it.
    pub fn write(target: &Path, content: &[u8], owner: Owner) -> Result<StagedFile, InstallError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}.{number}{SUFFIX}", std::process::id());
        let temporary = folder_of(target).join(name);
        let failed = |error: io::Error| InstallError::io("write", target, &error);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed)?;
        let staged = StagedFile {
            temporary,
            target: target.to_owned(),
            committed: false,
        };
        fill(file, content, owner).map_err(failed)?;
        Ok(staged)
    }

    /// Renames the file to its target, atomically for every reader.
    pub fn commit(mut self) -> Result<(), InstallError> {
        let failed = |error: io::Error| InstallError::io("write", &self.target, &error);
        fs::rename(&self.temporary, &self.target).map_err(failed)?;
        self.committed = true;
        sync_folder_of(&self.target)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn fill(mut file: File, content: &[u8], owner: Owner) -> io::Result<()> {
    file.write_all(content)?;
    let now = file.metadata()?;
    if let Some((uid, gid)) = owner.ids.filter(|ids| *ids != (now.uid(), now.gid())) {
        fchown(&file, Some(uid), Some(gid))?;
    }
    file.set_permissions(Permissions::from_mode(owner.mode))?;
    file.sync_all()
}

/// Syncs the parent folder, so that renames and removals survive a power failure.
pub fn sync_folder_of(path: &Path) -> Result<(), InstallError> {
    let folder = folder_of(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| InstallError::io("sync", folder, &error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Removes temporary files of earlier runs. The caller holds the lock of the conf folder.
pub fn sweep(folder: &Path) -> Result<(), InstallError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(InstallError::io("read", folder, &error)),
        Ok(entries) => entries,
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|error| InstallError::io("remove", &path, &error))?;
        }
    }
    Ok(())
}
