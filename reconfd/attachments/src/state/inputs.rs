//! What the daemon states: requests, ends, and reasons to look again.

use std::{collections::BTreeSet, time::Instant};

use super::{Attachments, PodRequest, Refusal, Target, pod::Asked, slot::SlotState};
use crate::entry::Slot;

impl Attachments {
    /// States what is requested for a pod, whole. A link whose specification is new is tried at once.
    pub fn request(&mut self, request: PodRequest) {
        let (uid, namespace) = (request.pod.uid.clone(), request.pod.namespace.clone());
        let pod = self.pods.entry(uid.clone()).or_default();
        let before = pod.current().map(ToOwned::to_owned);
        if let Some(sandbox) = &request.sandbox {
            self.containers
                .insert(sandbox.container_id.clone(), uid.clone());
            for link in &request.links {
                let slot = Slot::new(&sandbox.container_id, &link.ifname);
                let is_new = match (&link.target, pod.asked(&slot)) {
                    (Target::Attach(wanted), Asked::Attach(before)) => {
                        wanted.spec_hash != before.spec_hash
                    }
                    (Target::Attach(_), _) => true,
                    (Target::TakeOver(_), Asked::TakeOver(_)) | (Target::Keep, _) => false,
                    (Target::TakeOver(_), _) => true,
                };
                let state = pod.slots.entry(slot).or_default();
                if is_new {
                    state.start_over();
                    // It was of what is no longer requested.
                    state.failure = None;
                    state.is_taken_over = false;
                }
            }
        }
        pod.has_ended = false;
        pod.request = Some(request);
        pod.prune();
        if let Some(before) = before {
            self.index(&uid, &before);
        }
        self.queue.add(&uid, &namespace);
    }

    /// A pod has ended: all of it is detached.
    pub fn pod_ended(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else {
            return;
        };
        pod.has_ended = true;
        pod.slots.values_mut().for_each(SlotState::start_over);
        self.wake(uid);
    }

    /// A sandbox has ended, or is about to: what is in it is detached.
    pub fn sandbox_ended(&mut self, container_id: &str) {
        let Some(uid) = self.containers.get(container_id).cloned() else {
            return;
        };
        if let Some(pod) = self.pods.get_mut(&uid) {
            pod.ended.insert(container_id.to_owned());
            let slots = pod.slots.iter_mut();
            slots
                .filter(|(slot, _)| slot.container_id == container_id)
                .for_each(|(_, state)| state.start_over());
        }
        self.wake(&uid);
    }

    /// All pods of the node are known: others have ended.
    pub fn synced(&mut self, known: &BTreeSet<String>) {
        let uids = self.pods.keys();
        let gone: Vec<String> = uids.filter(|uid| !known.contains(*uid)).cloned().collect();
        for uid in gone {
            self.pod_ended(&uid);
        }
    }

    /// States whether what is attached in a slot may stay, as far as that can be judged. Returns whether that is new.
    pub fn judge_attached(&mut self, uid: &str, slot: &Slot, refusal: Option<Refusal>) -> bool {
        let pod = self.pods.get_mut(uid);
        let Some(state) = pod.and_then(|pod| pod.slots.get_mut(slot)) else {
            return false;
        };
        if state.refusal == refusal {
            return false;
        }
        state.refusal = refusal;
        self.wake(uid);
        true
    }

    /// What refused the newest result of a slot does so no more: it is tried at that time.
    pub fn try_again(&mut self, uid: &str, slot: &Slot, at: Instant) {
        let pod = self.pods.get_mut(uid);
        if let Some(state) = pod.and_then(|pod| pod.slots.get_mut(slot)) {
            state.start_over();
            state.not_before = Some(at);
            self.wake(uid);
        }
    }

    /// Something that a waiting operation depends on may have changed: the pod is tried at once.
    pub fn retry(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.slots
                .values_mut()
                .for_each(|state| state.not_before = None);
        }
        self.wake(uid);
    }

    /// The links of a sandbox have changed: CHECK runs, though not too often. The baseline has its own time.
    pub fn links_changed(&mut self, container_id: &str, now: Instant) {
        let Some(uid) = self.containers.get(container_id).cloned() else {
            return;
        };
        let at_least = self.limits.check_at_least;
        let Some(pod) = self.pods.get_mut(&uid) else {
            return;
        };
        for (slot, state) in &mut pod.slots {
            let stored = state.stored.as_ref();
            let has_baseline = stored.is_some_and(|stored| stored.baseline.is_some());
            if slot.container_id == container_id && has_baseline {
                let due = state
                    .last_check
                    .map_or(now, |last| now.max(last + at_least));
                state.check_due = state.check_due.map(|at| at.min(due));
            }
        }
        self.wake(&uid);
    }

    /// The number of files in `lost`, which others may remove.
    pub fn set_lost(&mut self, lost: usize) {
        self.lost = lost;
    }

    /// Detaches everything, for an uninstallation.
    pub fn drain(&mut self) {
        self.is_draining = true;
        let uids: Vec<String> = self.pods.keys().cloned().collect();
        for uid in uids {
            if let Some(pod) = self.pods.get_mut(&uid) {
                pod.slots.values_mut().for_each(SlotState::start_over);
            }
            self.wake(&uid);
        }
    }
}
