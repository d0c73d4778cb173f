//! Mode `inline`: the entry at the end of the list that the runtime reads. Pure.

use super::super::chain::Chain;
use super::super::entry::Entry;
use super::super::failure::Failure;
use super::super::folder::{ConfFile, Content, Folder, SAVED};
use super::super::removal;
use super::super::step::Step;
use super::{Placed, placed};

pub fn put(folder: &Folder, file: &ConfFile, entry: Entry) -> Result<(Vec<Step>, Placed), Failure> {
    let content = file.content.clone()?;
    if file.is_link {
        return Err(Failure::refused(
            "it is a symbolic link, and a rename would put a file in its place. Name the folder it points into \
             with --conf-dir, or use --mode owned",
        ));
    }
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    let path = folder.path.join(file.list_name());
    let place = placed(folder, file, path.clone(), None, &chain);
    if !file.is_list() {
        return Ok((converted(folder, file, &chain, entry)?, place));
    }
    // A list that we made of a single plugin's file stays marked as such.
    let original = chain
        .copy_of()
        .filter(|original| folder.saved(original).is_some());
    let entry = match original {
        Some(original) => entry.in_copy_of(original),
        None => entry,
    };
    let write = |text| {
        let confirm = Step::Confirm(path.clone(), content.version);
        let (owner, why) = (content.owner, "entry put into");
        vec![
            confirm,
            Step::Write {
                path,
                text,
                owner,
                why,
            },
        ]
    };
    Ok((chain.with(&entry).map(write).unwrap_or_default(), place))
}

/// Makes a list of a single plugin's file. The list is there before the file goes.
fn converted(
    folder: &Folder,
    file: &ConfFile,
    chain: &Chain<'_>,
    entry: Entry,
) -> Result<Vec<Step>, Failure> {
    let name = file.list_name();
    let wanted = chain
        .with(&entry.in_copy_of(&file.name))
        .ok_or_else(|| Failure::refused("it names us already"))?;
    let standing = folder.file(&name);
    if standing.is_some_and(|list| !removal::is_copy_of(list, &file.name)) {
        return Err(Failure::refused(format!(
            "it would become {name}, which is there already and not ours"
        )));
    }
    let between = folder
        .files
        .iter()
        .find(|other| other.name > file.name && other.name < name);
    if let Some(other) = between {
        return Err(Failure::refused(format!(
            "as {name} it would sort behind {}",
            other.name
        )));
    }
    let Content { owner, version, .. } = file.content.clone()?;
    let same = standing.is_some_and(|list| {
        list.content
            .as_ref()
            .is_ok_and(|content| content.text == wanted)
    });
    let path = folder.path.join(&name);
    let write = (!same).then_some(Step::Write {
        path,
        text: wanted,
        owner,
        why: "entry put into",
    });
    let from = folder.path.join(&file.name);
    let to = folder.path.join(format!("{}{SAVED}", file.name));
    Ok(write
        .into_iter()
        .chain([
            Step::Confirm(from.clone(), version),
            Step::Rename { from, to },
        ])
        .collect())
}
