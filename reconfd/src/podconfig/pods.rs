//! The pods of this node: their records, found by uid, by name and by file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use crds::{Reason, report::RecordSource};
use sandbox_record::{Record, RecordErrorKind, RecordFolder};

use store::scope::Scope;

/// Pods whose last record was deleted recently.
mod departed;
/// Records of sandboxes that have ended.
pub mod ended;
/// Records from verified hints.
pub mod found;
/// Pure: indexes of records.
mod index;
/// A pod with its record and object.
mod recorded;
/// Pods that cannot use links.
pub mod unsupported;
use departed::Departed;
use index::{RecordIndex, uid_of};
pub use recorded::{RecordedPod, UnrecordedPod};
use unsupported::Unsupported;

pub struct Pods {
    folder: RecordFolder,
    /// Records of pods that another installation serves are ignored.
    scope: Scope,
    records: RecordIndex,
    /// Records that are not in the folder, with their source.
    found: BTreeMap<String, RecordSource>,
    unsupported: Unsupported,
    /// Sandboxes whose record the plugin deleted, and when.
    ended: HashMap<String, Instant>,
    /// Pods whose last record was deleted recently.
    departed: Departed,
    /// Files of records whose namespace is missing, and since when.
    gone: BTreeMap<String, (Arc<Record>, Instant)>,
    /// Kubernetes namespaces with changed records or network namespaces, since the last call.
    changed: BTreeSet<String>,
    /// Files that are not valid records, and why.
    invalid: BTreeMap<String, String>,
    /// Files that could not be read.
    unread: BTreeSet<String>,
}

impl Pods {
    pub fn new(folder: RecordFolder, scope: Scope, unsupported: Unsupported) -> Self {
        Self {
            folder,
            scope,
            records: RecordIndex::default(),
            found: BTreeMap::new(),
            unsupported,
            ended: HashMap::new(),
            departed: Departed::default(),
            gone: BTreeMap::new(),
            changed: BTreeSet::new(),
            invalid: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// Restores records that a daemon was deleting when it was stopped.
    pub fn restore(&self) {
        match self.folder.restore() {
            Ok(0) => (),
            Ok(records) => tracing::info!(records, "restored records that were being deleted"),
            Err(error) => tracing::error!("cannot restore records: {error}"),
        }
    }

    /// Reads the whole folder again; returns the uids of all pods with a record, before or now.
    pub fn read_all(&mut self) -> Vec<String> {
        let mut touched = self.uids();
        let listed = match self.folder.list() {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::error!("cannot list records: {error}");
                return touched;
            }
        };
        let found = self.take_found();
        let before = std::mem::take(&mut self.records);
        let namespaces = before.all().map(|(_, record)| &record.pod_namespace);
        self.changed.extend(namespaces.cloned());
        self.invalid
            .retain(|file, _| listed.iter().any(|(listed, _)| listed == file));
        self.unread.clear();
        for (file, record) in listed {
            match record {
                Ok(record) => touched.extend(self.add_written(file, record)),
                Err(error) if error.kind == RecordErrorKind::Io => {
                    self.mark_unreadable(&file, &error.to_string());
                    let known = before.get(&file).cloned();
                    known.map(|record| self.insert(file, record));
                }
                Err(error) => self.mark_invalid(&file, &error.to_string()),
            }
        }
        self.restore_found(found);
        let records = &self.records;
        self.gone
            .retain(|file, (record, _)| records.get(file) == Some(record));
        before
            .all()
            .for_each(|(_, record)| self.note_departure(record));
        touched
    }

    fn mark_invalid(&mut self, file: &str, why: &str) {
        if self.invalid.insert(file.into(), why.into()).as_deref() != Some(why) {
            tracing::warn!(file = ?file, reason = %Reason::BadRecord, "{why}");
        }
    }

    /// The content is unknown, so the earlier record stays. It is read again soon.
    fn mark_unreadable(&mut self, file: &str, why: &str) {
        self.mark_invalid(file, why);
        self.unread.insert(file.into());
    }

    /// Records that could not be read, for a transient reason.
    pub fn unread(&self) -> Vec<String> {
        self.unread.iter().cloned().collect()
    }

    /// Whether there is a file in the folder that is not a valid record.
    pub fn has_invalid_records(&self) -> bool {
        !self.invalid.is_empty()
    }

    /// Reads one record again; returns the uids of its pods, before and now.
    pub fn read(&mut self, file: &str) -> Vec<String> {
        let read = self.folder.read(file);
        self.unread.remove(file);
        if let Err(error) = &read
            && error.kind == RecordErrorKind::Io
        {
            self.mark_unreadable(file, &error.to_string());
            return Vec::new();
        }
        let written = self.plugin_container(file);
        let mut touched: Vec<String> = self.forget(file).into_iter().collect();
        match read {
            Ok(record) => touched.extend(self.add_written(file.into(), record)),
            Err(error) if error.kind == RecordErrorKind::Missing => {
                self.invalid.remove(file);
                self.note_ended(written);
            }
            Err(error) if error.kind == RecordErrorKind::BadName && !self.is_listed(file) => {
                self.invalid.remove(file);
            }
            Err(error) => self.mark_invalid(file, &error.to_string()),
        }
        touched
    }

    /// Lists all names: an event gives a name that is not valid UTF-8 in another spelling.
    fn is_listed(&self, file: &str) -> bool {
        let names = std::fs::read_dir(self.folder.path());
        let mut names = names.into_iter().flatten().flatten();
        names.any(|entry| entry.file_name().to_string_lossy() == file)
    }

    /// Adds a record that the plugin wrote.
    fn add_written(&mut self, file: String, record: Record) -> Option<String> {
        self.invalid.remove(&file);
        self.replace_found(&record);
        let is_ours = self.scope.serves(&record.pod_namespace);
        is_ours.then(|| self.insert(file, Arc::new(record)))
    }

    fn insert(&mut self, file: String, record: Arc<Record>) -> String {
        let uid = uid_of(&record);
        self.departed.remove(&uid);
        self.changed.insert(record.pod_namespace.clone());
        self.records.insert(file, record);
        uid
    }

    fn forget(&mut self, file: &str) -> Option<String> {
        self.gone.remove(file);
        self.found.remove(file);
        let record = self.records.remove(file)?;
        self.changed.insert(record.pod_namespace.clone());
        self.note_departure(&record);
        Some(uid_of(&record))
    }

    fn note_departure(&mut self, record: &Arc<Record>) {
        let uid = uid_of(record);
        if !self.has(&uid) {
            self.departed.add(uid, record.clone(), Instant::now());
        }
    }

    /// The recently deleted record of a pod.
    pub fn departed(&self, uid: &str) -> Option<&departed::Record> {
        self.departed.get(uid, Instant::now())
    }

    /// Kubernetes namespaces whose pods have changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    pub fn uids(&self) -> Vec<String> {
        self.records.uids().cloned().collect()
    }

