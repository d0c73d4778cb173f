//! Results that are stored, and those that were refused, by the rules of today.

use std::time::{Duration, Instant};

use attachments::{
    entry::{Entry, Slot},
    state::Refusal,
    status::{Failure, FailureReason},
};
use cni::CniResult;
use crds::Reason;
use workqueue::Backoff;

use super::{AttachedResult, Attachments, by_whereabouts, lock, on_node, resolve::objection};
use crate::podconfig::{cause::Cause, outcome::LocalPod};

/// Of links that are tried again because the rules allow their refused result. The first one is tried at once; where a
/// link itself brings the network that it overlaps, it comes and goes ever more seldom.
const RETURNS: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300))
    .with_free(1)
    .with_reset_after(Duration::from_secs(900));

impl AttachedResult {
    /// Nothing for an entry without a result.
    pub fn of(entry: &Entry) -> Option<Self> {
        let result = CniResult::from_value(entry.result.clone()?).ok()?;
        Some(Self::with(entry, result))
    }

    /// An entry with this result.
    pub fn with(entry: &Entry, result: CniResult) -> Self {
        Self {
            slot: entry.slot(),
            on_node: on_node::networks(&entry.chain, &result),
            by_whereabouts: by_whereabouts(&entry.chain),
            was_accepted: entry.was_accepted(),
            stored: entry.result.clone(),
            result,
        }
    }
}

impl Attachments {
    /// What no rule allows of a result today. Nothing if the rules are not known.
    pub fn objection(&self, attached: &AttachedResult) -> Option<String> {
        let running = self.running.as_ref()?;
        let rulings = lock(&running.rulings);
        let ruling = rulings.get(&attached.slot)?;
        objection(&attached.result, &ruling.grants)
    }

    /// States whether an accepted result may stay. What is refused is detached.
    pub fn judge_attached(&self, uid: &str, attached: &AttachedResult, refusal: Option<&Cause>) {
        let Some(running) = &self.running else { return };
        let refusal = refusal.map(|(reason, message)| Refusal {
            result: attached.stored.clone(),
            failure: Failure::new(FailureReason::Judged(reason.as_str()), message.clone()),
            is_lasting: is_lasting(*reason),
        });
        if refusal.as_ref().is_some_and(|refusal| refusal.is_lasting)
            && let Some(ruling) = lock(&running.rulings).get_mut(&attached.slot)
        {
            ruling.refused = Some(attached.clone());
        }
        running.engine.judge_attached(uid, &attached.slot, refusal);
    }

    /// The newest refused result of a link that is not attached.
    pub fn refused(&self, pod: &LocalPod, link: &str) -> Option<AttachedResult> {
        let running = self.running.as_ref()?;
        let slot = Slot::new(&pod.sandbox, link);
        let refused = lock(&running.rulings).get(&slot)?.refused.clone()?;
        let mut stored = self.stored_here(pod);
        (!stored.any(|entry| entry.slot() == slot)).then_some(refused)
    }

    /// The rules allow the refused result of a link: it is tried again.
    pub fn allow_refused(&self, uid: &str, slot: &Slot) {
        let Some(running) = &self.running else { return };
        let now = Instant::now();
        let mut rulings = lock(&running.rulings);
        let Some(ruling) = rulings.get_mut(slot) else {
            return;
        };
        ruling.refused = None;
        let delay = ruling.returns.failed(&RETURNS, now);
        drop(rulings);
        running.engine.try_again(uid, slot, now + delay);
    }
}

/// Whether what refuses a result is there until an administrator or the network's owner changes something. A claim that
/// another link has may be free in a moment.
fn is_lasting(reason: Reason) -> bool {
    matches!(reason, Reason::NotAllowed | Reason::AddressConflict)
}
