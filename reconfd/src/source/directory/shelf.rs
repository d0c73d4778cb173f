//! All files and what each provides: the last good version of every object, and which file's version
//! counts. Pure: told what a file says, it says what is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    key::{Key, Kind},
    read::{Contents, Found, Object},
};
use crate::source::Refusal;

#[derive(Default)]
pub struct Shelf {
    files: BTreeMap<String, File>,
    /// The files that provide an object, in sorted order: the first one's version counts.
    holders: BTreeMap<Key, BTreeSet<String>>,
}

#[derive(Default)]
struct File {
    provided: BTreeMap<Key, Provided>,
    refused: Vec<(Option<Key>, Refusal)>,
    /// Nothing of its present text could be read.
    unread: bool,
}

#[derive(Clone, Debug)]
pub struct Provided {
    pub document: usize,
    pub line: u64,
    pub object: Arc<Object>,
    /// The file's present text has it no more, or not in a good version.
    kept: bool,
}

/// What is said of one PodConfig outside of its own text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The file whose version is in force, if any is.
    pub origin: Option<String>,
    /// What is wrong with the version that is not.
    pub fault: Option<String>,
}

/// Objects whose version in force may have changed.
pub type Touched = BTreeSet<Key>;

impl Shelf {
    /// The file says this now.
    pub fn put(&mut self, name: &str, contents: Contents) -> Touched {
        let file = self.files.remove(name).unwrap_or_default();
        let mut touched: Touched = file.provided.keys().cloned().collect();
        let mut provided: BTreeMap<Key, Provided> =
            contents.found.into_iter().map(provide).collect();
        let invalid: BTreeSet<&Key> = contents
            .refused
            .iter()
            .filter_map(|(key, _)| key.as_ref())
            .collect();
        for (key, last_good) in file.provided {
            if contents.obscure || invalid.contains(&key) {
                provided.entry(key).or_insert(Provided {
                    kept: true,
                    ..last_good
                });
            }
        }
        touched.extend(provided.keys().cloned());
        // An object that is refused may have had no version before: its note changes all the same.
        touched.extend(invalid.into_iter().cloned());
        self.hold(name, &touched, &provided);
        self.files.insert(
            name.to_owned(),
            File {
                provided,
                refused: contents.refused,
                unread: false,
            },
        );
        touched
    }

    /// The file is there and cannot be read: what it said last stays in force.
    pub fn refuse(&mut self, name: &str, message: String) -> Touched {
        let file = self.files.entry(name.to_owned()).or_default();
        let refusal = Refusal {
            file: name.to_owned(),
            message,
            ..Refusal::default()
        };
        file.refused = vec![(None, refusal)];
        file.unread = true;
        file.provided
            .values_mut()
            .for_each(|provided| provided.kept = true);
        file.provided.keys().cloned().collect()
    }

    pub fn remove(&mut self, name: &str) -> Touched {
        let Some(file) = self.files.remove(name) else {
            return Touched::new();
        };
        let mut touched: Touched = file.provided.into_keys().collect();
        self.hold(name, &touched, &BTreeMap::new());
        touched.extend(file.refused.into_iter().filter_map(|(key, _)| key));
        touched
    }

    /// What a file said before the daemon was started.
    pub fn remember(&mut self, name: &str, found: Found) {
        let (key, provided) = provide(found);
        self.holders
            .entry(key.clone())
            .or_default()
            .insert(name.to_owned());
        self.files
            .entry(name.to_owned())
            .or_default()
            .provided
            .insert(key, provided);
    }

    fn hold(&mut self, name: &str, touched: &Touched, provided: &BTreeMap<Key, Provided>) {
        for key in touched {
            let holders = self.holders.entry(key.clone()).or_default();
            if provided.contains_key(key) {
                holders.insert(name.to_owned());
            } else {
                holders.remove(name);
            }
            if holders.is_empty() {
                self.holders.remove(key);
            }
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    pub fn is_unread(&self, name: &str) -> bool {
        self.files.get(name).is_some_and(|file| file.unread)
    }

    /// The version in force, and its file.
    pub fn in_force(&self, key: &Key) -> Option<(&str, &Provided)> {
        let name = self.holders.get(key)?.first()?;
        Some((name, self.files.get(name)?.provided.get(key)?))
    }

    /// Everything that is refused, in the order of files and lines.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut refusals: Vec<Refusal> =
            self.files.values().flat_map(File::told).cloned().collect();
        for (key, holders) in self.holders.iter().filter(|(_, holders)| holders.len() > 1) {
            refusals.extend(
                holders
                    .iter()
                    .skip(1)
                    .filter_map(|name| self.twin(key, name)),
            );
        }
        refusals.sort();
        refusals
    }

    fn twin(&self, key: &Key, name: &str) -> Option<Refusal> {
        let (first, counts) = self.in_force(key)?;
        let twin = self.files.get(name)?.provided.get(key)?;
        Some(Refusal {
            file: name.to_owned(),
            document: Some(twin.document),
            line: Some(twin.line),
            object: Some(key.to_string()),
            field: None,
            message: format!(
                "is already in {first}, document {}, which counts",
                counts.document
            ),
        })
    }

    pub fn note(&self, key: &Key) -> Note {
        debug_assert_eq!(key.kind, Kind::PodConfig);
        let origin = self.in_force(key).map(|(name, _)| name.to_owned());
        let faults: Vec<String> = match &origin {
            Some(name) => self
                .files
                .get(name)
                .map(|file| file.faults(key))
                .unwrap_or_default(),
            None => self
                .files
                .values()
                .flat_map(|file| file.faults(key))
                .collect(),
        };
        let fault = (!faults.is_empty()).then(|| shortened(&faults));
        Note { origin, fault }
    }
}

impl File {
    fn told(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter().map(|(_, refusal)| refusal)
    }

    /// What is wrong with this object here; for one that is nowhere in the present text, whatever
    /// could not be recognised, as it may be in there.
    fn faults(&self, key: &Key) -> Vec<String> {
        let told = |wanted: Option<&Key>| -> Vec<String> {
            let of = self
                .refused
                .iter()
                .filter(|(key, _)| key.as_ref() == wanted);
            of.map(|(_, refusal)| format!("{}: {}", refusal.place(), refusal.fault()))
                .collect()
        };
        let own = told(Some(key));
        let kept = self.provided.get(key).is_some_and(|provided| provided.kept);
        if own.is_empty() && kept {
            told(None)
        } else {
            own
        }
    }
}

fn provide(found: Found) -> (Key, Provided) {
    let Found {
        key,
        document,
        line,
        object,
    } = found;
    (
        key,
        Provided {
            document,
            line,
            object: Arc::new(object),
            kept: false,
        },
    )
}

fn shortened(faults: &[String]) -> String {
    const MOST: usize = 3;
    let mut text = faults
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if faults.len() > MOST {
        text += &format!("; and {} more", faults.len() - MOST);
    }
    text
}
