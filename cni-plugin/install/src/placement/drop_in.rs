//! Mode `drop-in`: the entry in its own file, in the folder of the network. Pure, except that it checks what
//! is at the target path.

use super::{Placed, placed};
use crate::chain::Chain;
use crate::entry::Entry;
use crate::error::InstallError;
use crate::folder::{ConfFile, DROP_IN, Folder};
use crate::step::Step;

pub fn put(
    folder: &Folder,
    file: &ConfFile,
    entry: &Entry,
) -> Result<(Vec<Step>, Placed), InstallError> {
    let owner = file.content.clone()?.owner;
    if !file.is_list() {
        return Err(InstallError::refused(
            "runtimes read drop-ins for a .conflist only. Use --mode inline or owned",
        ));
    }
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    if !chain.reads_drop_ins {
        return Err(InstallError::refused(
            "loadOnlyInlinedPlugins forbids drop-ins there. Use --mode inline or owned",
        ));
    }
    let below = folder.path.join(&chain.network);
    let path = below.join(DROP_IN);
    let text = format!("{}\n", entry.on_lines("\n", ""));
    let standing = folder.drop_ins.iter().find(|drop_in| drop_in.path == path);
    let place = placed(folder, file, path.clone(), Some(text.clone()), &chain);
    if standing.is_some_and(|standing| entry.is_equal_to(&standing.text)) {
        return Ok((Vec::new(), place));
    }
    if standing.is_none() && path.symlink_metadata().is_ok() {
        return Err(InstallError::refused(format!(
            "{} exists already and is not ours",
            path.display()
        )));
    }
    if below.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
        return Err(InstallError::refused(format!(
            "{} exists and is not a folder",
            below.display()
        )));
    }
    let steps = vec![
        Step::MakeFolder(below),
        Step::Write {
            path,
            text,
            owner,
            why: "entry dropped into",
        },
        Step::Touch(folder.path.clone()),
    ];
    Ok((steps, place))
}
