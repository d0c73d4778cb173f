//! A copy of the primary's file with the entry, which sorts before it: mode `owned`, and `inline` if the file
//! itself cannot hold an entry. Pure.

use super::{Placed, placed};
use crate::chain::Chain;
use crate::copy;
use crate::entry::Entry;
use crate::error::InstallError;
use crate::folder::{ConfFile, Folder};
use crate::mode::OWNED;
use crate::removal;
use crate::step::Step;

pub fn put(
    folder: &Folder,
    file: &ConfFile,
    entry: Entry,
) -> Result<(Vec<Step>, Placed), InstallError> {
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    if is_multus(&chain) {
        return put_beside(folder, file, entry);
    }
    let name = OWNED.into_iter().find(|name| *name < file.name.as_str());
    let name = name.ok_or_else(|| {
        InstallError::refused("it sorts before every name that a copy could have")
    })?;
    put_at(folder, file, &chain, name, entry)
}

/// A copy named after its original, which sorts right before it.
pub fn put_beside(
    folder: &Folder,
    file: &ConfFile,
    entry: Entry,
) -> Result<(Vec<Step>, Placed), InstallError> {
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    judge_multus(file, &chain)?;
    put_at(folder, file, &chain, &copy::beside(&file.name), entry)
}

fn put_at(
    folder: &Folder,
    file: &ConfFile,
    chain: &Chain<'_>,
    name: &str,
    entry: Entry,
) -> Result<(Vec<Step>, Placed), InstallError> {
    let owner = file.content.clone()?.owner;
    let standing = folder.file(name);
    if standing.is_some_and(|copy| !removal::is_owned(copy)) {
        return Err(InstallError::refused(format!(
            "its copy would be {name}, which exists already and is not ours"
        )));
    }
    let bare = chain.without();
    let earlier = standing.or_else(|| folder.files.iter().find(|file| removal::is_owned(file)));
    let earlier = earlier.and_then(|copy| copy.content.as_ref().ok());
    let text = copy::text(
        &file.name,
        &Chain::parse(&bare)?,
        earlier.map(|content| content.text.as_str()),
        entry,
    );
    let text = text.ok_or_else(|| InstallError::refused("it names us already"))?;
    let path = folder.path.join(name);
    let place = Placed {
        is_copy: true,
        ..placed(folder, file, path.clone(), Some(bare), chain)
    };
    let found = standing.and_then(|copy| copy.content.as_ref().ok());
    if found.is_some_and(|content| content.text == text) {
        return Ok((Vec::new(), place));
    }
    let write = Step::Write {
        path: path.clone(),
        text,
        owner,
        why: "chain copied, with the entry, to",
    };
    let confirm = found.map(|content| Step::Confirm(path, content.version));
    Ok((confirm.into_iter().chain([write]).collect(), place))
}

fn is_multus(chain: &Chain<'_>) -> bool {
    matches!(chain.primary(), "multus" | "multus-shim")
}

/// Multus uses the first file beside its own as its delegate, and would call itself through a copy. Its
/// daemon skips every name that begins with "00-multus"; the thin plugin skips only "00-multus.conf…", before
/// which no copy can sort.
fn judge_multus(file: &ConfFile, chain: &Chain<'_>) -> Result<(), InstallError> {
    let is_passed_over = chain.primary() == "multus-shim" && file.name.starts_with("00-multus");
    if !is_multus(chain) || is_passed_over {
        return Ok(());
    }
    Err(InstallError::refused(
        "multus takes the first file beside its own for its delegate, so a copy would make it call itself. Name the \
         delegate's file with --conf-file, so that multus calls the plugin in its delegate's chain, or use \
         --mode drop-in",
    ))
}
