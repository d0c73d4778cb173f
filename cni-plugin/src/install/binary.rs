//! The plugin's binary in the runtime's folder. It is never written in place: a runtime may be executing it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::error::InstallError;
use super::log;
use super::staged_file::{Owner, StagedFile, sync_folder_of};

const MODE: u32 = 0o755;

/// Which binary counts as installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// This very program.
    Current,
    /// Any executable: a watcher must not revert the upgrade of a later installer.
    Runnable,
}

/// Copies this program into the folder, unless the wanted binary is there.
pub fn install(folder: &Path, wanted: Wanted) -> Result<(), InstallError> {
    let target = folder.join(crate::PLUGIN_TYPE);
    if !folder.is_dir() {
        let text = "it is not a folder. Create it, or name the runtime's own with --bin-dir";
        return Err(InstallError::refused(format!(
            "install the binary into {}: {text}",
            folder.display()
        )));
    }
    if wanted == Wanted::Runnable && is_runnable(&target) {
        return Ok(());
    }
    let own = Path::new("/proc/self/exe");
    let program = fs::read(own).map_err(|error| InstallError::io("read", own, &error))?;
    if is_same(&target, &program) {
        return Ok(());
    }
    StagedFile::write(
        &target,
        &program,
        Owner {
            mode: MODE,
            ids: None,
        },
    )?
    .commit()?;
    log(format_args!("binary written to {}", target.display()));
    Ok(())
}

/// Removes the binary; no runtime may reference it any more.
pub fn remove(binary: &Path) -> Result<(), InstallError> {
    match fs::remove_file(binary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(InstallError::io("remove", binary, &error))
        }
        _ => {
            log(format_args!("binary removed from {}", binary.display()));
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
