//! Where the entry goes in each mode, and what must change for that. Pure: a folder as it was read goes
//! in, steps come out.

mod drop_in;
mod inline;
mod owned;

use std::path::PathBuf;

use super::chain::Chain;
use super::entry::Entry;
use super::failure::{Failure, Kind};
use super::folder::{ConfFile, Folder};
use super::removal::{self, Removal};
use super::shown;
use super::step::Step;

/// The names of our copy; the second one is for a primary that sorts before the first.
pub const OWNED: [&str; 2] = ["00-podconfig.conflist", "0-podconfig.conflist"];

/// Which file of the folder is the chain, where it is not the first one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The file's name.
    pub file: Option<String>,
    /// The network's name: the first file that loads and has it, as CRI-O's `cni_default_network`.
    pub network: Option<String>,
    /// The first file that loads, as CRI-O chooses.
    pub skip_invalid: bool,
}

/// How the entry joins the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Inline,
    Owned,
    DropIn,
}

/// Where the entry is, or will be when the steps are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub path: PathBuf,
    /// What the file is made of, where it is not the primary's own: if that changes, it is to change as well.
    pub text: Option<String>,
    /// Whether the file is a copy of the primary's.
    pub is_copy: bool,
    /// The file that the primary CNI writes, and its plugin's type.
    pub primary_file: PathBuf,
    pub primary: String,
}

/// The steps to take, and where they lead. Without a place there may still be something of ours to remove.
#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub notices: Vec<String>,
    pub placed: Result<Placed, Failure>,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Inline, Mode::Owned, Mode::DropIn];

    pub fn word(self) -> &'static str {
        match self {
            Mode::Inline => "inline",
            Mode::Owned => "owned",
            Mode::DropIn => "drop-in",
        }
    }
}

/// What must change so that the entry is there once, in the manner of the mode.
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

/// Whether a copy of ours must go because it cannot follow: it would keep a node "ready" by a chain that
/// is history. While the primary is being written, the copy is what keeps pods starting.
fn is_stale(mode: Mode, kind: Kind, copy: &ConfFile) -> bool {
    let is_of_mode = match mode {
        Mode::Inline => !OWNED.contains(&copy.name.as_str()),
        Mode::Owned => true,
        Mode::DropIn => false,
    };
    kind == Kind::NoChain || (kind == Kind::Refused && is_of_mode)
}

/// The file that a runtime would load if nothing here were ours.
fn primary<'f>(folder: &'f Folder, choice: &Choice) -> Result<&'f ConfFile, Failure> {
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
        Failure::new(Kind::NoChain, text)
    })
}

/// What CRI-O would do about a first file that does not load.
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

fn about(folder: &Folder, file: &ConfFile, failure: Failure) -> Failure {
    Failure {
        text: format!(
            "join the chain in {}: {}{}",
            shown(folder, &file.name),
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
