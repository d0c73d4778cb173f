//! The pods of this node: their records, found by uid, by name and by file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use cni_plugin::record::{Record, RecordErrorKind, RecordFolder};
use crds::{Reason, report::RecordSource};

use crate::scope::Scope;

/// Records that nobody wrote.
pub mod found;
/// What is known of one pod.
mod known;
/// Pods that could not use a link.
pub mod unsupported;
pub use known::{Known, Unrecorded};
use unsupported::Unsupported;

pub struct Pods {
    folder: RecordFolder,
    /// Records of pods that another copy serves are none of ours.
    scope: Scope,
    /// By file name.
    records: BTreeMap<String, Arc<Record>>,
    /// Of those, what is not in the folder, and what told of it.
    found: BTreeMap<String, RecordSource>,
    unsupported: Unsupported,
    /// Sandboxes whose record the plugin took away, and when.
    ended: HashMap<String, Instant>,
    /// Files of records whose namespace was looked for and proved gone.
    gone: BTreeSet<String>,
    /// Files that are no records, and why.
    bad: BTreeMap<String, String>,
    /// File names by pod uid.
    by_uid: HashMap<String, BTreeSet<String>>,
    /// Whose a namespace is, by its cookie: the first record wins.
    netns: HashMap<u64, String>,
}

impl Pods {
    pub fn new(folder: RecordFolder, scope: Scope, unsupported: Unsupported) -> Self {
        Self {
            folder,
            scope,
            records: BTreeMap::new(),
            found: BTreeMap::new(),
            unsupported,
            ended: HashMap::new(),
            gone: BTreeSet::new(),
            bad: BTreeMap::new(),
            by_uid: HashMap::new(),
            netns: HashMap::new(),
        }
    }

