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
    /// The whole text, where the file is ours alone.
    pub text: Option<String>,
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
pub fn plan(folder: &Folder, mode: Mode, records: &str) -> Plan {
    let entry = Entry::new(records);
    let put = primary(folder).and_then(|file| {
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
            let stale = is_stale(mode, failure.kind);
            let steps = if stale {
                removal::owned(folder, None)
            } else {
                Vec::new()
            };
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
fn is_stale(mode: Mode, kind: Kind) -> bool {
    kind == Kind::NoChain || (mode == Mode::Owned && kind == Kind::Refused)
}

/// The file that a runtime would load if nothing here were ours.
fn primary(folder: &Folder) -> Result<&ConfFile, Failure> {
    folder.files.iter().find(|file| !removal::is_owned(file)).ok_or_else(|| {
        let text = format!(
            "join the chain in {}: there is no .conflist, .conf or .json. Install the cluster's network plugin first, \
             or name the folder that the runtime reads with --conf-dir",
            folder.path.display()
        );
        Failure::new(Kind::NoChain, text)
    })
}

fn about(folder: &Folder, file: &ConfFile, failure: Failure) -> Failure {
    Failure {
        text: format!(
            "join the chain in {}: {}",
            shown(folder, &file.name),
            failure.text
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
        primary_file,
        primary: chain.primary().to_owned(),
    }
}
