//! Plans the removal of everything of ours from a conf folder. Pure. It must never remove a file of another
//! program, nor lose one that we set aside.

use std::path::Path;

use crate::chain::{self, Chain};
use crate::copy;
use crate::error::{InstallError, InstallErrorKind};
use crate::folder::{ConfFile, Folder, PARKED, SAVED};
use crate::mode::{Mode, OWNED};
use crate::step::Step;

/// The steps, notices for the user, and the entries that could not be removed.
#[derive(Debug, Default)]
pub struct Removal {
    pub steps: Vec<Step>,
    pub notices: Vec<String>,
    pub stuck: Vec<InstallError>,
}

/// Removes the entries of all modes.
pub fn everything(folder: &Folder) -> Removal {
    let mut removal = inline(folder);
    for copy in folder.files.iter().filter(|file| is_owned(file)) {
        bring_home(folder, copy, &mut removal);
    }
    removal.steps.extend(copies(folder, |_| true));
    removal.steps.extend(parked(folder));
    removal.steps.extend(drop_ins(folder, None));
    removal
}

/// Steps that come before all others: files that earlier versions set aside get their names back, and plugins
/// that others added to a copy that will be removed are moved to the original.
pub fn first(folder: &Folder, going: impl Fn(&ConfFile) -> bool) -> Removal {
    let mut removal = Removal::default();
    give_all_back(folder, &mut removal);
    for copy in folder
        .files
        .iter()
        .filter(|file| is_owned(file) && going(file))
    {
        bring_home(folder, copy, &mut removal);
    }
    removal
}

/// Removes the entries of the other modes, and of this mode at other places.
pub fn other_modes(folder: &Folder, mode: Mode, path: &Path) -> Removal {
    let mut removal = if mode == Mode::Inline {
        Removal::default()
    } else {
        inline(folder)
    };
    removal
        .steps
        .extend(copies(folder, |copy| folder.path.join(&copy.name) != path));
    removal.steps.extend(drop_ins(folder, Some(path)));
    removal
}

/// Whether a file is our copy of the primary's.
pub fn is_owned(file: &ConfFile) -> bool {
    is_copy_named(file, &file.name)
}

fn is_copy_named(file: &ConfFile, name: &str) -> bool {
    copy_of(file).is_some_and(|original| OWNED.contains(&name) || name == copy::beside(&original))
}

/// The name of the file that this one is a copy of.
fn copy_of(file: &ConfFile) -> Option<String> {
    let content = file.content.as_ref().ok()?;
    let chain = Chain::parse(&content.text).ok()?;
    chain.copy_mark().map(|mark| mark.copy_of.clone())
}

/// Removes those of our copies.
pub fn copies(folder: &Folder, going: impl Fn(&ConfFile) -> bool) -> Vec<Step> {
    let copies = folder
        .files
        .iter()
        .filter(|file| is_owned(file) && going(file));
    copies
        .map(|file| Step::Remove(folder.path.join(&file.name)))
        .collect()
}

/// Writes the plugins that others added to a copy into its original, unless it has them.
fn bring_home(folder: &Folder, copy: &ConfFile, removal: &mut Removal) {
    let (Ok(content), Some(original)) = (&copy.content, copy_of(copy)) else {
        return;
    };
    let Some(Ok(home)) = folder.file(&original).map(|file| &file.content) else {
        return;
    };
    let (Ok(chain), Ok(list)) = (Chain::parse(&content.text), listed(folder, &original)) else {
        return;
    };
    let Ok(bare) = Chain::parse(&list) else {
        return;
    };
    let added = copy::additions(&chain, &bare);
    if added.is_empty() {
        return;
    }
    let kinds: Vec<&str> = added.iter().map(|(kind, _)| kind.as_str()).collect();
    let kinds = kinds.join(", ");
    let path = folder.path.join(&original);
    let file = folder.file(&original);
    if file.is_none_or(|file| !file.is_list() || file.is_link) {
        removal.notices.push(format!(
            "{kinds} had an entry in {}, which is a copy of {original}; {original} cannot hold it, so let {kinds} install \
             itself anew",
            copy.name
        ));
        return;
    }
    removal
        .steps
        .push(Step::Confirm(path.clone(), home.version));
    removal.steps.push(Step::Write {
        path,
        text: copy::joined(&bare, &added),
        owner: home.owner,
        why: "entries of others moved from the copy into",
    });
}

fn listed(folder: &Folder, name: &str) -> Result<String, InstallError> {
    let gone = || InstallError::new(InstallErrorKind::Unsettled, "it is gone");
    folder.file(name).ok_or_else(gone)?.list()
}

/// Removes our entry from files that others set aside: restored, they would reference a missing binary.
fn parked(folder: &Folder) -> Vec<Step> {
    let mut steps = Vec::new();
    for file in folder.parked.iter().filter(|file| !file.is_link) {
        let path = folder.path.join(&file.name);
        let name = PARKED.iter().find_map(|end| file.name.strip_suffix(end));
        let (Some(name), Ok(content)) = (name, &file.content) else {
            continue;
        };
        let Ok(chain) = Chain::parse(&content.text) else {
            continue;
        };
        if is_copy_named(file, name) {
            steps.push(Step::Remove(path));
        } else if chain.has_ours() {
            steps.push(Step::Confirm(path.clone(), content.version));
            steps.push(Step::Write {
                path,
                text: chain.without(),
                owner: content.owner,
                why: "entry taken out of",
            });
        }
    }
    steps
}

