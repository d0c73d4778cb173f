//! The plugin's binary in the runtime's folder. It is never written in place: a runtime may be executing it.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cni_plugin::PLUGIN_TYPE;

use crate::error::InstallError;
use crate::output::{PROGRAM, log};
use crate::staged_file::{Owner, StagedFile, sync_folder_of};

const MODE: u32 = 0o755;

/// Which binary counts as installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The program that is to be installed.
    Current,
    /// Any executable: a watcher must not revert the upgrade of a later installer.
    Runnable,
}

/// The plugin's program that is to be installed.
#[derive(Debug)]
pub struct Program(PathBuf);

impl Program {
    /// The named one, or the one beside this program. A wrong file in the chain would fail the start of every
    /// pod, so it is refused before anything is changed.
    pub fn find(named: Option<&Path>) -> Result<Program, InstallError> {
        let own = env::current_exe()
            .map_err(|error| InstallError::io("find", Path::new(PROGRAM), &error))?;
        let path = named.map_or_else(|| own.with_file_name(PLUGIN_TYPE), Path::to_owned);
        match wrong(&path, &own) {
            None => Ok(Program(path)),
            Some(why) => Err(InstallError::refused(format!(
                "install the plugin {}: {why}. Put {PLUGIN_TYPE} beside {PROGRAM}, or name it with --plugin",
                path.display()
            ))),
        }
    }

    /// Copies the program into the folder, unless the wanted binary is there.
    pub fn install(&self, folder: &Path, wanted: Wanted) -> Result<(), InstallError> {
        let target = folder.join(PLUGIN_TYPE);
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
        let program =
            fs::read(&self.0).map_err(|error| InstallError::io("read", &self.0, &error))?;
        if is_same(&target, &program) {
            return Ok(());
        }
        let owner = Owner {
            mode: MODE,
            ids: None,
        };
        StagedFile::write(&target, &program, owner)?.commit()?;
        log(format_args!("binary written to {}", target.display()));
        Ok(())
    }
}

/// Why a file cannot be the plugin.
fn wrong(path: &Path, own: &Path) -> Option<String> {
    let is_own = |found: &fs::Metadata| {
        fs::metadata(own).is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
    };
    match fs::metadata(path) {
        Err(error) => Some(error.to_string()),
        Ok(found) if !found.is_file() => Some("it is not a file".to_owned()),
        Ok(found) if found.len() == 0 => Some("it is empty".to_owned()),
        Ok(found) if found.mode() & 0o111 == 0 => Some("it is not executable".to_owned()),
        Ok(found) if is_own(&found) => Some("it is the installer itself".to_owned()),
        Ok(_) => None,
    }
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
