//! One reconciliation of a conf folder, by the installer and by its watcher.

use std::time::Duration;

use crate::args::Options;
use crate::binary::{Program, Wanted};
use crate::error::InstallError;
use crate::folder::{Folder, Lock};
use crate::mode::{self, Mode};
use crate::output::warn;
use crate::placement::{self, Placed, Plan};
use crate::removal::{self, Removal};
use crate::{staged_file, step};

/// The result of one pass over the conf folder.
pub struct Pass {
    pub placed: Placed,
    /// Whether the folder was changed.
    pub changed: bool,
}

/// One reconciliation of the folder. All files are staged before the binary is installed, and the binary is
/// installed before the first change becomes visible.
pub fn pass(
    options: &Options,
    program: &Program,
    wanted: Wanted,
    patience: Duration,
) -> Result<Pass, InstallError> {
    let _lock = Lock::take(&options.conf_dir, patience)?;
    staged_file::sweep(&options.conf_dir)?;
    staged_file::sweep(&options.bin_dir)?;
    // A copy that this mode does not keep first moves foreign entries to its original; it is removed only
    // after the entry is elsewhere.
    let restored = restore(options, |copy| {
        options.mode == Mode::DropIn
            || (options.mode == Mode::Inline && mode::OWNED.contains(&copy))
    })?;
    let folder = Folder::read(&options.conf_dir)?;
    let Plan {
        steps,
        notices,
        placed,
    } = placement::plan(&folder, options.mode, &options.choice, &options.records);
    let changed = restored || !steps.is_empty();
    // Logged with the change that they belong to, not in every pass of the watcher.
    if changed {
        notices.iter().for_each(warn);
    }
    let staged = step::stage(steps)?;
    if placed.is_ok() {
        program.install(&options.bin_dir, wanted)?;
    }
    step::commit(staged)?;
    placed.map(|placed| Pass { placed, changed })
}

/// Restores what must be in place before all other steps; returns whether anything changed.
pub fn restore(options: &Options, going: impl Fn(&str) -> bool) -> Result<bool, InstallError> {
    let folder = Folder::read(&options.conf_dir)?;
    let Removal { steps, notices, .. } = removal::first(&folder, |copy| going(&copy.name));
    let changed = !steps.is_empty();
    if changed {
        notices.iter().for_each(warn);
    }
    step::commit(step::stage(steps)?)?;
    Ok(changed)
}
