//! Pure: applies the watch of this node's claims. The watch may lag: events older than the known version are ignored,
//! and a deletion is verified before it is believed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crds::AddressClaim;

use super::{
    AllocatorState, ClaimName, ClaimOperation, Entry, Now, Release, State, TaskKey, Verify,
};

impl AllocatorState {
    /// The initial list is complete. Returns the pods with requests until now.
    pub fn set_synced(&mut self) -> BTreeSet<String> {
        self.is_synced = true;
        std::mem::take(&mut self.early_pods)
    }

    /// Applies a claim of this node; returns the pods to notify.
    pub fn applied(&mut self, claim: Arc<AddressClaim>, now: &Now) -> BTreeSet<String> {
        let name = ClaimName::of(&claim);
        if claim.spec.node != self.node {
            return self.deleted(&name, now);
        }
        if self.is_stale(&name, &claim) {
            return BTreeSet::new();
        }
        let before = self.claims.get(&name);
        let was = before.map(|entry| (entry.claim.spec.pod.uid.clone(), entry.state));
        let successor = before.and_then(|entry| entry.claim.spec.successor.as_ref());
        let next = claim.spec.successor.as_ref();
        let has_successor = next.is_some() && next != successor;
        let is_changed = match &was {
            // The release goes on, whatever the watch reports.
            Some((uid, State::Releasing)) => *uid != claim.spec.pod.uid,
            Some((uid, state)) => {
                *uid != claim.spec.pod.uid
                    || (*state == State::Quarantined) != claim.spec.released.is_some()
                    || has_successor
            }
            None => true,
        };
        let mut affected: BTreeSet<String> = was.into_iter().map(|(uid, _)| uid).collect();
        affected.insert(claim.spec.pod.uid.clone());
        match is_changed {
            true => self.upsert(claim, now),
            false => {
                if let Some(entry) = self.claims.get_mut(&name) {
                    entry.claim = claim;
                }
            }
        }
        if is_changed {
            affected
        } else {
            BTreeSet::new()
        }
    }

    /// Applies a deletion.
    pub fn deleted(&mut self, name: &ClaimName, now: &Now) -> BTreeSet<String> {
        self.deleted_versions.remove(name);
        let Some(entry) = self.claims.get(name) else {
            return BTreeSet::new();
        };
        if !self.is_ours(name) {
            let uid = entry.claim.spec.pod.uid.clone();
            self.forget(name, now);
            return BTreeSet::from([uid]);
        }
        let operation = ClaimOperation::Verify(Box::new(Verify::of_claim(entry.claim.clone())));
        self.tasks
            .add_once(TaskKey::Verify(name.clone()), operation, now.instant);
        BTreeSet::new()
    }

    /// Stores the current version of a claim.
    pub(super) fn upsert(&mut self, claim: Arc<AddressClaim>, now: &Now) {
        let name = ClaimName::of(&claim);
        self.unindex(&name);
        let uid = claim.spec.pod.uid.clone();
        self.names.entry(uid).or_default().insert(name.clone());
        self.deleted_versions.remove(&name);
        let state = match claim.spec.released {
            Some(_) => State::Quarantined,
            None => State::Held,
        };
        let is_ours = claim.spec.installation == self.installation;
        match state {
            // Taken again: cancels the release.
            State::Held | State::Releasing => {
                self.tasks.cancel_all(&TaskKey::Release(name.clone()))
            }
            // A link that was assigned it takes it again or gives it up.
            State::Quarantined if is_ours && !self.is_promised(&claim) => {
                self.schedule_delete(&claim, now)
            }
            State::Quarantined => self.tasks.cancel_all(&TaskKey::Release(name.clone())),
        }
        self.claims.insert(name, Entry { claim, state });
    }

    /// Whether the address is still assigned to the link that had the claim.
    fn is_promised(&self, claim: &AddressClaim) -> bool {
        let of_pod = self.links.get(&claim.spec.pod.uid);
        let link = of_pod.and_then(|links| links.get(&claim.spec.link));
        link.is_some_and(|link| {
            link.domain == claim.spec.domain && link.assigned.contains(&claim.spec.address)
        })
    }

    /// Removes a claim.
    pub(super) fn forget(&mut self, name: &ClaimName, now: &Now) {
        self.unindex(name);
        self.tasks.drop_idle(&TaskKey::Release(name.clone()));
        if let Some(entry) = self.claims.remove(name) {
            let version = version(&entry.claim);
            self.deleted_versions
                .insert(name.clone(), (version, now.instant));
        }
    }

    /// Schedules the deletion for the end of the quarantine.
    pub(super) fn schedule_delete(&mut self, claim: &Arc<AddressClaim>, now: &Now) {
        let due = now.instant + self.quarantine_left(claim, now);
        let task_key = TaskKey::Release(ClaimName::of(claim));
        self.tasks.cancel_all(&task_key);
        let operation = ClaimOperation::Release(Box::new(Release::delete(claim.clone())));
        self.tasks.add(task_key, operation, due);
    }

    /// The remaining quarantine, by the claim's release time.
    pub(super) fn quarantine_left(&self, claim: &AddressClaim, now: &Now) -> Duration {
        let since = claim.spec.released.as_ref().map_or(0, |released| {
            now.time
                .0
                .as_second()
                .saturating_sub(released.0.as_second())
        });
        let rested = Duration::from_secs(u64::try_from(since).unwrap_or(0));
        self.rest.saturating_sub(rested)
    }

    fn unindex(&mut self, name: &ClaimName) {
        let Some(entry) = self.claims.get(name) else {
            return;
        };
        let uid = &entry.claim.spec.pod.uid;
        if let Some(names) = self.names.get_mut(uid) {
            names.remove(name);
            if names.is_empty() {
                self.names.remove(uid);
            }
        }
    }

    fn is_stale(&self, name: &ClaimName, claim: &AddressClaim) -> bool {
        let reported = version(claim);
        let known = self.claims.get(name).map(|entry| version(&entry.claim));
        let gone = self.deleted_versions.get(name).map(|(version, _)| *version);
        known.into_iter().chain(gone).any(|known| known >= reported)
    }
}

impl AllocatorState {
    /// Whether a newer version is known.
    pub(super) fn knows_newer(&self, name: &ClaimName, claim: &AddressClaim) -> bool {
        let known = self.claims.get(name).map(|entry| version(&entry.claim));
        known.is_some_and(|known| known > version(claim))
    }
}

/// Resource versions of one kind are increasing numbers.
pub(super) fn version(claim: &AddressClaim) -> u64 {
    let version = claim.metadata.resource_version.as_deref();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}
