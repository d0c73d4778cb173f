//! Pure: applies the outcome of an operation.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crds::{AddressClaim, Reason};

use super::{AllocatorState, ClaimName, Now, State, TaskId, TaskKey, Verify, Waiting, tasks::Task};
use crate::claims::{operation::ClaimOperation, protocol::ClaimOutcome};

impl AllocatorState {
    /// Applies the outcome; returns the pods to notify.
    pub fn complete(
        &mut self,
        id: TaskId,
        operation: ClaimOperation,
        outcome: ClaimOutcome,
        now: &Now,
    ) -> BTreeSet<String> {
        let is_to_do_again = matches!(
            outcome,
            ClaimOutcome::Refused(..) | ClaimOutcome::Taken(..) | ClaimOutcome::Failed(_)
        );
        let Some(task) = self.tasks.get(id) else {
            return BTreeSet::new();
        };
        let (task_key, is_cancelled) = (task.task_key.clone(), task.is_cancelled);
        let claim = operation.claim().cloned();
        if let Some(uid) = operation.gone_successor() {
            self.successor_is_gone(uid);
        }
        match is_to_do_again && !is_cancelled {
            true => {
                let min_delay = self.retry_after(&outcome, now);
                self.tasks.requeue(id, operation, now.instant, min_delay);
            }
            false => drop::<Option<Task>>(self.tasks.remove(id)),
        }
        match (task_key, claim) {
            (TaskKey::Acquire(uid, link), _) => {
                self.complete_acquire(id, (uid, link), outcome, now)
            }
            (TaskKey::Verify(name) | TaskKey::Release(name), Some(claim)) => {
                self.complete_for_claim(&name, &claim, outcome, now)
            }
            (TaskKey::Verify(_) | TaskKey::Release(_), None) => BTreeSet::new(),
        }
    }

    fn complete_acquire(
        &mut self,
        id: TaskId,
        (uid, link): (String, String),
        outcome: ClaimOutcome,
        now: &Now,
    ) -> BTreeSet<String> {
        let is_changed = match outcome {
            ClaimOutcome::Held(claim) => {
                self.acquired(id, (&uid, &link), claim, now);
                true
            }
            ClaimOutcome::Refused(reason, message) => {
                self.set_refused(id, (&uid, &link), (reason, message))
            }
            ClaimOutcome::Taken(ref claim, ref whose) => {
                let rests = claim.spec.released.is_some();
                let rests = rests.then(|| self.retry_after(&outcome, now));
                let message = taken_message(claim, whose, rests);
                self.set_refused(id, (&uid, &link), (Reason::AddressTaken, message))
            }
            ClaimOutcome::Failed(why) => self.update_waiting(id, (&uid, &link), |waiting| {
                waiting.refused = None;
                waiting.last_error.replace(why.clone()) != Some(why)
            }),
            ClaimOutcome::Released(_)
            | ClaimOutcome::HandedOver(_)
            | ClaimOutcome::Gone
            | ClaimOutcome::PodExists
            | ClaimOutcome::PodGone => false,
        };
        is_changed.then_some(uid).into_iter().collect()
    }

    fn acquired(
        &mut self,
        id: TaskId,
        (uid, link): (&str, &str),
        claim: Arc<AddressClaim>,
        now: &Now,
    ) {
        let name = ClaimName::of(&claim);
        if !self.knows_newer(&name, &claim) {
            self.upsert(claim, now);
        }
        let of_pod = self.links.get_mut(uid);
        match of_pod.and_then(|links| links.get_mut(link)) {
            // The link was removed in the meantime.
            None => self.release(&name, now),
            Some(link) => {
                let before = link.waiting.len();
                link.waiting.retain(|waiting| waiting.id != id);
                if link.waiting.len() < before {
                    link.lost.remove(&name.address);
                    link.unreported.insert(name.address);
                }
            }
        }
    }

    /// The time for which a released address is still reserved, and a retry is futile.
    fn retry_after(&self, outcome: &ClaimOutcome, now: &Now) -> Duration {
        match outcome {
            ClaimOutcome::Taken(claim, _) => self.quarantine_left(claim, now),
            _ => Duration::ZERO,
        }
    }

    fn set_refused(&mut self, id: TaskId, of: (&str, &str), refusal: (Reason, String)) -> bool {
        self.update_waiting(id, of, |waiting| {
            waiting.last_error = None;
            waiting.refused.replace(refusal.clone()) != Some(refusal)
        })
    }

    /// Returns whether the pending request has changed.
    fn update_waiting(
        &mut self,
        id: TaskId,
        (uid, link): (&str, &str),
        update: impl FnOnce(&mut Waiting) -> bool,
    ) -> bool {
        let of_pod = self.links.get_mut(uid);
        let link = of_pod.and_then(|links| links.get_mut(link));
        let waiting = link.and_then(|link| {
            let mut waiting = link.waiting.iter_mut();
            waiting.find(|waiting| waiting.id == id)
        });
        waiting.is_some_and(update)
    }

