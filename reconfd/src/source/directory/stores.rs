//! Writes the versions in force into the stores, with the metadata that an API server would assign, and returns a
//! trigger for each difference. Readers of the stores never see a refused version.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{core::PartialObjectMeta, runtime::watcher::Event};

use super::{
    identity::Identities,
    index::{ManifestIndex, Touched},
    key::ManifestKey,
    parse::Object,
};
use crate::source::{Refusal, StoreWriter, Trigger};

pub struct ManifestStores {
    writer: StoreWriter,
    identities: Identities,
    /// The objects in the stores, as parsed from the manifests.
    in_force: BTreeMap<ManifestKey, Arc<Object>>,
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
                triggers.extend(versions.map(|object| trigger(key, object)));
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
                self.apply(key, &object, seen);
                self.in_force.insert(key.clone(), object);
            }
            None => {
                let old = self.in_force.remove(key);
                old.iter().for_each(|object| self.delete(object));
                self.identities.forget(key);
            }
        }
        true
    }

    fn apply(&mut self, key: &ManifestKey, object: &Object, seen: SystemTime) {
        match object {
            Object::PodConfig(podconfig) => {
                let mut podconfig = podconfig.clone();
                self.identities.stamp(key, &mut podconfig, seen);
                self.writer.podconfig(&Event::Apply(*podconfig));
            }
            Object::Policy(policy) => self.writer.policy(&Event::Apply(*policy.clone())),
            Object::PeerSlice(slice) => self.writer.peer_slice(&Event::Apply(*slice.clone())),
            Object::Pod(pod) => self.writer.pod(&Event::Apply(*pod.clone())),
            Object::Namespace(metadata) => self.writer.namespace(&Event::Apply(partial(metadata))),
        }
    }

    fn delete(&mut self, object: &Object) {
        match object {
            Object::PodConfig(podconfig) => {
                self.writer.podconfig(&Event::Delete(*podconfig.clone()))
            }
            Object::Policy(policy) => self.writer.policy(&Event::Delete(*policy.clone())),
            Object::PeerSlice(slice) => self.writer.peer_slice(&Event::Delete(*slice.clone())),
            Object::Pod(pod) => self.writer.pod(&Event::Delete(*pod.clone())),
            Object::Namespace(metadata) => self.writer.namespace(&Event::Delete(partial(metadata))),
        }
    }
}

fn partial<K>(metadata: &ObjectMeta) -> PartialObjectMeta<K> {
    PartialObjectMeta {
        types: None,
        metadata: metadata.clone(),
        _phantom: std::marker::PhantomData,
    }
}

fn trigger(key: &ManifestKey, object: &Object) -> Trigger {
    let (namespace, name) = (key.namespace.clone(), key.name.clone());
    match object {
        Object::PodConfig(_) => Trigger::PodConfig { namespace, name },
        Object::Policy(_) => Trigger::Policy,
        Object::PeerSlice(slice) => Trigger::PeerSlice {
            namespace,
            vni: slice.spec.vni,
            port: slice.spec.port,
        },
        Object::Pod(_) => Trigger::Pod { namespace, name },
        Object::Namespace(_) => Trigger::Namespace(name),
    }
}
