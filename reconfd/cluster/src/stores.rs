//! Writes watch events into the stores. Only differences in fields that are used trigger a change, so that a status
//! update, a heartbeat or a relist costs no pass.

use std::time::Instant;

use address::claims::{ClaimAllocator, claim_meta::ClaimName};
use crds::{AddressClaim, PeerSlice, ReservedNetworks};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use kubeio::watch::{ObjectEvent, ObjectKey};
use store::{
    StoreWriter, Stores, Trigger,
    freshness::first_confirmation,
    kinds::{ObjectKind, StoredKind},
    scope::Scope,
};

use super::retired::Retired;

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

    /// For a kind that is only stored.
    pub fn store<K: StoredKind>(&mut self, object_event: ObjectEvent<K>) -> Option<Trigger> {
        let key = self.served(&object_event)?;
        let (event, is_new) = self.event(object_event)?;
        self.writer.apply(&event);
        let (Event::Apply(object) | Event::Delete(object)) = &event else {
            return None;
        };
        is_new.then(|| K::trigger(key, object))
    }

    /// A deleted slice stays in force for a while.
    pub fn peer_slice(
        &mut self,
        object_event: ObjectEvent<PeerSlice>,
        now: Instant,
    ) -> Option<Trigger> {
        let key = self.served(&object_event)?;
        let is_known = || self.stores.get::<PeerSlice>(&key.0, &key.1).is_some();
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
        let (namespace, name) = object_event.key();
        let known = self.stores.get::<PeerSlice>(&namespace, &name);
        let segment = |slice: &PeerSlice| (slice.spec.vni, slice.spec.port);
        let moves = match (&known, &object_event) {
            (Some(known), ObjectEvent::Applied(slice)) => segment(known) != segment(slice),
            _ => false,
        };
        let trigger = self.store(object_event);
        // A slice that changes its segment affects both.
        match moves {
            true => {
                trigger.map(|_| Trigger::Object(ObjectKind::Namespace, (String::new(), namespace)))
            }
            false => trigger,
        }
    }

    /// Of other installations, only the namespaces that they serve are used.
    pub fn reserved_networks(
        &mut self,
        object_event: ObjectEvent<ReservedNetworks>,
    ) -> Option<Trigger> {
        let is_served_otherwise = self.serves(&object_event);
        let is_new = self.own_networks(object_event);
        (is_served_otherwise || is_new.is_some()).then(|| {
            Trigger::Object(
                ObjectKind::ReservedNetworks,
                (String::new(), self.installation.clone()),
            )
        })
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
        let was_stale = self.writer.networks_confirmed().is_stale(Instant::now());
        if rest.is_empty() {
            self.renewed(&object_event);
        }
        let (event, is_new) = self.event(object_event)?;
        self.writer.apply(&event);
        let is_known_again =
            was_stale && !self.writer.networks_confirmed().is_stale(Instant::now());
        (is_new || is_known_again).then_some(())
    }

    fn renewed(&self, object_event: &ObjectEvent<ReservedNetworks>) {
        let confirmed = self.writer.networks_confirmed();
        let ObjectEvent::Applied(object) = object_event else {
            return confirmed.set(None);
        };
        let before = self.stores.get::<ReservedNetworks>("", &self.installation);
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

    /// The key of an object that is cluster-scoped, or in a served namespace. Policies also refer to definitions in
    /// namespaces that another installation serves.
    fn served<K: StoredKind>(&self, object_event: &ObjectEvent<K>) -> Option<ObjectKey> {
        let is_of_any = K::KIND == ObjectKind::NetworkAttachmentDefinition;
        let is_served = |(namespace, _): &ObjectKey| {
            is_of_any || namespace.is_empty() || self.scope.serves(namespace)
        };
        Some(object_event.key()).filter(is_served)
    }

    /// The event for the store, and whether a used field has changed. The store gets the newest version in any case:
    /// changing an object needs its resourceVersion.
    fn event<K: StoredKind>(&self, object_event: ObjectEvent<K>) -> Option<(Event<K>, bool)> {
        let (namespace, name) = object_event.key();
        let known = self.stores.get::<K>(&namespace, &name);
        match object_event {
            ObjectEvent::Applied(new) => {
                let is_new = known.is_none_or(|old| !old.is_same(&new));
                Some((Event::Apply(*new), is_new))
            }
            ObjectEvent::Deleted(_) => known.map(|old| (Event::Delete((*old).clone()), true)),
        }
    }
}

#[cfg(test)]
mod tests;