    /// Reads the whole folder again; uids of all pods that it speaks of or spoke of.
    pub fn read_all(&mut self) -> Vec<String> {
        let mut touched = self.uids();
        let listed = match self.folder.list() {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::error!("list records: {error}");
                return touched;
            }
        };
        let found = self.take_found();
        self.records.clear();
        self.by_uid.clear();
        self.netns.clear();
        self.gone.clear();
        self.bad
            .retain(|file, _| listed.iter().any(|(listed, _)| listed == file));
        for (file, record) in listed {
            match record {
                Ok(record) => touched.extend(self.written(file, record)),
                Err(error) => self.doubt(&file, &error.to_string()),
            }
        }
        self.give_back(found);
        touched
    }

    fn doubt(&mut self, file: &str, why: &str) {
        if self.bad.insert(file.into(), why.into()).as_deref() != Some(why) {
            tracing::warn!(file = ?file, reason = %Reason::BadRecord, "{why}");
        }
    }

    /// Whether there is a file in the folder that is no record.
    pub fn has_bad_ones(&self) -> bool {
        !self.bad.is_empty()
    }

    /// Reads one record again; uids of the pods that it speaks of or spoke of.
    pub fn read(&mut self, file: &str) -> Vec<String> {
        let written = self.written_container(file);
        let mut touched: Vec<String> = self.forget(file).into_iter().collect();
        match self.folder.read(file) {
            Ok(record) => touched.extend(self.written(file.into(), record)),
            Err(error) if error.kind == RecordErrorKind::Missing => {
                self.bad.remove(file);
                self.has_ended(written);
            }
            Err(error) if error.kind == RecordErrorKind::BadName && !self.is_listed(file) => {
                self.bad.remove(file);
            }
            Err(error) => self.doubt(file, &error.to_string()),
        }
        touched
    }

    /// By a look at all names: what could not be spelled was told with another name than it has.
    fn is_listed(&self, file: &str) -> bool {
        let names = std::fs::read_dir(self.folder.path());
        let mut names = names.into_iter().flatten().flatten();
        names.any(|entry| entry.file_name().to_string_lossy() == file)
    }

    /// Takes in what the plugin wrote.
    fn written(&mut self, file: String, record: Record) -> Option<String> {
        self.bad.remove(&file);
        self.prefer(&record);
        let is_ours = self.scope.serves(&record.pod_namespace);
        is_ours.then(|| self.insert(file, Arc::new(record)))
    }

    fn insert(&mut self, file: String, record: Arc<Record>) -> String {
        let uid = uid_of(&record);
        self.by_uid
            .entry(uid.clone())
            .or_default()
            .insert(file.clone());
        self.netns
            .entry(record.cookie)
            .or_insert_with(|| uid.clone());
        self.records.insert(file, record);
        uid
    }

    fn forget(&mut self, file: &str) -> Option<String> {
        self.gone.remove(file);
        self.found.remove(file);
        let record = self.records.remove(file)?;
        let uid = uid_of(&record);
        if let Some(files) = self.by_uid.get_mut(&uid) {
            files.remove(file);
            if files.is_empty() {
                self.by_uid.remove(&uid);
            }
        }
        let others = self
            .records
            .values()
            .find(|other| other.cookie == record.cookie)
            .map(|other| uid_of(other));
        match others {
            Some(other) => self.netns.insert(record.cookie, other),
            None => self.netns.remove(&record.cookie),
        };
        Some(uid)
    }

    pub fn uids(&self) -> Vec<String> {
        self.by_uid.keys().cloned().collect()
    }

    /// The pod that comes next in the order of uids, from the start again behind the last.
    pub fn uid_after(&self, uid: Option<&str>) -> Option<String> {
        let uids = || self.by_uid.keys();
        let later = uids()
            .filter(|other| uid.is_none_or(|uid| other.as_str() > uid))
            .min();
        later.or_else(|| uids().min()).cloned()
    }

    pub fn count(&self) -> usize {
        self.by_uid.len()
    }

    pub fn has(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    pub fn uids_in(&self, namespace: &str) -> Vec<String> {
        self.records
            .values()
            .filter(|record| record.pod_namespace == namespace)
            .map(|record| uid_of(record))
            .collect()
    }

    pub fn uids_of(&self, namespace: &str, name: &str) -> Vec<String> {
        let of = self
            .records
            .values()
            .filter(|record| record.pod_namespace == namespace && record.pod_name == name);
        of.map(|record| uid_of(record)).collect()
    }

    /// The newest record of a pod: a sandbox that was made again has a later one. Clocks jump, so one
    /// whose namespace is gone is not the newest while there is another.
    fn newest(&self, uid: &str) -> Option<&Arc<Record>> {
        self.newest_file(uid).map(|(_, record)| record)
    }

    fn newest_file(&self, uid: &str) -> Option<(&String, &Arc<Record>)> {
        let files = self.by_uid.get(uid)?.iter();
        files
            .filter_map(|file| self.records.get_key_value(file))
            .max_by(|a, b| self.age(a).cmp(&self.age(b)))
    }

    fn age<'r>(&self, (file, record): &(&String, &'r Arc<Record>)) -> (bool, &'r str, &'r str) {
        let is_there = !self.gone.contains(*file);
        (is_there, &record.time, &record.container_id)
    }

    /// Remembers that the namespace of the pod's newest record is gone; whether another record is left
    /// to go by. One that was found is no more then: what told of it may tell of another by now.
    pub fn proved_gone(&mut self, uid: &str) -> bool {
        let file = self.newest_file(uid).map(|(file, _)| file.clone());
        match file.filter(|file| self.found.contains_key(file)) {
            Some(found) => drop(self.forget(&found)),
            None => self
                .gone
                .extend(self.newest_file(uid).map(|(file, _)| file.clone())),
        }
        self.newest_file(uid)
            .is_some_and(|(file, _)| !self.gone.contains(file))
    }
}

/// Old runtimes pass no uid: the sandbox's own id stands for it.
fn uid_of(record: &Record) -> String {
    record
        .pod_uid
        .clone()
        .unwrap_or_else(|| record.container_id.clone())
}

#[cfg(test)]
mod tests;
