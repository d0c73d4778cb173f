//! Records of sandboxes that have ended without the plugin's DEL: the runtime was killed, or never calls
//! it (CRI-O, for plugins of a drop-in folder). The plugin alone writes records; the daemon only deletes
//! one whose namespace is gone and whose pod is known to have ended or to have another sandbox.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cni_plugin::record::{Record, RecordError};

use super::{Pods, index::uid_of};
use crate::source::Stores;

impl Pods {
    /// Remembers that a record's namespace was looked for and is not there.
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

    /// Takes that back: it only could not be seen for a while.
    pub fn is_there(&mut self, file: &str) {
        if let Some((record, _)) = self.gone.remove(file) {
            self.changed.insert(record.pod_namespace.clone());
        }
    }

    /// The same for the newest record of a pod.
    pub fn mark_present_newest(&mut self, uid: &str) {
        if !self.gone.is_empty()
            && let Some(file) = self.newest_file(uid).map(|(file, _)| file.clone())
        {
            self.is_there(&file);
        }
    }

    /// For how long a record's namespace has been gone.
    pub fn gone_for(&self, file: &str) -> Option<Duration> {
        self.gone.get(file).map(|(_, since)| since.elapsed())
    }

    /// Whether the pod has no record of a namespace that is there, as far as was looked.
    pub fn is_gone(&self, uid: &str) -> bool {
        let mut files = self.records.of_pod(uid).map(|(file, _)| file);
        files.all(|file| self.gone.contains_key(file))
    }

    /// Records that the plugin wrote and whose sandbox has ended, as far as records and objects tell. The
    /// last word has the namespace.
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

    /// Whether the pod's object says that this sandbox is none any more, or a newer record of the pod does.
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
            // Of a pod without a uid each sandbox goes as a pod of its own.
            None => self.newest_of(
                self.records
                    .of_name(&record.pod_namespace, &record.pod_name),
            ),
        };
        newest.is_some_and(|(newest, other)| {
            newest != file && other.cookie != record.cookie && !self.gone.contains_key(newest)
        })
    }

    /// Deletes a record that is proved dead, unless the plugin has written another in its place since. The
    /// uid of its pod, where it was deleted.
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
