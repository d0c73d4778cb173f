//! Sync state of all watches: which initial lists are complete, and which watches fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use kubeio::{
    sync_state::SyncState,
    watch::{WatchFailure, WatchUpdate},
};
use store::{
    Trigger,
    kinds::{ObjectKind, WatchId},
};
use telemetry::metrics::Metrics;

use super::{stores::StoreUpdater, watches::DaemonUpdate};

/// Without these, no new address is allocated or no plugin is executed, and everything else goes on.
const OPTIONAL: [ObjectKind; 3] = [
    ObjectKind::ReservedNetworks,
    ObjectKind::AddressClaim,
    ObjectKind::NetworkAttachmentDefinition,
];

pub struct WatchStates {
    pub updater: StoreUpdater,
    pub sync: SyncState<WatchId>,
    pub metrics: Metrics,
}

impl WatchStates {
    /// Applies an update of a watch to the stores.
    pub fn take(&mut self, (id, update): DaemonUpdate) -> Option<Trigger> {
        let (is_recovered, trigger) = match update {
            WatchUpdate::Object(apply) => (self.sync.received(&id), apply(&mut self.updater)),
            WatchUpdate::Synced => {
                let is_recovered = self.sync.synced(&id);
                if id.kind == ObjectKind::AddressClaim {
                    self.updater.claims_synced();
                }
                (is_recovered, None)
            }
            WatchUpdate::Failed(failure) => {
                self.failed(&id, &failure);
                (false, None)
            }
        };
        if is_recovered {
            tracing::info!(kind = id.kind.plural(), "watch recovered");
        }
        trigger
    }

    /// Cached objects stay in force: a list that fails is unknown, not empty.
    fn failed(&mut self, id: &WatchId, failure: &WatchFailure) {
        let (kind, why) = (id.kind.plural(), failure.refusal());
        self.metrics.watch_restarted(kind);
        if self.sync.failed(id, &why, false) {
            tracing::warn!(kind, "watch failed, cached objects stay in force: {why}");
        }
    }

    pub fn is_failing(&self, kind: ObjectKind) -> bool {
        self.sync.is_any_failing(|id| id.kind == kind)
    }

    pub fn is_any_failing(&self) -> bool {
        self.sync.is_any_failing(|_| true)
    }

    /// Removes peer slices that were deleted and did not come back.
    pub fn expire(&mut self, now: Instant) -> Vec<Trigger> {
        let may_come_back = !self.is_failing(ObjectKind::PeerSlice);
        self.updater.expire_slices(may_come_back, now)
    }

    /// The kinds whose initial list is incomplete, as text; `None` if all are synced.
    pub fn unsynced(&self) -> Option<String> {
        let mut kinds: BTreeMap<ObjectKind, BTreeSet<&str>> = BTreeMap::new();
        for (id, error) in self.sync.unsynced() {
            if !(OPTIONAL.contains(&id.kind) && self.is_failing(id.kind)) {
                kinds.entry(id.kind).or_default().extend(error);
            }
        }
        let texts = kinds.iter().map(|(kind, errors)| match errors.first() {
            Some(why) => format!("{} ({why})", kind.plural()),
            None => kind.plural().to_owned(),
        });
        let texts: Vec<String> = texts.collect();
        (!texts.is_empty()).then(|| format!("initial list not complete: {}", texts.join(", ")))
    }
}

#[cfg(test)]
mod tests;
