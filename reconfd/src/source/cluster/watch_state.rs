//! Sync state of all watches: which initial lists are complete, and which watches fail.

use std::{collections::BTreeMap, time::Instant};

use crds::{AddressClaim, PeerSlice, PodConfig, PodConfigPolicy, ReservedNetworks};
use kube::{Resource, core::DeserializeGuard, runtime::watcher};
use kubeio::{
    client,
    watch::{KnownKeys, ObjectEvent, WatchResult},
};

use super::stores::StoreUpdater;
use crate::{
    address::claims::{ClaimAllocator, claim_meta::ClaimName},
    metrics::Metrics,
    source::{NamespaceMeta, Pod, Trigger},
};

/// An event of one of the watches, with the number of the watch within its kind.
pub enum WatchEvent {
    PodConfig(usize, WatchResult<Guarded<PodConfig>>),
    Policy(usize, WatchResult<Guarded<PodConfigPolicy>>),
    Namespace(usize, WatchResult<NamespaceMeta>),
    Pod(usize, WatchResult<Pod>),
    PeerSlice(usize, WatchResult<Guarded<PeerSlice>>),
    ReservedNetworks(usize, WatchResult<Guarded<ReservedNetworks>>),
    Claim(usize, WatchResult<Guarded<AddressClaim>>),
}

/// One object that cannot be parsed must not make a whole list fail.
pub type Guarded<K> = DeserializeGuard<K>;

const RESERVED_NETWORKS: &str = "reservednetworks";
const PEER_SLICES: &str = "peerslices";
const CLAIMS: &str = "addressclaims";

pub struct WatchStates {
    pub updater: StoreUpdater,
    pub podconfigs: Vec<KnownKeys>,
    pub policies: Vec<KnownKeys>,
    pub namespaces: Vec<KnownKeys>,
    pub pods: Vec<KnownKeys>,
    pub peer_slices: Vec<KnownKeys>,
    pub reserved_networks: Vec<KnownKeys>,
    pub claims: Vec<KnownKeys>,
    /// Receives claim events.
    pub of_node: ClaimAllocator,
    pub metrics: Metrics,
    /// Kinds whose watches fail at the moment, and the error.
    pub failing: BTreeMap<&'static str, String>,
}

impl WatchStates {
    /// Applies a watch event to the stores.
    pub fn take(&mut self, event: WatchEvent) -> Vec<Trigger> {
        match event {
            WatchEvent::PodConfig(at, result) => {
                let events = self.events("podconfigs", result, |states| &mut states.podconfigs[at]);
                let changes = events.into_iter();
                changes
                    .filter_map(|events| self.updater.podconfig(readable(events)?))
                    .collect()
            }
            WatchEvent::Policy(at, result) => {
                let events = self.events("podconfigpolicies", result, |states| {
                    &mut states.policies[at]
                });
                let changes = events.into_iter();
                changes
                    .filter_map(|events| self.updater.policy(readable(events)?))
                    .collect()
            }
            WatchEvent::Namespace(at, result) => {
                let events = self.events("namespaces", result, |states| &mut states.namespaces[at]);
                let changes = events.into_iter();
                changes
                    .filter_map(|events| self.updater.namespace(events))
                    .collect()
            }
            WatchEvent::Pod(at, result) => {
                let events = self.events("pods", result, |states| &mut states.pods[at]);
                let changes = events.into_iter();
                changes
                    .filter_map(|events| self.updater.pod(events))
                    .collect()
            }
            WatchEvent::PeerSlice(at, result) => {
                let now = Instant::now();
                let events = self.events(PEER_SLICES, result, |states| &mut states.peer_slices[at]);
                let changes = events.into_iter();
                changes
                    .filter_map(|events| self.updater.peer_slice(readable(events)?, now))
                    .collect()
            }
            WatchEvent::ReservedNetworks(at, result) => {
                let events = self.events(RESERVED_NETWORKS, result, |states| {
                    &mut states.reserved_networks[at]
                });
                let changes = events.into_iter();
                changes
                    .filter_map(|events| self.updater.reserved_networks(readable(events)?))
                    .collect()
            }
            WatchEvent::Claim(at, result) => {
                let events = self.events(CLAIMS, result, |states| &mut states.claims[at]);
                events.into_iter().for_each(|events| self.claim(events));
                if self.claims.iter().all(KnownKeys::is_synced) {
                    self.of_node.set_synced();
                }
                // The allocator notifies the affected pods itself.
                Vec::new()
            }
        }
    }

