//! Records from verified hints, for pods that the plugin has not recorded. They are kept in memory
//! only, while the hint exists; a restarted daemon gets and verifies the hint again. The record
//! folder has one writer.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::report::RecordSource;
use node::verify_netns::VerifiedNetns;
use sandbox_record::{Record, SCHEMA, since_boot_of, time_of};
use store::Stores;

use super::{Pods, index::uid_of};
use crate::backfill::SandboxHint;

impl Pods {
    /// Adds a record from a hint; returns the uid of its pod.
    pub fn add_found(&mut self, record: Record, source: RecordSource) -> Result<String, String> {
        if let Some((field, problem)) = record.invalid_field() {
            return Err(format!("{field}: {problem}"));
        }
        let file = self.folder.file_name(&record.container_id, &record.ifname);
        let file = file.map_err(|error| error.to_string())?;
        self.forget(&file);
        self.found.insert(file.clone(), source);
        Ok(self.insert(file, Arc::new(record)))
    }

    /// The pod that already has the network namespace, if it is another one.
    pub fn other_owner(&self, record: &Record, uid: &str) -> Option<String> {
        let owner = self.records.owner(&record.boot_id, record.cookie);
        owner.filter(|owner| owner != uid)
    }

    /// Forgets the records of a namespace whose hint is gone; returns the uids of their pods.
    pub fn retain_hinted(
        &mut self,
        namespace: &str,
        is_hinted: impl Fn(&Record, RecordSource) -> bool,
    ) -> Vec<String> {
        let unhinted = |(file, source): (&String, &RecordSource)| {
            let record = self.records.get(file)?;
            let gone = record.pod_namespace == namespace && !is_hinted(record, *source);
            gone.then(|| file.clone())
        };
        let unhinted: Vec<String> = self.found.iter().filter_map(unhinted).collect();
        let forgotten = unhinted.iter().filter_map(|file| self.forget(file));
        forgotten.collect()
    }

    /// Number of pods by source of their record.
    pub fn counts(&self) -> [(RecordSource, usize); 3] {
        let files = self.found.keys();
        let uids: BTreeSet<String> = files
            .filter_map(|file| Some(uid_of(self.records.get(file)?)))
            .collect();
        let newest = uids.iter().filter_map(|uid| self.newest_file(uid));
        let by: Vec<RecordSource> = newest.map(|(file, _)| self.source_of(file)).collect();
        let of = |source| by.iter().filter(|by| **by == source).count();
        let found = of(RecordSource::Cache) + of(RecordSource::Cri);
        RecordSource::ALL.map(|source| match source {
            RecordSource::Plugin => (source, self.count() - found),
            _ => (source, of(source)),
        })
    }

    pub(super) fn source_of(&self, file: &str) -> RecordSource {
        self.found
            .get(file)
            .copied()
            .unwrap_or(RecordSource::Plugin)
    }

    /// A record of the plugin replaces those from hints for the same sandbox.
    pub(super) fn replace_found(&mut self, record: &Record) {
        let same = self.records.of_container(&record.container_id);
        let same = same.filter(|file| self.found.contains_key(*file));
        let same: Vec<String> = same.cloned().collect();
        same.iter().for_each(|file| drop(self.forget(file)));
    }

    /// Takes the records from hints out, while the folder is read again.
    pub(super) fn take_found(&mut self) -> Vec<(String, Arc<Record>, RecordSource)> {
        let found = std::mem::take(&mut self.found);
        let records = &mut self.records;
        let taken = found
            .into_iter()
            .filter_map(|(file, source)| Some((file.clone(), records.remove(&file)?, source)));
        taken.collect()
    }

    pub(super) fn restore_found(&mut self, found: Vec<(String, Arc<Record>, RecordSource)>) {
        let written: HashSet<String> = self
            .records
            .all()
            .map(|(_, record)| record.container_id.clone())
            .collect();
        for (file, record, source) in found {
            if !written.contains(&record.container_id) {
                self.found.insert(file.clone(), source);
                self.insert(file, record);
            }
        }
    }

    /// Pods of a namespace that run here without a valid record.
    pub fn without_record(&self, namespace: &str, stores: &Stores) -> Vec<Arc<store::Pod>> {
        let gone = self.names_of_gone(namespace);
        let is_recorded = self.is_recorded(namespace);
        let is_lost = |object: &Arc<store::Pod>| {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            !object.has_ended() && (!is_recorded(object) || gone.contains(name))
        };
        stores
            .pods_of(namespace)
            .into_iter()
            .filter(is_lost)
            .collect()
    }

    /// Names of pods whose records are all of namespaces that are gone.
    fn names_of_gone(&self, namespace: &str) -> HashSet<&str> {
        let records = self.gone.keys().filter_map(|file| self.records.get(file));
        let here = records.filter(|record| record.pod_namespace == namespace);
        let is_lost = |record: &&Arc<Record>| self.is_gone(&uid_of(record));
        here.filter(is_lost)
            .map(|record| record.pod_name.as_str())
            .collect()
    }
}

/// DEL calls the plugin first in the chain: the runtime's hint outlives the record by up to this
/// time.
const ENDING: Duration = Duration::from_secs(10);

impl Pods {
    /// The Kubernetes namespace of a record file.
    pub fn namespace_of(&self, file: &str) -> Option<String> {
        let record = self.records.get(file)?;
        Some(record.pod_namespace.clone())
    }

    /// The sandbox of a record that the plugin wrote.
    pub(super) fn plugin_container(&self, file: &str) -> Option<String> {
        let record = self.records.get(file)?;
        let is_written = !self.found.contains_key(file);
        is_written.then(|| record.container_id.clone())
    }

    /// Remembers a sandbox whose record the plugin deleted.
    pub(super) fn note_ended(&mut self, container: Option<String>) {
        self.ended.retain(|_, at| at.elapsed() < ENDING);
        let now = Instant::now();
        self.ended
            .extend(container.map(|container| (container, now)));
    }

    /// Whether the runtime may be about to end a sandbox.
    pub fn has_just_ended(&self, container: &str) -> bool {
        let ended = self.ended.get(container);
        ended.is_some_and(|at| at.elapsed() < ENDING)
    }
}

/// The addresses in the pod's object that are unique to one namespace.
pub fn stated_addresses(object: &store::Pod) -> BTreeSet<IpAddr> {
    let stated = object.status.pod_ips.iter();
    let parsed = stated.filter_map(|pod_ip| pod_ip.ip.parse().ok());
    parsed.filter(tells_one_from_another).collect()
}

fn tells_one_from_another(address: &IpAddr) -> bool {
    let is_everywhere = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    };
    !is_everywhere && !address.is_unspecified() && !address.is_multicast()
}

/// The record as the plugin would have written it.
pub fn record_of(
    hint: &SandboxHint,
    object: &store::Pod,
    proved: &VerifiedNetns,
    boot_id: &str,
) -> Record {
    Record {
        schema: SCHEMA,
        pod_namespace: hint.namespace.clone(),
        pod_name: hint.pod.clone(),
        pod_uid: hint.uid.clone().or(object.metadata.uid.clone()),
        container_id: hint.container.clone(),
        ifname: hint.ifname.clone(),
        network: hint.network.clone(),
        netns: hint.netns.clone(),
        device: proved.identity.device,
        inode: proved.identity.inode,
        cookie: proved.identity.cookie,
        boot_id: boot_id.into(),
        addresses: proved.addresses.iter().map(ToString::to_string).collect(),
        annotations: std::collections::BTreeMap::new(),
        time: time_of(hint.since),
        since_boot: since_boot_of(hint.since),
    }
}

#[cfg(test)]
mod tests;
