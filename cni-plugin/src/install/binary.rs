//! The plugin's binary in the runtime's folder. It must never be written in place: a runtime may be
//! running it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::draft::{Draft, Owner, sync_folder_of};
use super::failure::Failure;
use super::say;

const MODE: u32 = 0o755;

/// What counts as installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The very program that runs now.
    Current,
    /// Any program that can be run: a watcher must not undo a later installer's upgrade.
    Runnable,
}

/// Copies this program into the folder, unless what is wanted is there.
pub fn install(folder: &Path, wanted: Wanted) -> Result<(), Failure> {
    let target = folder.join(crate::PLUGIN_TYPE);
    if !folder.is_dir() {
        let text = "it is no folder. Make it, or name the runtime's own with --bin-dir";
        return Err(Failure::refused(format!(
            "install the binary into {}: {text}",
            folder.display()
        )));
    }
    if wanted == Wanted::Runnable && is_runnable(&target) {
        return Ok(());
    }
    let own = Path::new("/proc/self/exe");
    let program = fs::read(own).map_err(|error| Failure::machine("read", own, &error))?;
    if is_same(&target, &program) {
        return Ok(());
    }
    Draft::write(
        &target,
        &program,
        Owner {
            mode: MODE,
            ids: None,
        },
    )?
    .commit()?;
    say(format_args!("binary written to {}", target.display()));
    Ok(())
}

/// Removes the binary; the runtime must no longer know of it.
pub fn remove(binary: &Path) -> Result<(), Failure> {
    match fs::remove_file(binary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::machine("remove", binary, &error))
        }
        _ => {
            say(format_args!("binary removed from {}", binary.display()));
            sync_folder_of(binary)
        }
    }
}

fn is_runnable(target: &Path) -> bool {
    let found = target.symlink_metadata();
    found.is_ok_and(|found| {
        found.is_file() && found.len() > 0 && found.permissions().mode() & 0o111 != 0
    })
}

fn is_same(target: &Path, program: &[u8]) -> bool {
    let found = target.symlink_metadata();
    let fits = |found: fs::Metadata| {
        found.is_file() && found.len() == program.len() as u64 && found.mode() & 0o7777 == MODE
    };
    found.is_ok_and(fits) && fs::read(target).is_ok_and(|content| content == program)
}
