//! Puts the plugin into a node's CNI folders and takes it out again.
//! It must never leave a file that a runtime could read half, change what is not ours, or take the
//! binary away while a runtime may still call it.

mod args;
mod binary;
mod cache;
mod chain;
mod copy;
mod draft;
mod entry;
mod failure;
mod folder;
mod mode;
mod removal;
mod step;
mod watch;

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use args::{Command, Options};
use failure::{Failure, Kind};
use folder::{Folder, Lock};
use mode::{Mode, Placed, Plan};
use removal::Removal;

/// The exit code for a command line that makes no sense.
const USAGE: u8 = 2;
/// How long a single run waits for another installer to finish with the folder.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the entry's end and the binary's: a runtime reloads its chain, and an ADD that is under way ends.
const RELOAD: Duration = Duration::from_secs(1);
/// A switch of modes may take two passes: what is put back for the old mode may be what the new one copies.
const PASSES: usize = 4;

/// The help of `install` or `uninstall`; the reference of flags is made from it.
pub fn help(verb: &str) -> Result<&'static str, String> {
    match args::parse(&[verb.to_owned(), "--help".to_owned()])? {
        Command::Help(text) => Ok(text),
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
        Ok(Command::Help(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Install(options)) if options.watch => watch::run(&options),
        Ok(Command::Install(options)) => install(&options),
        Ok(Command::Uninstall(options)) => uninstall(&options),
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
fn install(options: &Options) -> Result<(), Failure> {
    let mut wanted = binary::Wanted::Current;
    let mut ever_changed = false;
    for _ in 0..PASSES {
        match pass(options, wanted, PATIENCE) {
            Ok(Pass {
                placed,
                changed: false,
            }) => {
                if !ever_changed {
                    say(format_args!(
                        "nothing to change, {} has the entry",
                        placed.path.display()
                    ));
                }
                return Ok(());
            }
            Ok(_) => (ever_changed, wanted) = (true, binary::Wanted::Runnable),
            Err(failure) if failure.kind == Kind::Overtaken => warn(&failure.text),
            Err(failure) => return Err(failure),
        }
    }
    let folder = options.conf_dir.display();
    let text = format!("{folder} does not come to rest: somebody else writes there all the time");
    Err(Failure::new(Kind::Undone, text))
}

/// What one look at the conf folder came to.
struct Pass {
    placed: Placed,
    /// Whether the folder was changed.
    changed: bool,
}

/// Looks at the folder and makes it what it should be. Everything is drafted before the binary is put
/// there, and the binary is there before the first change can be seen.
fn pass(options: &Options, wanted: binary::Wanted, patience: Duration) -> Result<Pass, Failure> {
    let _lock = Lock::take(&options.conf_dir, patience)?;
    draft::sweep(&options.conf_dir)?;
    draft::sweep(&options.bin_dir)?;
    // A copy that this mode does not keep hands over first, and goes only when the entry is elsewhere.
    let restored = restore(options, |copy| {
        options.mode == Mode::DropIn
            || (options.mode == Mode::Inline && mode::OWNED.contains(&copy))
    })?;
    let folder = Folder::read(&options.conf_dir)?;
    let Plan {
        steps,
        notices,
        placed,
    } = mode::plan(&folder, options.mode, &options.choice, &options.records);
    let changed = restored || !steps.is_empty();
    // Told with the change that they belong to, not at every look of a watcher.
    if changed {
        notices.iter().for_each(warn);
    }
    let drafts = step::draft(steps)?;
    if placed.is_ok() {
        binary::install(&options.bin_dir, wanted)?;
    }
    step::commit(drafts)?;
    placed.map(|placed| Pass { placed, changed })
}

/// Puts right what must be before anything else, and tells whether anything was changed.
fn restore(options: &Options, going: impl Fn(&str) -> bool) -> Result<bool, Failure> {
    let folder = Folder::read(&options.conf_dir)?;
    let Removal { steps, notices, .. } = removal::first(&folder, |copy| going(&copy.name));
    let changed = !steps.is_empty();
    if changed {
        notices.iter().for_each(warn);
    }
    step::commit(step::draft(steps)?)?;
    Ok(changed)
}

fn uninstall(options: &Options) -> Result<(), Failure> {
    let changed = take_out(options)?;
    if !changed {
        say(format_args!("no entry in {}", options.conf_dir.display()));
    }
    draft::sweep(&options.bin_dir)?;
    let binary = options.bin_dir.join(crate::PLUGIN_TYPE);
    let found = binary.symlink_metadata();
    if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    if changed && cache::who_names_us(&options.cache_dir).is_none() {
        // A result is cached at the end of an ADD only: one may be under way by the old chain.
        std::thread::sleep(RELOAD);
    }
    let _lock = lock_if_there(options)?;
    stays_out(options)?;
    let Some(why) = cache::who_names_us(&options.cache_dir) else {
        return binary::remove(&binary);
    };
    say(format_args!(
        "leaving {}: {why}, so a runtime may still call it; it passes every pod through. When those pods have ended, \
         run this again, or remove the file by hand",
        binary.display()
    ));
    Ok(())
}

fn lock_if_there(options: &Options) -> Result<Option<Lock>, Failure> {
    let there = options.conf_dir.is_dir();
    there
        .then(|| Lock::take(&options.conf_dir, PATIENCE))
        .transpose()
}

/// Takes the entry out of the conf folder, whichever modes put it there, and tells whether anything was changed.
fn take_out(options: &Options) -> Result<bool, Failure> {
    let Some(_lock) = lock_if_there(options)? else {
        return Ok(false);
    };
    draft::sweep(&options.conf_dir)?;
    let restored = restore(options, |_| true)?;
    let Removal {
        steps,
        notices,
        stuck,
    } = removal::everything(&Folder::read(&options.conf_dir)?);
    notices.iter().for_each(warn);
    let changed = restored || !steps.is_empty();
    step::commit(step::draft(steps)?)?;
    stuck.into_iter().next().map_or(Ok(changed), Err)
}

/// A chain that names a binary which is gone lets no pod start and none end.
fn stays_out(options: &Options) -> Result<(), Failure> {
    if !options.conf_dir.is_dir()
        || removal::everything(&Folder::read(&options.conf_dir)?)
            .steps
            .is_empty()
    {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Undone,
        format!(
            "remove the binary: somebody put the entry back into {}. Stop podconfig-cni install --watch on this node \
             and run this again",
            options.conf_dir.display()
        ),
    ))
}

/// One line to the log of the run; a closed pipe is no reason to stop half-way.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{}: {line}", crate::PLUGIN_TYPE);
}

fn warn(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}: {line}", crate::PLUGIN_TYPE);
}

/// The path of a file of the conf folder, as a message shows it.
fn shown(folder: &Folder, name: &str) -> String {
    folder.path.join(name).display().to_string()
}
