//! Mode `inline`: the entry at the end of the list that the runtime reads. A single-plugin file cannot hold
//! it and stays unchanged: the entry is in a copy beside it. Pure.

use super::{Placed, owned, placed};
use crate::chain::Chain;
use crate::entry::Entry;
use crate::error::InstallError;
use crate::folder::{ConfFile, Folder};
use crate::step::Step;

pub fn put(
    folder: &Folder,
    file: &ConfFile,
    entry: Entry,
) -> Result<(Vec<Step>, Placed), InstallError> {
    let content = file.content.clone()?;
    if !file.is_list() {
        return owned::put_beside(folder, file, entry);
    }
    if file.is_link {
        return Err(InstallError::refused(
            "it is a symbolic link, and a rename would put a file in its place. Name the folder it points into \
             with --conf-dir, or use --mode owned",
        ));
    }
    let list = file.list()?;
    let chain = Chain::to_join(&list)?;
    let path = folder.path.join(&file.name);
    let place = placed(folder, file, path.clone(), None, &chain);
    let found = (content.version, content.owner);
    let write = |text| Step::rewrite(path, found, text, "entry put into");
    Ok((chain.with(&entry).map(write).unwrap_or_default(), place))
}
