//! Writes watch events into the stores. Only differences in fields that are used trigger a change, so that a status
//! update, a heartbeat or a relist costs no pass.

use std::time::Instant;

use crds::{AddressClaim, PeerSlice, PodConfig, PodConfigPolicy, ReservedNetworks};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, store::Store},
        watcher::Event,
    },
};
use kubeio::watch::{ObjectEvent, ObjectKey};

use super::retired::Retired;
use crate::{
    address::claims::{ClaimAllocator, claim_meta::ClaimName},
    scope::Scope,
    source::{
        NamespaceMeta, Pod, StoreWriter, Stores, Trigger, freshness::first_confirmation,
        pod::NETWORK_STATUS,
    },
};

pub struct StoreUpdater {
    writer: StoreWriter,
    stores: Stores,
    scope: Scope,
    installation: String,
    /// Slices that were deleted and are still in the store.
    retired: Retired,
    /// The claims of this node.
    claims: ClaimAllocator,
}

impl StoreUpdater {
    pub fn new(
        mut writer: StoreWriter,
        (scope, installation): (Scope, &str),
        claims: ClaimAllocator,
    ) -> Self {
        // Readers do not wait for the stores: reading starts after the initial lists are complete.
        writer.ready();
        let stores = writer.stores();
        Self {
            writer,
            stores,
            scope,
            installation: installation.to_owned(),
            retired: Retired::default(),
            claims,
        }
    }

    pub fn podconfig(&mut self, object_event: ObjectEvent<PodConfig>) -> Option<Trigger> {
        let (namespace, name) = self.served(&object_event)?;
        let (event, is_new) = event(object_event, &self.stores.podconfigs, |old, new| {
            old.spec == new.spec && is_same(old, new)
        })?;
        self.writer.podconfig(&event);
        is_new.then_some(Trigger::PodConfig { namespace, name })
    }

    pub fn policy(&mut self, object_event: ObjectEvent<PodConfigPolicy>) -> Option<Trigger> {
        let (event, is_new) = event(object_event, &self.stores.policies, |old, new| {
            old.spec == new.spec && is_same(old, new)
        })?;
        self.writer.policy(&event);
        is_new.then_some(Trigger::Policy)
    }

    pub fn namespace(&mut self, object_event: ObjectEvent<NamespaceMeta>) -> Option<Trigger> {
        let (_, name) = object_event.key();
        let (event, is_new) = event(object_event, &self.stores.namespaces, |old, new| {
            old.metadata.labels == new.metadata.labels
        })?;
        self.writer.namespace(&event);
        is_new.then_some(Trigger::Namespace(name))
    }

    /// A deleted slice stays in force for a while.
    pub fn peer_slice(
        &mut self,
        object_event: ObjectEvent<PeerSlice>,
        now: Instant,
    ) -> Option<Trigger> {
        let key = self.served(&object_event)?;
        let is_known = || {
            let known = self.stores.peer_slices.get(&reference(&key.0, &key.1));
            known.is_some()
        };
        match object_event {
            ObjectEvent::Deleted(_) if is_known() => {
                self.retired.deleted(key, now);
                None
            }
            ObjectEvent::Deleted(_) => None,
            ObjectEvent::Applied(_) => {
                self.retired.came_back(&key);
                self.put_slice(object_event)
            }
        }
    }

    /// Removes the slices that did not come back after their deletion. `may_come_back`: whether they are watched.
    pub fn expire_slices(&mut self, may_come_back: bool, now: Instant) -> Vec<Trigger> {
        if !may_come_back {
            self.retired.restart(now);
        }
        let gone = self.retired.expired(now).into_iter();
        gone.filter_map(|key| self.put_slice(ObjectEvent::Deleted(key)))
            .collect()
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.retired.next()
    }

    fn put_slice(&mut self, object_event: ObjectEvent<PeerSlice>) -> Option<Trigger> {
        let (namespace, name) = self.served(&object_event)?;
        let known = self.stores.peer_slices.get(&reference(&namespace, &name));
        let (event, is_new) = event(object_event, &self.stores.peer_slices, |old, new| {
            old.spec == new.spec
        })?;
        self.writer.peer_slice(&event);
        let (Event::Apply(slice) | Event::Delete(slice)) = &event else {
            return None;
        };
        let segment = |slice: &PeerSlice| (slice.spec.vni, slice.spec.port);
        let (vni, port) = segment(slice);
        // A slice that changes its segment affects both.
        let change = match known.is_some_and(|known| segment(&known) != (vni, port)) {
            true => Trigger::Namespace(namespace),
            false => Trigger::PeerSlice {
                namespace,
                vni,
                port,
            },
        };
        is_new.then_some(change)
    }

    /// Of other installations, only the namespaces that they serve are used.
    pub fn reserved_networks(
        &mut self,
        object_event: ObjectEvent<ReservedNetworks>,
    ) -> Option<Trigger> {
        let is_served_otherwise = self.serves(&object_event);
        let is_new = self.own_networks(object_event);
        (is_served_otherwise || is_new.is_some()).then_some(Trigger::ReservedNetworks)
    }

