//! Mode `owned`: a copy of the primary's file that sorts before it, with the entry. Pure.

use super::super::chain::Chain;
use super::super::entry::Entry;
use super::super::failure::Failure;
use super::super::folder::{ConfFile, Folder};
use super::super::removal;
use super::super::step::Step;
use super::{OWNED, Placed, placed};

pub fn put(folder: &Folder, file: &ConfFile, entry: Entry) -> Result<(Vec<Step>, Placed), Failure> {
    let owner = file.content.clone()?.owner;
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    if matches!(chain.primary(), "multus" | "multus-shim") {
        return Err(Failure::refused(
            "multus takes the first file beside its own for its delegate, so a copy would make it call itself. \
             Use --mode drop-in",
        ));
    }
    let name = OWNED.into_iter().find(|name| *name < file.name.as_str());
    let name =
        name.ok_or_else(|| Failure::refused("it sorts before every name that a copy could have"))?;
    let standing = folder.file(name);
    if standing.is_some_and(|copy| !removal::is_owned(copy)) {
        return Err(Failure::refused(format!(
            "its copy would be {name}, which is there already and not ours"
        )));
    }
    let bare = chain.without();
    let copied = Chain::parse(&bare)?.with(&entry.in_copy_of(&file.name));
    let text = copied.ok_or_else(|| Failure::refused("it names us already"))?;
    let same = standing.is_some_and(|copy| {
        copy.content
            .as_ref()
            .is_ok_and(|content| content.text == text)
    });
    let path = folder.path.join(name);
    let place = placed(folder, file, path.clone(), Some(text.clone()), &chain);
    let write = (!same).then_some(Step::Write {
        path,
        text,
        owner,
        why: "chain copied, with the entry, to",
    });
    Ok((write.into_iter().collect(), place))
}
