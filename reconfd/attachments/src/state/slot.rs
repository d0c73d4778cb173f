//! One slot of a pod: what is stored in it, and what came of the newest operation.

use std::time::Instant;

use workqueue::Attempts;

use super::{CheckMode, action::Action, refusal::Refusal};
use crate::{
    entry::{Entry, Phase, Why},
    limits::Limits,
    operation::EndResult,
    status::{Failure, FailureReason},
};

#[derive(Debug, Default)]
pub(crate) struct SlotState {
    /// What is stored; none: no file.
    pub(crate) stored: Option<Box<Entry>>,
    pub(crate) attempts: Attempts,
    /// End of the backoff.
    pub(crate) not_before: Option<Instant>,
    /// Whether it is a DEL that failed. The backoff of anything else keeps no DEL waiting.
    pub(crate) is_del_waiting: bool,
    /// Of the newest operation.
    pub(crate) failure: Option<Failure>,
    pub(crate) waiting: Option<String>,
    /// CHECK failed, or the entry could not be written.
    pub(crate) degraded: Option<Failure>,
    pub(crate) last_failed_del: Option<Instant>,
    pub(crate) hit_limit: bool,
    pub(crate) check_due: Option<Instant>,
    pub(crate) last_check: Option<Instant>,
    /// The specification whose chain is known to run.
    pub(crate) ready_for: Option<String>,
    pub(crate) needs_repair: bool,
    pub(crate) last_repair: Option<Instant>,
    /// Why a result that was accepted may not stay, as the newest pass judged it.
    pub(crate) refusal: Option<Refusal>,
    /// Whether nothing of what Multus attached is there any more.
    pub(crate) is_taken_over: bool,
}

impl SlotState {
    /// Forgets backoff and failures: the next try is another one than those before.
    pub(super) fn start_over(&mut self) {
        self.attempts.reset();
        self.not_before = None;
        self.waiting = None;
    }

    pub(super) fn end(
        &mut self,
        limits: &Limits,
        action: Action,
        result: EndResult,
        mode: CheckMode,
        now: Instant,
    ) {
        let was_deleting = matches!(
            action,
            Action::Delete(_) | Action::Withdraw | Action::Change(_)
        );
        self.waiting = None;
        match result {
            EndResult::Attached => {
                *self = Self {
                    stored: self.stored.take(),
                    last_repair: self.last_repair,
                    check_due: Some(now + limits.baseline_after),
                    ..Self::default()
                };
            }
            EndResult::Detached | EndResult::Lost => {
                let last_repair = self.last_repair;
                *self = Self {
                    stored: self.stored.take(),
                    last_repair,
                    ..Self::default()
                };
            }
            EndResult::TakenOver => {
                *self = Self {
                    stored: self.stored.take(),
                    is_taken_over: true,
                    ..Self::default()
                };
            }
            EndResult::Adopted => {}
            EndResult::Ready(spec_hash) => {
                self.attempts.reset();
                (self.not_before, self.failure) = (None, None);
                self.ready_for = Some(spec_hash);
            }
            EndResult::Waiting(what) => {
                self.waiting = Some(what);
                self.failure = None;
                self.not_before = Some(now + limits.judge_after);
            }
            EndResult::CheckPassed => self.end_check(limits, None, mode, now),
            EndResult::CheckFailed(failure) => self.end_check(limits, Some(failure), mode, now),
            EndResult::Failed(_) if action == Action::Check => {
                self.check_due = Some(now + limits.check_every);
            }
            EndResult::Failed(failure) => {
                if self.is_withdrawn(action) {
                    // Only another address, which an IPAM plugin may give, would be allowed.
                    self.attempts.exhaust(now);
                }
                let delay = self.attempts.failed(&limits.backoff, now);
                self.not_before = Some(now + delay);
                self.is_del_waiting = matches!(action, Action::Delete(_) | Action::Withdraw)
                    || self.is_half_deleted();
                self.hit_limit = failure.reason == FailureReason::PluginTimeout;
                self.failure = Some(failure);
                self.last_failed_del = was_deleting.then_some(now);
            }
        }
    }

    /// Whether what is stored leads to DEL.
    fn is_half_deleted(&self) -> bool {
        let phase = self.stored.as_ref().map(|stored| &stored.phase);
        matches!(phase, Some(Phase::Adding | Phase::Deleting(_)))
    }

    /// Whether a link is gone that the rules do not allow: its next result would most likely be refused as well.
    fn is_withdrawn(&self, action: Action) -> bool {
        let refusal = self.refusal.as_ref();
        action == Action::Withdraw
            && self.stored.is_none()
            && refusal.is_some_and(|refusal| refusal.is_lasting)
    }

    /// Whether what is stored is a result that was accepted and may not stay.
    pub(crate) fn is_refused(&self) -> bool {
        let (Some(stored), Some(refusal)) = (&self.stored, &self.refusal) else {
            return false;
        };
        let is_meant = match &stored.phase {
            Phase::Attached => true,
            Phase::Deleting(deletion) => deletion.why == Why::Refused,
            _ => false,
        };
        is_meant && stored.result == refusal.result
    }

    /// When an action may begin; none: now.
    pub(crate) fn due(&self, action: Action) -> Option<Instant> {
        match action {
            Action::Check => self.check_due,
            Action::Delete(_) | Action::Withdraw => self.not_before.filter(|_| self.is_del_waiting),
            _ => self.not_before,
        }
    }

    /// At most one repair in the time between two CHECKs: a CHECK that flaps is no reason to cut off the link.
    fn end_check(
        &mut self,
        limits: &Limits,
        failure: Option<Failure>,
        mode: CheckMode,
        now: Instant,
    ) {
        self.last_check = Some(now);
        self.check_due = Some(now + limits.check_every);
        self.needs_repair = failure.is_some()
            && mode == CheckMode::Repair
            && self
                .last_repair
                .is_none_or(|last| now >= last + limits.check_every);
        if self.needs_repair {
            self.last_repair = Some(now);
        }
        self.degraded = failure;
    }
}
