//! What must change so that nothing of ours is left in a conf folder. Pure. It must never take away a
//! file that somebody else wrote, nor lose one that we set aside.

use std::path::Path;

use super::chain::{self, Chain};
use super::copy;
use super::failure::{Failure, Kind};
use super::folder::{ConfFile, Folder, PARKED, SAVED};
use super::mode::{Mode, OWNED};
use super::step::Step;

/// The steps, what the person should know, and what could not be taken out.
#[derive(Debug, Default)]
pub struct Removal {
    pub steps: Vec<Step>,
    pub notices: Vec<String>,
    pub stuck: Vec<Failure>,
}

/// Takes out what any mode put in.
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

/// What must be put right before anything else: files that earlier versions set aside get their names back, and
/// what others put into a copy that will go gets into the original.
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

/// Takes out what the modes beside this one put in, and what this one put elsewhere.
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

/// What others put into a copy is written into its original, unless that has it.
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

fn listed(folder: &Folder, name: &str) -> Result<String, Failure> {
    let gone = || Failure::new(Kind::Unsettled, "it is gone");
    folder.file(name).ok_or_else(gone)?.list()
}

/// Takes what is ours out of the files that others set aside: put back, they would name a binary that is gone.
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
        steps.push(Step::Nudge(folder.path.clone()));
    }
    steps
}

/// Takes the entry out of the files of others, and gives back the files that became lists.
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

/// Gives back what earlier versions set aside. What comes back is the lists that go.
fn give_all_back(folder: &Folder, removal: &mut Removal) -> Vec<String> {
    let mut gone: Vec<String> = Vec::new();
    for saved in &folder.saved {
        give_back(folder, saved, removal, &mut gone);
    }
    gone
}

/// The way back of a file that was set aside: renamed first, then its list removed, so that a chain is
/// there at every moment.
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
        // Its owner wrote it anew, and that one counts.
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

/// Whether a list is what we made of the file set aside, but for the entry.
fn is_untouched(list: &ConfFile, saved: &ConfFile) -> bool {
    let (Ok(list), Ok(saved)) = (&list.content, saved.list()) else {
        return false;
    };
    Chain::parse(&list.text).is_ok_and(|chain| chain.without() == saved)
}

/// The steps that take the entry out of one file, if it is there.
fn strip(folder: &Folder, file: &ConfFile) -> Result<Vec<Step>, Failure> {
    let path = folder.path.join(&file.name);
    let stuck = |why: &str| {
        let text = format!(
            "take the entry out of {}: {why}. Take it out by hand and run this again",
            path.display()
        );
        Err(Failure::refused(text))
    };
    let content = match &file.content {
        Ok(content) => content,
        // What is no file, or gone, a runtime cannot load; the rest may name us.
        Err(failure) if failure.kind == Kind::Unread => return stuck(&failure.text),
        Err(_) => return Ok(Vec::new()),
    };
    if !content.text.contains(crate::PLUGIN_TYPE) {
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
    // The list of a conversion that was cut short: its original still stands.
    if chain
        .copy_mark()
        .is_some_and(|mark| mark.copy_of != file.name && folder.file(&mark.copy_of).is_some())
    {
        return Ok(vec![Step::Remove(path)]);
    }
    let (text, owner) = (chain.without(), content.owner);
    let confirm = Step::Confirm(path.clone(), content.version);
    let why = "entry taken out of";
    Ok(vec![
        confirm,
        Step::Write {
            path,
            text,
            owner,
            why,
        },
    ])
}
