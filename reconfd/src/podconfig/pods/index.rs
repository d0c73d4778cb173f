//! Pure: records indexed by file, pod, name, sandbox and network namespace. No lookup walks over
//! all of them: an event about one pod must not cost more on a full node.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sandbox_record::Record;

/// Sorted. Usually there is one: a set would take six times the memory.
#[derive(Default)]
struct Files(Vec<String>);

impl Files {
    fn insert(&mut self, file: &str) {
        let place = self.0.binary_search_by(|other| other.as_str().cmp(file));
        if let Err(at) = place {
            self.0.reserve_exact(1);
            self.0.insert(at, file.to_owned());
        }
    }

    /// Removes a file; returns whether it was the last one.
    fn remove(&mut self, file: &str) -> bool {
        self.0.retain(|other| other != file);
        self.0.is_empty()
    }
}

#[derive(Default)]
pub struct RecordIndex {
    records: BTreeMap<String, Arc<Record>>,
    by_uid: BTreeMap<String, Files>,
    /// By the pod's namespace, then by its name.
    by_name: HashMap<String, BTreeMap<String, Files>>,
    by_container: HashMap<String, Files>,
    /// By boot id and cookie, which is unique within one boot; in the order in which they were
    /// read.
    by_netns: HashMap<(String, u64), Vec<String>>,
}

impl RecordIndex {
    pub fn insert(&mut self, file: String, record: Arc<Record>) {
        self.remove(&file);
        let (namespace, name) = (record.pod_namespace.clone(), record.pod_name.clone());
        let names = self.by_name.entry(namespace).or_default();
        names.entry(name).or_default().insert(&file);
        let of_pod = self.by_uid.entry(uid_of(&record)).or_default();
        of_pod.insert(&file);
        let of_sandbox = self.by_container.entry(record.container_id.clone());
        of_sandbox.or_default().insert(&file);
        let of_netns = self.by_netns.entry(netns_of(&record)).or_default();
        of_netns.push(file.clone());
        self.records.insert(file, record);
    }

    pub fn remove(&mut self, file: &str) -> Option<Arc<Record>> {
        let record = self.records.remove(file)?;
        drop_file(&mut self.by_uid, &uid_of(&record), file);
        if let Some(names) = self.by_name.get_mut(&record.pod_namespace) {
            drop_file(names, &record.pod_name, file);
            if names.is_empty() {
                self.by_name.remove(&record.pod_namespace);
            }
        }
        let of_sandbox = self.by_container.get_mut(&record.container_id);
        if of_sandbox.is_some_and(|files| files.remove(file)) {
            self.by_container.remove(&record.container_id);
        }
        let netns = netns_of(&record);
        if let Some(files) = self.by_netns.get_mut(&netns) {
            files.retain(|other| other != file);
            if files.is_empty() {
                self.by_netns.remove(&netns);
            }
        }
        Some(record)
    }

    pub fn get(&self, file: &str) -> Option<&Arc<Record>> {
        self.records.get(file)
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &Arc<Record>)> {
        self.records.iter()
    }

    /// The records of a pod, with their files.
    pub fn of_pod(&self, uid: &str) -> impl Iterator<Item = (&String, &Arc<Record>)> {
        self.with_records(self.by_uid.get(uid))
    }

    /// The records of all pods that have or had this name.
    pub fn of_name(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = (&String, &Arc<Record>)> {
        let names = self.by_name.get(namespace);
        self.with_records(names.and_then(|names| names.get(name)))
    }

    /// The files of a sandbox, one for each of its interfaces.
    pub fn of_container(&self, container: &str) -> impl Iterator<Item = &String> {
        let files = self.by_container.get(container);
        files.into_iter().flat_map(|files| &files.0)
    }

    /// The records of all pods of a Kubernetes namespace.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Record>> {
        let names = self.by_name.get(namespace).into_iter();
        let files = names.flat_map(BTreeMap::values).flat_map(|files| &files.0);
        files.filter_map(|file| self.records.get(file))
    }

    /// All Kubernetes namespaces with records.
    pub fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// The uid of the pod whose record of this network namespace was read first.
    pub fn owner(&self, boot_id: &str, cookie: u64) -> Option<String> {
        let files = self.by_netns.get(&(boot_id.to_owned(), cookie))?;
        files
            .first()
            .and_then(|file| self.get(file))
            .map(|r| uid_of(r))
    }

    pub fn uids(&self) -> impl Iterator<Item = &String> {
        self.by_uid.keys()
    }

    pub fn has(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    pub fn pods(&self) -> usize {
        self.by_uid.len()
    }

    /// The next uid in order; wraps around.
    pub fn uid_after(&self, uid: Option<&str>) -> Option<&String> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = uid.map_or(Unbounded, Excluded);
        let mut later = self.by_uid.range::<str, _>((behind, Unbounded));
        later
            .next()
            .or_else(|| self.by_uid.first_key_value())
            .map(|(uid, _)| uid)
    }

    fn with_records<'i>(
        &'i self,
        files: Option<&'i Files>,
    ) -> impl Iterator<Item = (&'i String, &'i Arc<Record>)> {
        let files = files.into_iter().flat_map(|files| &files.0);
        files.filter_map(|file| self.records.get_key_value(file))
    }
}

fn drop_file(map: &mut BTreeMap<String, Files>, key: &str, file: &str) {
    if map.get_mut(key).is_some_and(|files| files.remove(file)) {
        map.remove(key);
    }
}

fn netns_of(record: &Record) -> (String, u64) {
    (record.boot_id.clone(), record.cookie)
}

/// Old runtimes pass no uid: the sandbox's id is used instead.
pub fn uid_of(record: &Record) -> String {
    record
        .pod_uid
        .clone()
        .unwrap_or_else(|| record.container_id.clone())
}

#[cfg(test)]
mod tests;