fn drop_ins(folder: &Folder, kept: Option<&Path>) -> Vec<Step> {
    let mut steps = Vec::new();
    for drop_in in folder
        .drop_ins
        .iter()
        .filter(|drop_in| Some(drop_in.path.as_path()) != kept)
    {
        steps.push(Step::Remove(drop_in.path.clone()));
        steps.extend(
            drop_in
                .path
                .parent()
                .map(|below| Step::RemoveFolder(below.to_owned())),
        );
    }
    if !steps.is_empty() {
        steps.push(Step::Touch(folder.path.clone()));
    }
    steps
}

/// Removes the entry from files of others, and restores the files that were converted to lists.
fn inline(folder: &Folder) -> Removal {
    let mut removal = Removal::default();
    let gone = give_all_back(folder, &mut removal);
    for file in folder
        .files
        .iter()
        .filter(|file| !is_owned(file) && !gone.contains(&file.name))
    {
        match strip(folder, file) {
            Ok(steps) => removal.steps.extend(steps),
            Err(failure) => removal.stuck.push(failure),
        }
    }
    removal
}

/// Restores the files that earlier versions set aside. Returns the lists that are removed for them.
fn give_all_back(folder: &Folder, removal: &mut Removal) -> Vec<String> {
    let mut gone: Vec<String> = Vec::new();
    for saved in &folder.saved {
        give_back(folder, saved, removal, &mut gone);
    }
    gone
}

/// Restores a file that was set aside: it is renamed first, then its list is removed, so that a chain exists
/// at every moment.
fn give_back(folder: &Folder, saved: &ConfFile, removal: &mut Removal, gone: &mut Vec<String>) {
    let aside = folder.path.join(format!("{}{SAVED}", saved.name));
    let list = folder.file(&saved.list_name());
    let drop_list = |steps: &mut Vec<Step>, gone: &mut Vec<String>| {
        if let Some(list) = list {
            let path = folder.path.join(&list.name);
            let version = list.content.as_ref().map(|content| content.version);
            steps.extend(version.map(|version| Step::Confirm(path.clone(), version)));
            steps.push(Step::Remove(path));
            gone.push(list.name.clone());
        }
    };
    if let Some(standing) = folder.file(&saved.name) {
        // Its owner wrote it again, and that version counts.
        let same = texts_equal(standing, saved);
        if same {
            removal.steps.push(Step::Remove(aside));
        } else {
            removal.notices.push(format!(
                "leaving {}: {} was written anew since",
                aside.display(),
                saved.name
            ));
        }
        return;
    }
    if list.is_none_or(|list| is_untouched(list, saved)) {
        removal.steps.push(Step::Rename {
            from: aside,
            to: folder.path.join(&saved.name),
        });
        drop_list(&mut removal.steps, gone);
    } else {
        let name = saved.list_name();
        removal.notices.push(format!(
            "leaving {}: {name} was changed since and goes on as it is",
            aside.display()
        ));
    }
}

fn texts_equal(a: &ConfFile, b: &ConfFile) -> bool {
    matches!((&a.content, &b.content), (Ok(a), Ok(b)) if a.text == b.text)
}

/// Whether a list is our unmodified conversion of the file that was set aside, apart from the entry.
fn is_untouched(list: &ConfFile, saved: &ConfFile) -> bool {
    let (Ok(list), Ok(saved)) = (&list.content, saved.list()) else {
        return false;
    };
    Chain::parse(&list.text).is_ok_and(|chain| chain.without() == saved)
}

/// The steps that remove the entry from one file, if it is there.
fn strip(folder: &Folder, file: &ConfFile) -> Result<Vec<Step>, InstallError> {
    let path = folder.path.join(&file.name);
    let stuck = |why: &str| {
        let text = format!(
            "take the entry out of {}: {why}. Take it out by hand and run this again",
            path.display()
        );
        Err(InstallError::refused(text))
    };
    let content = match &file.content {
        Ok(content) => content,
        // A runtime cannot load what is not a file or is gone; the others may reference the plugin.
        Err(failure) if failure.kind == InstallErrorKind::Unreadable => {
            return stuck(&failure.text);
        }
        Err(_) => return Ok(Vec::new()),
    };
    if !content.text.contains(cni_plugin::PLUGIN_TYPE) {
        return Ok(Vec::new());
    }
    if !file.is_list() {
        return if chain::is_our_plugin(&content.text) {
            stuck("it is a plugin on its own")
        } else {
            Ok(Vec::new())
        };
    }
    let chain = match Chain::parse(&content.text) {
        Ok(chain) if chain.has_ours() => chain,
        Ok(_) => return Ok(Vec::new()),
        Err(failure) => return stuck(&failure.text),
    };
    if file.is_link {
        return stuck("it is a symbolic link");
    }
    // The list of an interrupted conversion: its original still exists.
    if chain
        .copy_mark()
        .is_some_and(|mark| mark.copy_of != file.name && folder.file(&mark.copy_of).is_some())
    {
        return Ok(vec![Step::Remove(path)]);
    }
    let (found, text) = ((content.version, content.owner), chain.without());
    Ok(Step::rewrite(path, found, text, "entry taken out of"))
}
