//! Uninstalls the plugin: the entry first, then the binary, unless a runtime may still call it.

use std::io::ErrorKind;
use std::time::Duration;

use cni_plugin::PLUGIN_TYPE;

use crate::args::Options;
use crate::error::{InstallError, InstallErrorKind};
use crate::folder::{Folder, Lock, PATIENCE};
use crate::output::{log, warn};
use crate::pass::restore;
use crate::removal::{self, Removal};
use crate::{binary, cache, staged_file, step};

/// Delay between removing the entry and the binary: the runtime reloads its chain and ADDs in progress end.
const RELOAD: Duration = Duration::from_secs(1);

pub fn uninstall(options: &Options) -> Result<(), InstallError> {
    let changed = take_out(options)?;
    if !changed {
        log(format_args!("no entry in {}", options.conf_dir.display()));
    }
    staged_file::sweep(&options.bin_dir)?;
    let binary = options.bin_dir.join(PLUGIN_TYPE);
    let found = binary.symlink_metadata();
    if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    if changed && cache::reason_to_keep(&options.cache_dir).is_none() {
        // The runtime caches a result only at the end of an ADD: one may be in progress with the old chain.
        std::thread::sleep(RELOAD);
    }
    let _lock = lock_if_there(options)?;
    stays_out(options)?;
    let Some(why) = cache::reason_to_keep(&options.cache_dir) else {
        return binary::remove(&binary);
    };
    log(format_args!(
        "leaving {}: {why}, so a runtime may still call it; it changes no pod. When those pods have ended, \
         run this again, or remove the file by hand",
        binary.display()
    ));
    Ok(())
}

fn lock_if_there(options: &Options) -> Result<Option<Lock>, InstallError> {
    let there = options.conf_dir.is_dir();
    there
        .then(|| Lock::take(&options.conf_dir, PATIENCE))
        .transpose()
}

/// Removes the entry of every mode from the conf folder; returns whether anything changed.
fn take_out(options: &Options) -> Result<bool, InstallError> {
    let Some(_lock) = lock_if_there(options)? else {
        return Ok(false);
    };
    staged_file::sweep(&options.conf_dir)?;
    let restored = restore(options, |_| true)?;
    let Removal {
        steps,
        notices,
        stuck,
    } = removal::everything(&Folder::read(&options.conf_dir)?);
    notices.iter().for_each(warn);
    let changed = restored || !steps.is_empty();
    step::commit(step::stage(steps)?)?;
    stuck.into_iter().next().map_or(Ok(changed), Err)
}

/// With a chain that references a missing binary, no pod can start or end.
fn stays_out(options: &Options) -> Result<(), InstallError> {
    if !options.conf_dir.is_dir()
        || removal::everything(&Folder::read(&options.conf_dir)?)
            .steps
            .is_empty()
    {
        return Ok(());
    }
    Err(InstallError::new(
        InstallErrorKind::Contended,
        format!(
            "remove the binary: another program put the entry back into {}. Stop podconfig-install install --watch on this node \
             and run this again",
            options.conf_dir.display()
        ),
    ))
}
