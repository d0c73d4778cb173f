//! Writes the versions in force into the stores, with the metadata that an API server would assign, and returns a
//! trigger for each difference. Readers of the stores never see a refused version.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use kube::runtime::watcher::Event;
use store::{Refusal, StoreWriter, Trigger};

use super::{
    identity::Identities,
    index::{ManifestIndex, Touched},
    key::ManifestKey,
    object::{self, ManifestObject},
};

pub struct ManifestStores {
    writer: StoreWriter,
    identities: Identities,
    /// The objects in the stores, as parsed from the manifests.
    in_force: BTreeMap<ManifestKey, Arc<ManifestObject>>,
}

impl ManifestStores {
    pub fn new(writer: StoreWriter) -> Self {
        Self {
            writer,
            identities: Identities::default(),
            in_force: BTreeMap::new(),
        }
    }

    pub fn refusals(&mut self, refusals: Arc<[Refusal]>) {
        self.writer.refusals(refusals);
    }

    /// Fills the stores for the first time; `modified` gives the creation time of objects that have none restored.
    pub fn fill(
        &mut self,
        identities: Identities,
        index: &ManifestIndex,
        touched: &Touched,
        modified: impl Fn(&str) -> SystemTime,
    ) {
        self.identities = identities;
        self.writer.ready();
        for key in touched {
            let seen = index
                .in_force(key)
                .map_or_else(SystemTime::now, |(file, _)| modified(file));
            self.put(index, key, seen);
        }
        let in_force = &self.in_force;
        self.identities.keep(|key| in_force.contains_key(key));
    }

    /// Brings the stores up to date with the index.
    pub fn settle(&mut self, index: &ManifestIndex, touched: &Touched) -> Vec<Trigger> {
        let now = SystemTime::now();
        let mut triggers = Vec::new();
        for key in touched {
            let old = self.in_force.get(key).cloned();
            if self.put(index, key, now) {
                let new = self.in_force.get(key);
                // The old version may concern other pods than the new one.
                let versions = old.iter().chain(new);
                triggers.extend(versions.map(|object| object.trigger()));
            }
        }
        triggers.dedup();
        triggers
    }

    fn put(&mut self, index: &ManifestIndex, key: &ManifestKey, seen: SystemTime) -> bool {
        let new = index
            .in_force(key)
            .map(|(_, provided)| provided.object.clone());
        if self.in_force.get(key) == new.as_ref() {
            return false;
        }
        match new {
            Some(object) => {
                self.apply(key, &*object, seen);
                self.in_force.insert(key.clone(), object);
            }
            None => {
                let old = self.in_force.remove(key);
                old.iter()
                    .for_each(|object| object.delete(&mut self.writer));
                self.identities.forget(key);
            }
        }
        true
    }

    /// A PodConfig gets the metadata that an API server assigns.
    fn apply(&mut self, key: &ManifestKey, object: &ManifestObject, seen: SystemTime) {
        match object::podconfig(object) {
            Some(podconfig) => {
                let mut podconfig = podconfig.clone();
                self.identities.stamp(key, &mut podconfig, seen);
                self.writer.apply(&Event::Apply(podconfig));
            }
            None => object.apply(&mut self.writer),
        }
    }
}
