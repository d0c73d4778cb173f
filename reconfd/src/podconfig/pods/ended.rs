//! Records of sandboxes that ended without the plugin's DEL: the runtime was killed, or never calls
//! it (CRI-O, for plugins of a drop-in folder). Only the plugin writes records; the daemon only
//! deletes one whose namespace is gone and whose pod is known to have ended or to have another
//! sandbox.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sandbox_record::{Record, RecordError};
use store::Stores;

use super::{Pods, index::uid_of};

impl Pods {
    /// Marks the network namespace of a record as gone.
    pub fn mark_gone(&mut self, file: &str) {
        let Some(record) = self.records.get(file) else {
            return;
        };
        if !self.gone.contains_key(file) {
            self.changed.insert(record.pod_namespace.clone());
            let gone = (record.clone(), Instant::now());
            self.gone.insert(file.into(), gone);
        }
    }

    /// Unmarks it: it was only invisible for a while.
    pub fn is_there(&mut self, file: &str) {
        if let Some((record, _)) = self.gone.remove(file) {
            self.changed.insert(record.pod_namespace.clone());
        }
    }

    /// Unmarks the newest record of a pod.
    pub fn unmark_newest_gone(&mut self, uid: &str) {
        if !self.gone.is_empty()
            && let Some(file) = self.newest_file(uid).map(|(file, _)| file.clone())
        {
            self.is_there(&file);
        }
    }

    /// How long the namespace of a record has been gone.
    pub fn gone_for(&self, file: &str) -> Option<Duration> {
        self.gone.get(file).map(|(_, since)| since.elapsed())
    }

    /// Whether all records of the pod are of namespaces that are marked as gone.
    pub fn is_gone(&self, uid: &str) -> bool {
        let mut files = self.records.of_pod(uid).map(|(file, _)| file);
        files.all(|file| self.gone.contains_key(file))
    }

    /// Records of the plugin whose sandbox has ended, by records and objects. The namespace itself
    /// decides.
    pub fn suspects(&self, stores: &Stores, boot_id: &str) -> Vec<(String, Arc<Record>)> {
        let all = self.records.all();
        let written = all.filter(|(file, _)| !self.found.contains_key(*file));
        let suspects = written.filter(|(file, record)| {
            record.boot_id != boot_id || self.is_over(file, record, stores)
        });
        suspects
            .map(|(file, record)| (file.clone(), record.clone()))
            .collect()
    }

    /// Whether the pod's object or a newer record shows that this sandbox has ended.
    fn is_over(&self, file: &str, record: &Record, stores: &Stores) -> bool {
        let object = stores.pod(&record.pod_namespace, &record.pod_name);
        let Some(object) = object else {
            return true;
        };
        let named = object.metadata.uid.as_ref().zip(record.pod_uid.as_ref());
        object.has_ended()
            || named.is_some_and(|(named, own)| named != own)
            || self.has_newer(file, record)
    }

    fn has_newer(&self, file: &str, record: &Record) -> bool {
        let newest = match &record.pod_uid {
            Some(uid) => self.newest_file(uid),
            // Each sandbox of a pod without a uid is treated as a pod of its own.
            None => self.newest_of(
                self.records
                    .of_name(&record.pod_namespace, &record.pod_name),
            ),
        };
        newest.is_some_and(|(newest, other)| {
            newest != file && other.cookie != record.cookie && !self.gone.contains_key(newest)
        })
    }

    /// Deletes the record of a dead sandbox, unless the plugin has replaced it. Returns the uid of
    /// its pod if it was deleted.
    pub fn delete(&mut self, file: &str, record: &Record) -> Result<Option<String>, RecordError> {
        if !self.folder.remove_unchanged(record)? {
            return Ok(None);
        }
        self.forget(file);
        Ok(Some(uid_of(record)))
    }
}

#[cfg(test)]
mod tests;