    /// Removes peer slices that were deleted and did not come back.
    pub fn expire(&mut self, now: Instant) -> Vec<Trigger> {
        let may_come_back = !self.failing.contains_key(PEER_SLICES);
        self.updater.expire_slices(may_come_back, now)
    }

    fn claim(&self, events: ObjectEvent<Guarded<AddressClaim>>) {
        match readable(events) {
            Some(ObjectEvent::Applied(claim)) => self.of_node.applied(claim),
            Some(ObjectEvent::Deleted((_, name))) => {
                ClaimName::parse(&name)
                    .iter()
                    .for_each(|name| self.of_node.deleted(name));
            }
            None => (),
        }
    }

    fn events<K: Resource>(
        &mut self,
        kind: &'static str,
        result: WatchResult<K>,
        keys: impl FnOnce(&mut Self) -> &mut KnownKeys,
    ) -> Vec<ObjectEvent<K>> {
        match result {
            Ok(event) => {
                if self.failing.remove(kind).is_some() {
                    tracing::info!(kind, "watch recovered");
                }
                keys(self).take(event)
            }
            Err(error) => {
                self.metrics.watch_restarted(kind);
                self.record_failure(kind, &error);
                Vec::new()
            }
        }
    }

    /// Cached objects stay in force: a list that fails is unknown, not empty.
    fn record_failure(&mut self, kind: &'static str, error: &watcher::Error) {
        let why = why(error);
        if self.failing.insert(kind, why.clone()).as_ref() != Some(&why) {
            tracing::warn!(kind, "watch failed, cached objects stay in force: {why}");
        }
    }

    /// The kinds whose initial list is incomplete, as text; `None` if all are synced.
    pub fn unsynced(&self) -> Option<String> {
        let kinds = [
            ("podconfigs", &self.podconfigs),
            ("podconfigpolicies", &self.policies),
            ("namespaces", &self.namespaces),
            ("pods", &self.pods),
            (PEER_SLICES, &self.peer_slices),
            (RESERVED_NETWORKS, &self.reserved_networks),
            (CLAIMS, &self.claims),
        ];
        let unsynced = kinds
            .iter()
            .filter(|(_, keys)| !keys.iter().all(KnownKeys::is_synced))
            // Without these, no new address is allocated, and everything else goes on.
            .filter(|(kind, _)| {
                ![RESERVED_NETWORKS, CLAIMS].contains(kind) || !self.failing.contains_key(kind)
            });
        let kinds_text = unsynced.map(|(kind, _)| match self.failing.get(kind) {
            Some(why) => format!("{kind} ({why})"),
            None => (*kind).to_owned(),
        });
        let kinds_text: Vec<String> = kinds_text.collect();
        (!kinds_text.is_empty())
            .then(|| format!("initial list not complete: {}", kinds_text.join(", ")))
    }
}

/// For an object that cannot be parsed, the last valid version stays in force.
fn readable<K: Resource<DynamicType = ()>>(
    events: ObjectEvent<Guarded<K>>,
) -> Option<ObjectEvent<K>> {
    match events {
        ObjectEvent::Applied(guarded) => match guarded.0 {
            Ok(object) => Some(ObjectEvent::Applied(Box::new(object))),
            Err(invalid) => {
                let (kind, meta) = (K::kind(&()), &invalid.metadata);
                tracing::error!(
                    kind = %kind, namespace = meta.namespace, name = meta.name,
                    "cannot be parsed, the last valid version stays in force: {}", invalid.error
                );
                None
            }
        },
        ObjectEvent::Deleted(key) => Some(ObjectEvent::Deleted(key)),
    }
}

/// The error of a list or a watch as text.
pub fn why(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(cause) | WatchStartFailed(cause) | WatchFailed(cause) => {
            client::refusal(cause)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
