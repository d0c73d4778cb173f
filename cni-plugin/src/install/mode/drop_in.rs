//! Mode `drop-in`: the entry in a file of its own, in the folder of the network. Pure, but for a look at
//! what else is where that file goes.

use super::super::chain::Chain;
use super::super::entry::Entry;
use super::super::failure::Failure;
use super::super::folder::{ConfFile, DROP_IN, Folder};
use super::super::step::Step;
use super::{Placed, placed};

pub fn put(
    folder: &Folder,
    file: &ConfFile,
    entry: &Entry,
) -> Result<(Vec<Step>, Placed), Failure> {
    let owner = file.content.clone()?.owner;
    if !file.is_list() {
        return Err(Failure::refused(
            "runtimes read drop-ins for a .conflist only. Use --mode inline or owned",
        ));
    }
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    if !chain.reads_drop_ins {
        return Err(Failure::refused(
            "loadOnlyInlinedPlugins forbids drop-ins there. Use --mode inline or owned",
        ));
    }
    let below = folder.path.join(&chain.network);
    let path = below.join(DROP_IN);
    let text = format!("{}\n", entry.on_lines("\n", ""));
    let standing = folder.drop_ins.iter().find(|drop_in| drop_in.path == path);
    let place = placed(folder, file, path.clone(), Some(text.clone()), &chain);
    if standing.is_some_and(|standing| entry.is_said_by(&standing.text)) {
        return Ok((Vec::new(), place));
    }
    if standing.is_none() && path.symlink_metadata().is_ok() {
        return Err(Failure::refused(format!(
            "{} is there already and not ours",
            path.display()
        )));
    }
    if below.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
        return Err(Failure::refused(format!(
            "{} is there and is no folder",
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
        Step::Nudge(folder.path.clone()),
    ];
    Ok((steps, place))
}
