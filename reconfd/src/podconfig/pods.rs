//! The pods of this node: their records, found by uid, by name and by file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use cni_plugin::record::{Record, RecordErrorKind, RecordFolder};
use crds::{Reason, report::RecordSource};

use crate::{scope::Scope, source};

/// Pods whose last record went.
mod departed;
/// Records of sandboxes that have ended.
pub mod ended;
/// Records that nobody wrote.
pub mod found;
/// Pure: records by what they are looked up by.
mod index;
/// What is known of one pod.
mod recorded;
/// Pods that could not use a link.
pub mod unsupported;
use departed::Departed;
use index::{RecordIndex, uid_of};
pub use recorded::{RecordedPod, UnrecordedPod};
use unsupported::Unsupported;

pub struct Pods {
    folder: RecordFolder,
    /// Records of pods that another copy serves are none of ours.
    scope: Scope,
    records: RecordIndex,
    /// Of those, what is not in the folder, and what told of it.
    found: BTreeMap<String, RecordSource>,
    unsupported: Unsupported,
    /// Sandboxes whose record the plugin took away, and when.
    ended: HashMap<String, Instant>,
    /// Pods whose last record went a while ago.
    departed: Departed,
    /// Files of records whose namespace was looked for and is not there, and since when.
    gone: BTreeMap<String, (Arc<Record>, Instant)>,
    /// Kubernetes namespaces of records that came, went, or whose namespace did, since the last look.
    changed: BTreeSet<String>,
    /// Files that are no records, and why.
    bad: BTreeMap<String, String>,
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
            bad: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// What a daemon left half done that was ended while it deleted a record.
    pub fn restore(&self) {
        match self.folder.restore() {
            Ok(0) => (),
            Ok(records) => tracing::info!(records, "restored records that were being deleted"),
            Err(error) => tracing::error!("restore records: {error}"),
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
        let before = std::mem::take(&mut self.records);
        let namespaces = before.all().map(|(_, record)| &record.pod_namespace);
        self.changed.extend(namespaces.cloned());
        self.bad
            .retain(|file, _| listed.iter().any(|(listed, _)| listed == file));
        self.unread.clear();
        for (file, record) in listed {
            match record {
                Ok(record) => touched.extend(self.written(file, record)),
                Err(error) if error.kind == RecordErrorKind::Io => {
                    self.cannot_read(&file, &error.to_string());
                    let known = before.get(&file).cloned();
                    known.map(|record| self.insert(file, record));
                }
                Err(error) => self.doubt(&file, &error.to_string()),
            }
        }
        self.give_back(found);
        let records = &self.records;
        self.gone
            .retain(|file, (record, _)| records.get(file) == Some(record));
        before
            .all()
            .for_each(|(_, record)| self.has_departed(record));
        touched
    }

    fn doubt(&mut self, file: &str, why: &str) {
        if self.bad.insert(file.into(), why.into()).as_deref() != Some(why) {
            tracing::warn!(file = ?file, reason = %Reason::BadRecord, "{why}");
        }
    }

    /// What the record says is not known, and what it said stays. It is read again soon.
    fn cannot_read(&mut self, file: &str, why: &str) {
        self.doubt(file, why);
        self.unread.insert(file.into());
    }

    /// Records that could not be read, for a reason that may have passed.
    pub fn unread(&self) -> Vec<String> {
        self.unread.iter().cloned().collect()
    }

    /// Whether there is a file in the folder that is no record.
    pub fn has_invalid_records(&self) -> bool {
        !self.bad.is_empty()
    }

    /// Reads one record again; uids of the pods that it speaks of or spoke of.
    pub fn read(&mut self, file: &str) -> Vec<String> {
        let read = self.folder.read(file);
        self.unread.remove(file);
        if let Err(error) = &read
            && error.kind == RecordErrorKind::Io
        {
            self.cannot_read(file, &error.to_string());
            return Vec::new();
        }
        let written = self.written_container(file);
        let mut touched: Vec<String> = self.forget(file).into_iter().collect();
        match read {
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
        self.departed.is_back(&uid);
        self.changed.insert(record.pod_namespace.clone());
        self.records.insert(file, record);
        uid
    }

    fn forget(&mut self, file: &str) -> Option<String> {
        self.gone.remove(file);
        self.found.remove(file);
        let record = self.records.remove(file)?;
        self.changed.insert(record.pod_namespace.clone());
        self.has_departed(&record);
        Some(uid_of(&record))
    }

    fn has_departed(&mut self, record: &Arc<Record>) {
        let uid = uid_of(record);
        if !self.has(&uid) {
            self.departed.add(uid, record.clone(), Instant::now());
        }
    }

    /// The record that a pod had until a moment ago.
    pub fn departed(&self, uid: &str) -> Option<&departed::Record> {
        self.departed.get(uid, Instant::now())
    }

    /// Kubernetes namespaces where the pods are not what they were at the last call.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    pub fn uids(&self) -> Vec<String> {
        self.records.uids().cloned().collect()
    }

    /// The pod that comes next in the order of uids, from the start again behind the last.
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

    /// The Kubernetes namespaces that there are records of.
    pub fn namespaces(&self) -> impl Iterator<Item = String> {
        self.records.namespaces().cloned()
    }

    /// Whether a namespace may have more pods than so many.
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

    /// Whether the folder of records is there: without it a record that is missing says nothing.
    pub fn has_folder(&self) -> bool {
        self.folder.path().is_dir()
    }

    /// Whether a record speaks of any pod of this name.
    pub fn has_name_of(&self, object: &source::Pod) -> bool {
        let meta = &object.metadata;
        let names = meta.namespace.as_deref().zip(meta.name.as_deref());
        names
            .is_some_and(|(namespace, name)| self.records.of_name(namespace, name).next().is_some())
    }

    pub fn uids_of(&self, namespace: &str, name: &str) -> BTreeSet<String> {
        let of = self.records.of_name(namespace, name);
        of.map(|(_, record)| uid_of(record)).collect()
    }

    /// The newest record of a pod: a sandbox that was made again has a later one. One whose namespace is
    /// gone is not the newest while there is another.
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

    /// Remembers that the namespace of the pod's newest record is gone; whether another record is left
    /// to go by. One that was found is no more then: what told of it may tell of another by now.
    pub fn proved_gone(&mut self, uid: &str) -> bool {
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
