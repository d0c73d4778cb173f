//! Snapshot of the conf folder: every file that a runtime may load, files set aside, our drop-ins. Read once;
//! all decisions use the snapshot.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;

use crate::chain;
use crate::error::{InstallError, InstallErrorKind};
use crate::staged_file::{Owner, Version};

/// Suffix of a file that was converted to a list; no runtime loads it.
pub const SAVED: &str = ".podconfig-saved";
/// Suffixes of files that others set aside: Cilium, where it is exclusive, and Multus.
pub const PARKED: [&str; 2] = [".cilium_bak", ".old"];
/// The name of our file in a network's drop-in folder: last in its order.
pub const DROP_IN: &str = "99-podconfig.conf";
/// Far larger than any chain; larger files are not read.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// How long a single run waits for another installer to release the folder lock.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    /// The files that a runtime would load, in its order.
    pub files: Vec<ConfFile>,
    /// The originals that we set aside, by their original names.
    pub saved: Vec<ConfFile>,
    /// Files that others set aside, by their full names.
    pub parked: Vec<ConfFile>,
    /// The drop-in files that are ours.
    pub drop_ins: Vec<DropIn>,
}

#[derive(Debug)]
pub struct ConfFile {
    pub name: String,
    pub is_link: bool,
    pub content: Result<Content, InstallError>,
}

#[derive(Debug, Clone)]
pub struct Content {
    pub text: String,
    pub owner: Owner,
    pub version: Version,
}

#[derive(Debug)]
pub struct DropIn {
    pub path: PathBuf,
    pub text: String,
}

impl Folder {
    pub fn read(path: &Path) -> Result<Folder, InstallError> {
        let failed = |error: io::Error| InstallError::io("read", path, &error);
        let mut folder = Folder {
            path: path.to_owned(),
            files: vec![],
            saved: vec![],
            parked: vec![],
            drop_ins: vec![],
        };
        for entry in fs::read_dir(path).map_err(failed)? {
            folder.add(&entry.map_err(failed)?)?;
        }
        // Runtimes sort by bytes.
        folder.files.sort_by(|a, b| a.name.cmp(&b.name));
        folder.saved.sort_by(|a, b| a.name.cmp(&b.name));
        folder.parked.sort_by(|a, b| a.name.cmp(&b.name));
        folder.drop_ins.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(folder)
    }

    fn add(&mut self, entry: &fs::DirEntry) -> Result<(), InstallError> {
        let path = entry.path();
        let kind = entry
            .file_type()
            .map_err(|error| InstallError::io("stat", &path, &error))?;
        let name = entry.file_name();
        if kind.is_dir() {
            // Runtimes skip folders of any name.
            self.drop_ins.extend(our_drop_in(&path));
            return Ok(());
        }
        let lossy = name.to_string_lossy();
        let file = |name: &str, content| ConfFile {
            name: name.to_owned(),
            is_link: kind.is_symlink(),
            content,
        };
        if let Some(original) = lossy
            .strip_suffix(SAVED)
            .filter(|original| is_loaded(original))
        {
            self.saved.push(file(original, read(&path)));
        } else if is_parked(&lossy) && name.to_str().is_some() {
            self.parked.push(file(&lossy, read(&path)));
        } else if is_loaded(&lossy) {
            if name.to_str().is_none() {
                return Err(InstallError::refused(format!(
                    "read {}: the name is not UTF-8",
                    path.display()
                )));
            }
            let content = read(&path).map_err(|failure| match failure.kind {
                // The target of a link does not appear and vanish as files do.
                InstallErrorKind::Unsettled if kind.is_symlink() => {
                    InstallError::new(InstallErrorKind::NoChain, failure.text)
                }
                _ => failure,
            });
            self.files.push(file(&lossy, content));
        }
        Ok(())
    }

    pub fn file(&self, name: &str) -> Option<&ConfFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl ConfFile {
    /// The network's name, if a runtime that skips invalid files would load this one.
    pub fn loadable(&self) -> Option<String> {
        let content = self.content.as_ref().ok()?;
        chain::loadable(&content.text, self.is_list())
    }

    pub fn is_list(&self) -> bool {
        self.name.ends_with(".conflist")
    }

    /// The name that the file has, or gets, as a list.
    pub fn list_name(&self) -> String {
        let stem = self
            .name
            .rsplit_once('.')
            .map_or(self.name.as_str(), |(stem, _)| stem);
        format!("{stem}.conflist")
    }

    /// The text as a list of plugins.
    pub fn list(&self) -> Result<String, InstallError> {
        let content = self.content.clone()?;
        if self.is_list() {
            Ok(content.text)
        } else {
            chain::wrapped(&content.text)
        }
    }
}

/// containerd and CRI-O check the part after the last dot, also of hidden files.
fn is_loaded(name: &str) -> bool {
    matches!(
        name.rsplit_once('.'),
        Some((_, "conf" | "conflist" | "json"))
    )
}

fn is_parked(name: &str) -> bool {
    let mut parked = PARKED.iter().filter_map(|end| name.strip_suffix(end));
    parked.any(is_loaded)
}

fn our_drop_in(folder: &Path) -> Option<DropIn> {
    let path = folder.join(DROP_IN);
    let content = read(&path).ok()?;
    chain::is_our_plugin(&content.text).then_some(DropIn {
        path,
        text: content.text,
    })
}

/// Reads a complete regular file of limited size; never blocks, as opening a pipe would.
pub fn read(path: &Path) -> Result<Content, InstallError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            InstallError::new(InstallErrorKind::Unsettled, format!("it is gone ({error})"))
        }
        _ => InstallError::unreadable(format!("it cannot be read ({error})")),
    };
    // Checked before it is opened: opening a device may already have an effect.
    judge(&fs::metadata(path).map_err(failed)?)?;
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    judge(&metadata)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(InstallError::unreadable("it is larger than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| InstallError::unreadable("it is not UTF-8"))?;
    let (owner, version) = (Owner::of(&metadata), Version::of(&metadata));
    Ok(Content {
        text,
        owner,
        version,
    })
}

fn judge(metadata: &fs::Metadata) -> Result<(), InstallError> {
    if !metadata.is_file() {
        return Err(InstallError::refused("it is not a regular file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(InstallError::unreadable("it is larger than 1 MiB"));
    }
    Ok(())
}

/// Excludes other installers from the folder; released when the process ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] Flock<File>);

impl Lock {
    pub fn take(path: &Path, patience: Duration) -> Result<Lock, InstallError> {
        if !path.is_dir() {
            let text = "it is not a folder. Name the one that the runtime reads its chains from with --conf-dir";
            return Err(InstallError::new(
                InstallErrorKind::NoChain,
                format!("join the chain in {}: {text}", path.display()),
            ));
        }
        let mut folder =
            File::open(path).map_err(|error| InstallError::io("open", path, &error))?;
        let deadline = Instant::now() + patience;
        loop {
            match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Lock(lock)),
                Err((back, Errno::EWOULDBLOCK)) if Instant::now() < deadline => folder = back,
                Err((_, error)) => {
                    let text = format!(
                        "lock {}: {error}; another installer is at work there",
                        path.display()
                    );
                    return Err(InstallError::new(InstallErrorKind::Unsettled, text));
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
