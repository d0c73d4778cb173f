//! The changes to a conf folder, as data, and their doing. Whatever is written is on disk in full
//! before the first change can be seen.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::draft::{Draft, Owner, Version, sync_folder_of};
use super::failure::{Failure, Kind};
use super::say;

#[derive(Debug)]
pub enum Step {
    /// Goes no further when a file is no longer the one that was read.
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
    /// Makes containerd look at the chain again: it does not notice what happens in a folder below.
    Nudge(PathBuf),
}

/// A step that is ready to be done.
#[derive(Debug)]
pub enum Ready {
    Draft(Draft, PathBuf, &'static str),
    Step(Step),
    Made(#[allow(dead_code)] MadeFolder),
}

/// A folder made for a draft; dropped, it goes unless something is in it by then.
#[derive(Debug)]
pub struct MadeFolder(PathBuf);

impl Drop for MadeFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Writes all drafts; on a failure nothing of them is left.
pub fn draft(steps: Vec<Step>) -> Result<Vec<Ready>, Failure> {
    // Declared first and handed on last, so that it is dropped after the drafts in it.
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
                ready.push(Ready::Draft(
                    Draft::write(&path, text.as_bytes(), owner)?,
                    path,
                    why,
                ));
            }
            // A draft lies beside its target, so its folder must be there first.
            Step::MakeFolder(path) => match DirBuilder::new().mode(0o755).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Failure::machine("make", &path, &error));
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

/// Does the steps in their order.
pub fn commit(ready: Vec<Ready>) -> Result<(), Failure> {
    ready.into_iter().try_for_each(|step| match step {
        Ready::Draft(draft, path, why) => {
            draft.commit()?;
            say(format_args!("{why} {}", path.display()));
            Ok(())
        }
        Ready::Step(step) => act(step),
        Ready::Made(_) => Ok(()),
    })
}

fn act(step: Step) -> Result<(), Failure> {
    match step {
        Step::Confirm(path, version) => version.confirm(&path),
        Step::Rename { from, to } => {
            fs::rename(&from, &to).map_err(|error| match error.kind() {
                // Its owner took it away at this very moment.
                io::ErrorKind::NotFound => Failure::new(
                    Kind::Overtaken,
                    format!("rename {}: {error}", from.display()),
                ),
                _ => Failure::machine("rename", &from, &error),
            })?;
            say(format_args!(
                "{} renamed to {}",
                from.display(),
                to.display()
            ));
            sync_folder_of(&to)
        }
        Step::Remove(path) => {
            forgiving(fs::remove_file(&path))
                .map_err(|error| Failure::machine("remove", &path, &error))?;
            say(format_args!("{} removed", path.display()));
            sync_folder_of(&path)
        }
        Step::RemoveFolder(path) => match fs::remove_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => forgiving(other).map_err(|error| Failure::machine("remove", &path, &error)),
        },
        Step::Nudge(folder) => nudge(&folder),
        Step::Write { .. } | Step::MakeFolder(_) => Ok(()),
    }
}

fn nudge(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(".podconfig-cni.nudge.tmp");
    let nudged = fs::write(&path, "nudge\n").and_then(|()| fs::remove_file(&path));
    nudged.map_err(|error| Failure::machine("write", &path, &error))
}

/// What is gone already need not be removed.
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
            let ready = draft(vec![Step::Confirm(path.clone(), version), write]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::write(&path, rewritten).unwrap();
            assert_eq!(commit(ready).unwrap_err().kind, Kind::Overtaken);
            assert_eq!(fs::read_to_string(&path).unwrap(), rewritten);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
