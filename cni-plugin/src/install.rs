//! Installs the plugin into a node's CNI folders and uninstalls it. It must never leave a partially written
//! file that a runtime could read, change content of others, or remove the binary while a runtime may still
//! call it.

mod args;
mod binary;
mod cache;
mod chain;
mod copy;
mod entry;
mod error;
mod folder;
mod mode;
mod placement;
mod removal;
mod staged_file;
mod step;
mod watch;

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use args::{InstallCommand, Options};
use error::{InstallError, InstallErrorKind};
use folder::{Folder, Lock};
use mode::Mode;
use placement::{Placed, Plan};
use removal::Removal;

/// The exit code for an invalid command line.
const USAGE: u8 = 2;
/// How long a single run waits for another installer to release the folder lock.
const PATIENCE: Duration = Duration::from_secs(10);
/// Delay between removing the entry and the binary: the runtime reloads its chain and ADDs in progress end.
const RELOAD: Duration = Duration::from_secs(1);
/// A mode change may take two passes: a file restored for the old mode may be the one that the new mode
/// copies.
const PASSES: usize = 4;

/// The help of `install` or `uninstall`; the reference of flags is made from it.
pub fn help(verb: &str) -> Result<&'static str, String> {
    match args::parse(&[verb.to_owned(), "--help".to_owned()])? {
        InstallCommand::Help(text) => Ok(text),
        other => Err(format!("{verb} --help is {other:?}")),
    }
}

/// Runs `podconfig-cni install …` and `podconfig-cni uninstall …`; `args[0]` is the verb.
pub fn main(args: &[String]) -> ExitCode {
    let ended = match args::parse(args) {
        Err(text) => {
            warn(&text);
            return ExitCode::from(USAGE);
        }
        Ok(InstallCommand::Help(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(InstallCommand::Install(options)) if options.watch => watch::run(&options),
        Ok(InstallCommand::Install(options)) => install(&options),
        Ok(InstallCommand::Uninstall(options)) => uninstall(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            warn(&failure.text);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// Repeats the pass until it finds nothing to change.
fn install(options: &Options) -> Result<(), InstallError> {
    let mut wanted = binary::Wanted::Current;
    let mut ever_changed = false;
    for _ in 0..PASSES {
        match pass(options, wanted, PATIENCE) {
            Ok(Pass {
                placed,
                changed: false,
            }) => {
                if !ever_changed {
                    log(format_args!(
                        "nothing to change, {} has the entry",
                        placed.path.display()
                    ));
                }
                return Ok(());
            }
            Ok(_) => (ever_changed, wanted) = (true, binary::Wanted::Runnable),
            Err(failure) if failure.kind == InstallErrorKind::Modified => warn(&failure.text),
            Err(failure) => return Err(failure),
        }
    }
    let folder = options.conf_dir.display();
    let text = format!("{folder} keeps changing: another program writes there continuously");
    Err(InstallError::new(InstallErrorKind::Contended, text))
}

/// The result of one pass over the conf folder.
struct Pass {
    placed: Placed,
    /// Whether the folder was changed.
    changed: bool,
}

/// One reconciliation of the folder. All files are staged before the binary is installed, and the binary is
/// installed before the first change becomes visible.
fn pass(
    options: &Options,
    wanted: binary::Wanted,
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
        binary::install(&options.bin_dir, wanted)?;
    }
    step::commit(staged)?;
    placed.map(|placed| Pass { placed, changed })
}

/// Restores what must be in place before all other steps; returns whether anything changed.
fn restore(options: &Options, going: impl Fn(&str) -> bool) -> Result<bool, InstallError> {
    let folder = Folder::read(&options.conf_dir)?;
    let Removal { steps, notices, .. } = removal::first(&folder, |copy| going(&copy.name));
    let changed = !steps.is_empty();
    if changed {
        notices.iter().for_each(warn);
    }
    step::commit(step::stage(steps)?)?;
    Ok(changed)
}

fn uninstall(options: &Options) -> Result<(), InstallError> {
    let changed = take_out(options)?;
    if !changed {
        log(format_args!("no entry in {}", options.conf_dir.display()));
    }
    staged_file::sweep(&options.bin_dir)?;
    let binary = options.bin_dir.join(crate::PLUGIN_TYPE);
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
            "remove the binary: another program put the entry back into {}. Stop podconfig-cni install --watch on this node \
             and run this again",
            options.conf_dir.display()
        ),
    ))
}

/// Writes one line to stdout; a closed pipe does not abort the run.
fn log(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{}: {line}", crate::PLUGIN_TYPE);
}

fn warn(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}: {line}", crate::PLUGIN_TYPE);
}

/// The path of a file of the conf folder, as a message shows it.
fn shown(folder: &Folder, name: &str) -> String {
    folder.path.join(name).display().to_string()
}
