//! A file written whole beside its place, then renamed into it. What a crash leaves of it has a name
//! that no runtime loads, and the next run sweeps it away.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::failure::{Failure, Kind};

const PREFIX: &str = ".podconfig-cni.";
const SUFFIX: &str = ".tmp";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whose a file is and who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub mode: u32,
    /// User and group; without them the file belongs to whoever writes it.
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

/// What tells a file from the one that takes its place, or from itself with another content.
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

    /// Whether the path still holds this version; nobody's newer file may be lost.
    pub fn confirm(self, path: &Path) -> Result<(), Failure> {
        match fs::metadata(path) {
            Ok(metadata) if Version::of(&metadata) == self => Ok(()),
            _ => {
                let text = format!(
                    "change {}: its owner wrote it at the same moment",
                    path.display()
                );
                Err(Failure::new(Kind::Overtaken, text))
            }
        }
    }
}

/// A file that is on disk in full but not yet in its place. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Draft {
    /// Writes the file beside its target and waits until the disk has it.
    pub fn write(target: &Path, content: &[u8], owner: Owner) -> Result<Draft, Failure> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}.{number}{SUFFIX}", std::process::id());
        let temporary = folder_of(target).join(name);
        let failed = |error: io::Error| Failure::machine("write", target, &error);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed)?;
        let draft = Draft {
            temporary,
            target: target.to_owned(),
            committed: false,
        };
        fill(file, content, owner).map_err(failed)?;
        Ok(draft)
    }

    /// Puts the file into its place, in one step for every reader.
    pub fn commit(mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::machine("write", &self.target, &error);
        fs::rename(&self.temporary, &self.target).map_err(failed)?;
        self.committed = true;
        sync_folder_of(&self.target)
    }
}

impl Drop for Draft {
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

/// Makes renames and removals in the folder of a path outlive a power failure.
pub fn sync_folder_of(path: &Path) -> Result<(), Failure> {
    let folder = folder_of(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Failure::machine("sync", folder, &error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Removes what earlier runs left half-done. The caller holds the lock of the conf folder.
pub fn sweep(folder: &Path) -> Result<(), Failure> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::machine("read", folder, &error)),
        Ok(entries) => entries,
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|error| Failure::machine("remove", &path, &error))?;
        }
    }
    Ok(())
}