    /// The next pod in the order of uids; wraps around.
    pub fn uid_after(&self, uid: Option<&str>) -> Option<String> {
        self.records.uid_after(uid).cloned()
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub fn count(&self) -> usize {
        self.records.pods()
    }

    pub fn has(&self, uid: &str) -> bool {
        self.records.has(uid)
    }

    pub fn uids_in(&self, namespace: &str) -> BTreeSet<String> {
        let here = self.records.in_namespace(namespace);
        here.map(|record| uid_of(record)).collect()
    }

    /// The Kubernetes namespaces with records.
    pub fn namespaces(&self) -> impl Iterator<Item = String> {
        self.records.namespaces().cloned()
    }

    /// Whether a namespace may have more pods than the limit.
    pub fn has_more_than(&self, limit: usize, namespace: &str) -> bool {
        self.records.in_namespace(namespace).nth(limit).is_some()
    }

    /// The pods of a namespace that count, the oldest first.
    pub fn in_order(&self, namespace: &str, counts: impl Fn(&String) -> bool) -> Vec<String> {
        let uids = self.uids_in(namespace).into_iter().filter(counts);
        let aged = uids.filter_map(|uid| Some((self.newest(&uid)?, uid)));
        let mut aged: Vec<(&Arc<Record>, String)> = aged.collect();
        aged.sort_by(|a, b| (a.0.age(), &a.1).cmp(&(b.0.age(), &b.1)));
        aged.into_iter().map(|(_, uid)| uid).collect()
    }

    /// Whether the folder of records exists: without it a missing record means nothing.
    pub fn has_folder(&self) -> bool {
        self.folder.path().is_dir()
    }

    /// Whether there is a record of any pod of this name.
    pub fn has_name_of(&self, object: &store::Pod) -> bool {
        let meta = &object.metadata;
        let names = meta.namespace.as_deref().zip(meta.name.as_deref());
        names
            .is_some_and(|(namespace, name)| self.records.of_name(namespace, name).next().is_some())
    }

    pub fn uids_of(&self, namespace: &str, name: &str) -> BTreeSet<String> {
        let of = self.records.of_name(namespace, name);
        of.map(|(_, record)| uid_of(record)).collect()
    }

    /// The newest record of a pod: a recreated sandbox has a later one. One whose namespace is gone
    /// is not the newest while there is another.
    fn newest(&self, uid: &str) -> Option<&Arc<Record>> {
        self.newest_file(uid).map(|(_, record)| record)
    }

    fn newest_file(&self, uid: &str) -> Option<(&String, &Arc<Record>)> {
        self.newest_of(self.records.of_pod(uid))
    }

    fn newest_of<'r>(
        &self,
        records: impl Iterator<Item = (&'r String, &'r Arc<Record>)>,
    ) -> Option<(&'r String, &'r Arc<Record>)> {
        records.max_by(|a, b| self.age(a).cmp(&self.age(b)))
    }

    fn age<'r>(&self, (file, record): &(&String, &'r Arc<Record>)) -> impl Ord + use<'r> {
        let is_there = !self.gone.contains_key(*file);
        (is_there, record.age(), record.container_id.as_str())
    }

    /// Marks the namespace of the pod's newest record as gone; returns whether another record is
    /// left. A record from a hint is dropped: the hint may be about another sandbox by now.
    pub fn mark_newest_gone(&mut self, uid: &str) -> bool {
        let file = self.newest_file(uid).map(|(file, _)| file.clone());
        match file {
            Some(found) if self.found.contains_key(&found) => drop(self.forget(&found)),
            Some(file) => self.mark_gone(&file),
            None => (),
        }
        self.newest_file(uid)
            .is_some_and(|(file, _)| !self.gone.contains_key(file))
    }
}

#[cfg(test)]
mod tests;