    /// `as_known`: the claim as the operation knew it. Since then another pod or this one may have acquired it.
    /// Returns the pods to reconcile: the state of their claim has changed, or the address is available again.
    fn complete_for_claim(
        &mut self,
        name: &ClaimName,
        as_known: &AddressClaim,
        outcome: ClaimOutcome,
        now: &Now,
    ) -> BTreeSet<String> {
        let Some(entry) = self.claims.get(name) else {
            return BTreeSet::new();
        };
        let (state, uid) = (entry.state, entry.claim.spec.pod.uid.clone());
        let is_same_pod = entry.claim.spec.pod == as_known.spec.pod;
        match outcome {
            ClaimOutcome::Released(claim)
                if state == State::Releasing || !self.knows_newer(name, &claim) =>
            {
                self.upsert(claim, now);
                self.retry_refused(&name.domain, &[Reason::AddressTaken], now);
            }
            ClaimOutcome::HandedOver(claim) if !self.knows_newer(name, &claim) => {
                return self.is_handed_over(name, claim, now);
            }
            ClaimOutcome::Gone if self.knows_newer(name, as_known) => self.recheck(name, now),
            ClaimOutcome::Gone => return self.removed(name, now),
            ClaimOutcome::Held(claim) if state == State::Releasing => {
                self.release_again(claim, now)
            }
            ClaimOutcome::Held(claim) if !self.knows_newer(name, &claim) => self.upsert(claim, now),
            ClaimOutcome::PodGone if is_same_pod => self.release(name, now),
            ClaimOutcome::Released(_)
            | ClaimOutcome::HandedOver(_)
            | ClaimOutcome::Held(_)
            | ClaimOutcome::PodGone
            | ClaimOutcome::PodExists
            | ClaimOutcome::Refused(..)
            | ClaimOutcome::Taken(..)
            | ClaimOutcome::Failed(_) => (),
        }
        let is_otherwise = self.claims.get(name).map(|entry| entry.state) != Some(state);
        let is_changed = is_otherwise && self.needs_reconcile(&uid, state);
        is_changed.then_some(uid).into_iter().collect()
    }

    /// The claim was written during its release and is still held: releases the current version.
    fn release_again(&mut self, claim: Arc<AddressClaim>, now: &Now) {
        let name = ClaimName::of(&claim);
        if self.tasks.has(&TaskKey::Release(name.clone())) {
            return;
        }
        if let Some(entry) = self.claims.get_mut(&name) {
            entry.claim = claim;
            entry.state = State::Held;
        }
        self.release(&name, now);
    }

    /// A newer version of the claim is known than the operation had.
    fn recheck(&mut self, name: &ClaimName, now: &Now) {
        let Some(entry) = self.claims.get_mut(name) else {
            return;
        };
        if entry.state == State::Releasing {
            entry.state = State::Held;
            return self.release(name, now);
        }
        let operation = ClaimOperation::Verify(Box::new(Verify::of_claim(entry.claim.clone())));
        self.tasks
            .add_once(TaskKey::Verify(name.clone()), operation, now.instant);
    }

    /// The claim is gone or belongs to another pod; a link that had it acquires it again.
    fn removed(&mut self, name: &ClaimName, now: &Now) -> BTreeSet<String> {
        let Some(entry) = self.claims.get(name) else {
            return BTreeSet::new();
        };
        let (uid, link, state) = (
            entry.claim.spec.pod.uid.clone(),
            entry.claim.spec.link.clone(),
            entry.state,
        );
        self.forget(name, now);
        let both = [Reason::AddressTaken, Reason::RangeFull];
        self.retry_refused(&name.domain, &both, now);
        let Some(of_pod) = self.links.get_mut(&uid) else {
            return BTreeSet::new();
        };
        if let Some(link) = of_pod.get_mut(&link).filter(|_| state == State::Held) {
            link.unreported.remove(&name.address);
            if link.assigned.remove(&name.address) {
                link.lost.insert(name.address);
            }
        }
        self.needs_reconcile(&uid, state)
            .then_some(uid)
            .into_iter()
            .collect()
    }

    /// Whether the pod must be reconciled after a claim of it has left this state. The end of a release matters only
    /// if a link waits for it.
    fn needs_reconcile(&self, uid: &str, before: State) -> bool {
        let links = self.links.get(uid);
        links.is_some_and(|links| {
            before == State::Held || links.values().any(|link| link.awaits_release)
        })
    }

    /// Retries requests in this domain that were refused for one of these reasons.
    pub(super) fn retry_refused(&mut self, domain: &str, reasons: &[Reason], now: &Now) {
        let links = self.links.values().flat_map(|links| links.values());
        let waiting = links
            .filter(|link| link.domain == domain)
            .flat_map(|link| &link.waiting);
        let refused: Vec<TaskId> = waiting
            .filter(
                |waiting| matches!(waiting.refused, Some((reason, _)) if reasons.contains(&reason)),
            )
            .map(|waiting| waiting.id)
            .collect();
        for id in refused {
            self.tasks.wake(id, now.instant);
        }
    }
}

/// The holder of the address, and when it becomes available, if known.
fn taken_message(claim: &AddressClaim, whose: &str, rests: Option<Duration>) -> String {
    let spec = &claim.spec;
    let (address, domain) = (spec.address, &spec.domain);
    match rests {
        Some(left) => format!(
            "{address} was released by {whose}, and is free in {} s (domain {domain})",
            left.as_secs().max(1)
        ),
        None => format!("{address} is held by {whose} (domain {domain})"),
    }
}
