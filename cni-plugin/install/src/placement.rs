//! Plans where the entry goes in each mode and what must change. Pure: folder snapshot in, steps out.

mod drop_in;
mod inline;
mod owned;

use std::path::PathBuf;

use crate::chain::Chain;
use crate::entry::Entry;
use crate::error::{InstallError, InstallErrorKind};
use crate::folder::{ConfFile, Folder};
use crate::mode::{Mode, OWNED};
use crate::removal::{self, Removal};
use crate::step::Step;

/// Which file of the folder is the chain, if not the first one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The file's name.
    pub file: Option<String>,
    /// The network's name: the first file that loads and has it, as CRI-O's `cni_default_network`.
    pub network: Option<String>,
    /// The first file that loads, as CRI-O chooses.
    pub skip_invalid: bool,
}

/// Where the entry is, or will be after the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub path: PathBuf,
    /// The source text of the file, if it is not the primary's own: when the source changes, the file must
    /// follow.
    pub text: Option<String>,
    /// Whether the file is a copy of the primary's.
    pub is_copy: bool,
    /// The file that the primary CNI writes, and its plugin's type.
    pub primary_file: PathBuf,
    pub primary: String,
}

/// The steps and the resulting place of the entry. If it has no place, stale files of ours may still have to
/// be removed.
#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub notices: Vec<String>,
    pub placed: Result<Placed, InstallError>,
}

/// The changes after which the entry exists exactly once, as the mode requires.
pub fn plan(folder: &Folder, mode: Mode, choice: &Choice, records: &str) -> Plan {
    let entry = Entry::new(records);
    let put = primary(folder, choice).and_then(|file| {
        let placed = match mode {
            Mode::Inline => inline::put(folder, file, entry),
            Mode::Owned => owned::put(folder, file, entry),
            Mode::DropIn => drop_in::put(folder, file, &entry),
        };
        placed.map_err(|failure| about(folder, file, failure))
    });
    match put {
        Ok((mut steps, placed)) => {
            let Removal {
                steps: others,
                mut notices,
                stuck,
            } = removal::other_modes(folder, mode, &placed.path);
            notices.extend(stuck.into_iter().map(|failure| failure.text));
            steps.extend(others);
            Plan {
                steps,
                notices,
                placed: Ok(placed),
            }
        }
        Err(failure) => {
            let steps = removal::copies(folder, |copy| is_stale(mode, failure.kind, copy));
            Plan {
                steps,
                notices: Vec::new(),
                placed: Err(failure),
            }
        }
    }
}

/// Whether a copy of ours must be removed because it cannot follow its original: it would keep a node "ready"
/// with an obsolete chain. While the primary is being written, the copy keeps pods starting.
fn is_stale(mode: Mode, kind: InstallErrorKind, copy: &ConfFile) -> bool {
    let is_of_mode = match mode {
        Mode::Inline => !OWNED.contains(&copy.name.as_str()),
        Mode::Owned => true,
        Mode::DropIn => false,
    };
    kind == InstallErrorKind::NoChain || (kind == InstallErrorKind::Refused && is_of_mode)
}

/// The file that a runtime would load without our files.
fn primary<'f>(folder: &'f Folder, choice: &Choice) -> Result<&'f ConfFile, InstallError> {
    let mut files = folder.files.iter().filter(|file| !removal::is_owned(file));
    let (found, missing) = match choice {
        Choice {
            file: Some(name), ..
        } => (
            files.find(|file| file.name == *name),
            format!("there is no {name}, which --conf-file names"),
        ),
        Choice {
            network: Some(name),
            ..
        } => (
            files.find(|file| file.loadable().as_ref() == Some(name)),
            format!("no file there that loads is of the network {name:?}, which --network names"),
        ),
        _ => (
            files.find(|file| !choice.skip_invalid || file.loadable().is_some()),
            format!(
                "there is no .conflist, .conf or .json{}. Install the cluster's network plugin first, or name the \
                 folder that the runtime reads with --conf-dir",
                if choice.skip_invalid {
                    " that loads"
                } else {
                    ""
                }
            ),
        ),
    };
    found.ok_or_else(|| {
        let text = format!("join the chain in {}: {missing}", folder.path.display());
        InstallError::new(InstallErrorKind::NoChain, text)
    })
}

/// A hint for CRI-O, which skips a first file that does not load.
fn hint(folder: &Folder, file: &ConfFile) -> String {
    let mut others = folder.files.iter().filter(|other| {
        other.name > file.name && !removal::is_owned(other) && other.loadable().is_some()
    });
    match others.next().filter(|_| file.loadable().is_none()) {
        None => String::new(),
        Some(next) => format!(
            ". CRI-O goes on to {}: where it is the runtime, use --skip-invalid; to name the chain, --conf-file or \
             --network",
            next.name
        ),
    }
}

fn about(folder: &Folder, file: &ConfFile, failure: InstallError) -> InstallError {
    InstallError {
        text: format!(
            "join the chain in {}: {}{}",
            folder.path.join(&file.name).display(),
            failure.text,
            hint(folder, file)
        ),
        ..failure
    }
}

fn placed(
    folder: &Folder,
    file: &ConfFile,
    path: PathBuf,
    text: Option<String>,
    chain: &Chain<'_>,
) -> Placed {
    let primary_file = folder.path.join(&file.name);
    Placed {
        path,
        text,
        is_copy: false,
        primary_file,
        primary: chain.primary().to_owned(),
    }
}
