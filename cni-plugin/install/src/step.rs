//! The changes to a conf folder, as data, and their execution. All files are completely on disk before the
//! first change becomes visible.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::error::{InstallError, InstallErrorKind};
use crate::output::log;
use crate::staged_file::{Owner, StagedFile, Version, sync_folder_of};

#[derive(Debug)]
pub enum Step {
    /// Aborts if a file is not the version that was read any more.
    Confirm(PathBuf, Version),
    Write {
        path: PathBuf,
        text: String,
        owner: Owner,
        why: &'static str,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    MakeFolder(PathBuf),
    /// Only when nothing is in it.
    RemoveFolder(PathBuf),
    /// Makes containerd reload the chain: it does not watch subfolders.
    Touch(PathBuf),
}

impl Step {
    /// Replaces a file's text, if it is still the version that was read.
    pub fn rewrite(
        path: PathBuf,
        (version, owner): (Version, Owner),
        text: String,
        why: &'static str,
    ) -> Vec<Self> {
        let confirm = Self::Confirm(path.clone(), version);
        let write = Self::Write {
            path,
            text,
            owner,
            why,
        };
        vec![confirm, write]
    }
}

/// A prepared step.
#[derive(Debug)]
pub enum Ready {
    Staged(StagedFile, PathBuf, &'static str),
    Step(Step),
    Made(#[allow(dead_code)] MadeFolder),
}

/// A folder created for a staged file; removed on drop if it is empty.
#[derive(Debug)]
pub struct MadeFolder(PathBuf);

impl Drop for MadeFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Writes all staged files; on failure none of them is left.
pub fn stage(steps: Vec<Step>) -> Result<Vec<Ready>, InstallError> {
    // Declared first and moved last, so that it is dropped after the staged files in it.
    let mut made = Vec::new();
    let mut ready = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Write {
                path,
                text,
                owner,
                why,
            } => {
                ready.push(Ready::Staged(
                    StagedFile::write(&path, text.as_bytes(), owner)?,
                    path,
                    why,
                ));
            }
            // A staged file lies beside its target, so its folder must exist first.
            Step::MakeFolder(path) => match DirBuilder::new().mode(0o755).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(InstallError::io("make", &path, &error));
                }
                Ok(()) => made.push(Ready::Made(MadeFolder(path))),
                Err(_) => {}
            },
            step => ready.push(Ready::Step(step)),
        }
    }
    ready.extend(made);
    Ok(ready)
}

/// Executes the steps in order.
pub fn commit(ready: Vec<Ready>) -> Result<(), InstallError> {
    ready.into_iter().try_for_each(|step| match step {
        Ready::Staged(staged, path, why) => {
            staged.commit()?;
            log(format_args!("{why} {}", path.display()));
            Ok(())
        }
        Ready::Step(step) => act(step),
        Ready::Made(_) => Ok(()),
    })
}

fn act(step: Step) -> Result<(), InstallError> {
    match step {
        Step::Confirm(path, version) => version.confirm(&path),
        Step::Rename { from, to } => {
            fs::rename(&from, &to).map_err(|error| match error.kind() {
                // Its owner removed it concurrently.
                io::ErrorKind::NotFound => InstallError::new(
                    InstallErrorKind::Modified,
                    format!("rename {}: {error}", from.display()),
                ),
                _ => InstallError::io("rename", &from, &error),
            })?;
            log(format_args!(
                "{} renamed to {}",
                from.display(),
                to.display()
            ));
            sync_folder_of(&to)
        }
        Step::Remove(path) => {
            forgiving(fs::remove_file(&path))
                .map_err(|error| InstallError::io("remove", &path, &error))?;
            log(format_args!("{} removed", path.display()));
            sync_folder_of(&path)
        }
        Step::RemoveFolder(path) => match fs::remove_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => forgiving(other).map_err(|error| InstallError::io("remove", &path, &error)),
        },
        Step::Touch(folder) => touch(&folder),
        Step::Write { .. } | Step::MakeFolder(_) => Ok(()),
    }
}

fn touch(folder: &Path) -> Result<(), InstallError> {
    let path = folder.join(".podconfig-cni.nudge.tmp");
    let touched = fs::write(&path, "nudge\n").and_then(|()| fs::remove_file(&path));
    touched.map_err(|error| InstallError::io("write", &path, &error))
}

/// A missing file counts as removed.
fn forgiving(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_its_owner_wrote_in_between_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("10-a.conflist");
        let owner = Owner {
            mode: 0o600,
            ids: None,
        };
        // In place, with a length of its own or the same one.
        for rewritten in ["new", "other"] {
            fs::write(&path, "older").unwrap();
            let version = Version::of(&fs::metadata(&path).unwrap());
            let write = Step::Write {
                path: path.clone(),
                text: "ours".into(),
                owner,
                why: "put into",
            };
            let ready = stage(vec![Step::Confirm(path.clone(), version), write]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::write(&path, rewritten).unwrap();
            assert_eq!(commit(ready).unwrap_err().kind, InstallErrorKind::Modified);
            assert_eq!(fs::read_to_string(&path).unwrap(), rewritten);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