    fn serves(&mut self, object_event: &ObjectEvent<ReservedNetworks>) -> bool {
        let (_, name) = object_event.key();
        let serves = match object_event {
            ObjectEvent::Applied(object) => object.spec.serves.clone(),
            ObjectEvent::Deleted(_) => None,
        };
        // No installation's name contains a dot: it distinguishes the lists of networks from the object about all of
        // them.
        !name.contains('.') && self.writer.serves(&name, serves)
    }

    /// Networks of this installation's controller alone. An unchanged object is a change only if the networks were
    /// stale before.
    fn own_networks(&mut self, object_event: ObjectEvent<ReservedNetworks>) -> Option<()> {
        let (_, name) = object_event.key();
        let rest = name.strip_prefix(&self.installation)?;
        if !(rest.is_empty() || rest.starts_with('.')) {
            return None;
        }
        let was_stale = self.stores.networks_confirmed.is_stale(Instant::now());
        if rest.is_empty() {
            self.renewed(&object_event);
        }
        let (event, is_new) = event(object_event, &self.stores.reserved_networks, |old, new| {
            let (old, new) = (&old.spec, &new.spec);
            (&old.networks, &old.sources) == (&new.networks, &new.sources)
        })?;
        self.writer.reserved_networks(&event);
        let is_known_again = was_stale && !self.stores.networks_confirmed.is_stale(Instant::now());
        (is_new || is_known_again).then_some(())
    }

    fn renewed(&self, object_event: &ObjectEvent<ReservedNetworks>) {
        let confirmed = &self.stores.networks_confirmed;
        let ObjectEvent::Applied(object) = object_event else {
            return confirmed.set(None);
        };
        let before = self
            .stores
            .reserved_networks
            .get(&ObjectRef::new(&self.installation));
        let now = Instant::now();
        match (&object.spec.renewed, before) {
            (None, _) => confirmed.set(None),
            (Some(renewed), None) => {
                confirmed.set(first_confirmation(renewed, Timestamp::now(), now))
            }
            (renewed, Some(before)) if before.spec.renewed != *renewed => confirmed.set(Some(now)),
            (Some(_), Some(_)) => (),
        }
    }

    pub fn pod(&mut self, object_event: ObjectEvent<Pod>) -> Option<Trigger> {
        let (namespace, name) = self.served(&object_event)?;
        let (event, is_new) = event(object_event, &self.stores.pods, is_same_pod)?;
        self.writer.pod(&event);
        is_new.then_some(Trigger::Pod { namespace, name })
    }

    /// The allocator notifies the affected pods itself.
    pub fn claim(&mut self, object_event: ObjectEvent<AddressClaim>) -> Option<Trigger> {
        match object_event {
            ObjectEvent::Applied(claim) => self.claims.applied(claim),
            ObjectEvent::Deleted((_, name)) => {
                ClaimName::parse(&name)
                    .iter()
                    .for_each(|name| self.claims.deleted(name));
            }
        }
        None
    }

    /// All claims of this node were listed.
    pub fn claims_synced(&self) {
        self.claims.set_synced();
    }

    fn served<K: Resource>(&self, object_event: &ObjectEvent<K>) -> Option<ObjectKey> {
        Some(object_event.key()).filter(|(namespace, _)| self.scope.serves(namespace))
    }
}

fn reference<K>(namespace: &str, name: &str) -> ObjectRef<K>
where
    K: Resource<DynamicType = ()>,
{
    match namespace {
        "" => ObjectRef::new(name),
        namespace => ObjectRef::new(name).within(namespace),
    }
}

/// The event for the store, and whether a used field has changed. The store gets the newest version in any case:
/// changing an object needs its resourceVersion.
fn event<K>(
    object_event: ObjectEvent<K>,
    store: &Store<K>,
    is_old: impl Fn(&K, &K) -> bool,
) -> Option<(Event<K>, bool)>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let (namespace, name) = object_event.key();
    let known = store.get(&reference(&namespace, &name));
    match object_event {
        ObjectEvent::Applied(new) => {
            let is_new = known.is_none_or(|old| !is_old(&old, &new));
            Some((Event::Apply(*new), is_new))
        }
        ObjectEvent::Deleted(_) => known.map(|old| (Event::Delete((*old).clone()), true)),
    }
}

/// Whether it is the same object and specification, not another object of its name.
fn is_same(old: &impl Resource, new: &impl Resource) -> bool {
    let (old, new) = (old.meta(), new.meta());
    (&old.uid, old.generation) == (&new.uid, new.generation)
}

/// Compares only used fields: the status of a running pod changes all the time.
fn is_same_pod(old: &Pod, new: &Pod) -> bool {
    let annotation = |pod: &Pod| {
        let annotations = pod.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(NETWORK_STATUS).cloned())
    };
    let awaits_gate = |pod: &Pod| pod.waits_for_links();
    let used_fields = |pod: &Pod| {
        let gate = pod.gate().cloned();
        (gate, pod.has_ended(), annotation(pod), awaits_gate(pod))
    };
    let is_going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    old.metadata.uid == new.metadata.uid
        && old.metadata.labels == new.metadata.labels
        && old.spec == new.spec
        && old.status.pod_ips == new.status.pod_ips
        && is_going(old) == is_going(new)
        && used_fields(old) == used_fields(new)
}

#[cfg(test)]
mod tests;
