//! Index of all manifest files by object key: the last valid version of every object, and the file whose version
//! is in force. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use store::{Refusal, kinds::ObjectKind};

use super::{
    key::ManifestKey,
    object::ManifestObject,
    parse::{ParsedFile, ParsedObject},
};

#[derive(Default)]
pub struct ManifestIndex {
    files: BTreeMap<String, File>,
    /// The files that provide an object, sorted: the version of the first is in force.
    holders: BTreeMap<ManifestKey, BTreeSet<String>>,
}

#[derive(Default)]
struct File {
    provided: BTreeMap<ManifestKey, Provided>,
    refused: Vec<(Option<ManifestKey>, Refusal)>,
    /// Its present content could not be read.
    unread: bool,
}

#[derive(Clone, Debug)]
pub struct Provided {
    pub document: usize,
    pub line: u64,
    pub object: Arc<ManifestObject>,
    /// Kept from an earlier version of the file: its present text has no valid version of the object.
    kept: bool,
}

/// Where a PodConfig's manifest is, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestStatus {
    /// The file whose version is in force.
    pub origin: Option<String>,
    /// The errors of the newest version, where it is not in force.
    pub error: Option<String>,
}

/// Objects whose version in force may have changed.
pub type Touched = BTreeSet<ManifestKey>;

impl ManifestIndex {
    /// Sets the parsed content of a file.
    pub fn put(&mut self, name: &str, parsed: ParsedFile) -> Touched {
        let file = self.files.remove(name).unwrap_or_default();
        let mut touched: Touched = file.provided.keys().cloned().collect();
        let mut provided: BTreeMap<ManifestKey, Provided> =
            parsed.objects.into_iter().map(provide).collect();
        let invalid: BTreeSet<&ManifestKey> = parsed
            .refused
            .iter()
            .filter_map(|(key, _)| key.as_ref())
            .collect();
        for (key, last_good) in file.provided {
            if parsed.incomplete || invalid.contains(&key) {
                provided.entry(key).or_insert(Provided {
                    kept: true,
                    ..last_good
                });
            }
        }
        touched.extend(provided.keys().cloned());
        // The status of a refused object changes even if there was no version of it before.
        touched.extend(invalid.into_iter().cloned());
        self.hold(name, &touched, &provided);
        self.files.insert(
            name.to_owned(),
            File {
                provided,
                refused: parsed.refused,
                unread: false,
            },
        );
        touched
    }

    /// Records that a file cannot be read; its last version stays in force.
    pub fn refuse(&mut self, name: &str, message: String) -> Touched {
        let file = self.files.entry(name.to_owned()).or_default();
        file.refused = vec![(None, Refusal::of_file(name, message))];
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

    /// Restores a version from before the start of the daemon.
    pub fn remember(&mut self, name: &str, found: ParsedObject) {
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

    fn hold(&mut self, name: &str, touched: &Touched, provided: &BTreeMap<ManifestKey, Provided>) {
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

    /// The version in force, with its file.
    pub fn in_force(&self, key: &ManifestKey) -> Option<(&str, &Provided)> {
        let name = self.holders.get(key)?.first()?;
        Some((name, self.files.get(name)?.provided.get(key)?))
    }

    /// All errors, ordered by file and line.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut refusals: Vec<Refusal> = self
            .files
            .values()
            .flat_map(File::errors_of_file)
            .cloned()
            .collect();
        for (key, holders) in self.holders.iter().filter(|(_, holders)| holders.len() > 1) {
            refusals.extend(
                holders
                    .iter()
                    .skip(1)
                    .filter_map(|name| self.duplicate(key, name)),
            );
        }
        refusals.sort();
        refusals
    }

    fn duplicate(&self, key: &ManifestKey, name: &str) -> Option<Refusal> {
        let (first, counts) = self.in_force(key)?;
        let duplicate = self.files.get(name)?.provided.get(key)?;
        Some(Refusal {
            file: name.to_owned(),
            document: Some(duplicate.document),
            line: Some(duplicate.line),
            object: Some(key.to_string()),
            field: None,
            message: format!(
                "duplicate of {first}, document {}, which is in force",
                counts.document
            ),
        })
    }

    pub fn status(&self, key: &ManifestKey) -> ManifestStatus {
        debug_assert_eq!(key.kind, ObjectKind::PodConfig);
        let origin = self.in_force(key).map(|(name, _)| name.to_owned());
        let errors: Vec<String> = match &origin {
            Some(name) => self
                .files
                .get(name)
                .map(|file| file.errors(key))
                .unwrap_or_default(),
            None => self
                .files
                .values()
                .flat_map(|file| file.errors(key))
                .collect(),
        };
        let error = (!errors.is_empty()).then(|| shortened(&errors));
        ManifestStatus { origin, error }
    }
}

impl File {
    fn errors_of_file(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter().map(|(_, refusal)| refusal)
    }

    /// The errors of an object in this file. For one that the present text does not name: the errors of the parts
    /// that could not be recognised, which may contain it.
    fn errors(&self, key: &ManifestKey) -> Vec<String> {
        let errors = |wanted: Option<&ManifestKey>| -> Vec<String> {
            let of = self
                .refused
                .iter()
                .filter(|(key, _)| key.as_ref() == wanted);
            of.map(|(_, refusal)| format!("{}: {}", refusal.position(), refusal.detail()))
                .collect()
        };
        let own = errors(Some(key));
        let kept = self.provided.get(key).is_some_and(|provided| provided.kept);
        if own.is_empty() && kept {
            errors(None)
        } else {
            own
        }
    }
}

fn provide(found: ParsedObject) -> (ManifestKey, Provided) {
    let ParsedObject {
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
            object,
            kept: false,
        },
    )
}

fn shortened(errors: &[String]) -> String {
    const MOST: usize = 3;
    let mut text = errors
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if errors.len() > MOST {
        text += &format!("; and {} more", errors.len() - MOST);
    }
    text
}
