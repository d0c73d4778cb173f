//! What is in force, put into the stores: each object stamped as an API server would, each difference
//! told as a change. Whoever reads the stores never sees a refused version.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{core::PartialObjectMeta, runtime::watcher::Event};

use super::{
    identity::Identities,
    key::Key,
    read::Object,
    shelf::{Shelf, Touched},
};
use crate::source::{Refusal, StoreWriter, Trigger};

pub struct ManifestStores {
    writer: StoreWriter,
    identities: Identities,
    /// What the stores hold, as the manifests say it.
    in_force: BTreeMap<Key, Arc<Object>>,
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

    /// The first filling; `modified` says since when a file is there, for what nobody remembers.
    pub fn fill(
        &mut self,
        identities: Identities,
        shelf: &Shelf,
        touched: &Touched,
        modified: impl Fn(&str) -> SystemTime,
    ) {
        self.identities = identities;
        self.writer.ready();
        for key in touched {
            let seen = shelf
                .in_force(key)
                .map_or_else(SystemTime::now, |(file, _)| modified(file));
            self.put(shelf, key, seen);
        }
        let in_force = &self.in_force;
        self.identities.keep(|key| in_force.contains_key(key));
    }

    /// Brings the stores up to date with the shelf.
    pub fn settle(&mut self, shelf: &Shelf, touched: &Touched) -> Vec<Trigger> {
        let now = SystemTime::now();
        let mut triggers = Vec::new();
        for key in touched {
            let old = self.in_force.get(key).cloned();
            if self.put(shelf, key, now) {
                let new = self.in_force.get(key);
                // What it spoke of before is not what it was, either.
                let versions = old.iter().chain(new);
                triggers.extend(versions.map(|object| trigger(key, object)));
            }
        }
        triggers.dedup();
        triggers
    }

    fn put(&mut self, shelf: &Shelf, key: &Key, seen: SystemTime) -> bool {
        let new = shelf
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

    fn apply(&mut self, key: &Key, object: &Object, seen: SystemTime) {
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

fn trigger(key: &Key, object: &Object) -> Trigger {
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
