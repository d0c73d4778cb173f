//! DEL: `Deleting` is written, the chain runs, the link is gone, and the entry is removed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{EndResult, Operation, Progress, Step, Terms, store_failure};
use crate::{
    entry::{Deletion, Entry, Phase, Why},
    ports::{DelOutcome, Remains},
    status::{Change, Failure, FailureReason},
};

/// Phases that make the next daemon run DEL: it is announced.
fn is_announced(phase: &Phase) -> bool {
    matches!(phase, Phase::Adding | Phase::Deleting(_))
}

/// Whether DEL may begin though it could not be written: nothing that the next daemon reads instead leads to
/// anything but DEL. A result that was refused at once is refused again; one that was accepted is stored as attached.
fn needs_no_write(deletion: &Deletion) -> bool {
    deletion.why.is_final() || (deletion.why == Why::Refused && !deletion.was_attached)
}

impl Operation {
    /// Deletes what the rules of today do not allow. It ends as a refused ADD does.
    pub fn withdraw(stored: Entry, failure: Failure, terms: Terms) -> Self {
        let mut operation = Self::delete(stored, Why::Refused, terms);
        operation.failure = Some(failure);
        operation
    }

    /// The first step of a DEL whose namespace is known.
    pub(super) fn first_step_of_delete(&self) -> Step {
        match &self.stored {
            Some(stored) if !is_announced(&stored.phase) => Step::SaveDeleting,
            _ => self.step_of_del(),
        }
    }

    /// The first step of a DEL that is announced.
    pub(super) fn step_of_del(&self) -> Step {
        let is_done = self
            .deletion()
            .remaining
            .is_some_and(|left| left.is_empty());
        match (is_done, self.is_alive) {
            (false, true) => Step::BeforeDel,
            (false, false) => Step::Del,
            (true, true) => Step::AfterDel,
            (true, false) => self.step_after_del(),
        }
    }

    /// Once nothing of the attachment is left. Multus' own file of it goes first: libcni would remove it.
    pub(super) fn step_after_del(&self) -> Step {
        match self.entry.is_of_multus() {
            true => Step::RemoveMultus,
            false => Step::Remove,
        }
    }

    pub(super) fn delete_announced(mut self, written: Result<(), String>) -> Progress {
        match written {
            Ok(()) => self.is_stored(),
            Err(_) if needs_no_write(&self.deletion()) || self.is_announced() => {}
            Err(problem) => return self.delete_failed(store_failure(problem)),
        }
        let step = self.step_of_del();
        self.to(step)
    }

    /// Whether what is stored leads to DEL.
    fn is_announced(&self) -> bool {
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| is_announced(&stored.phase))
    }

    /// An ADD that was cut off has no result, by which some plugins delete their rules. If nothing is shown, DEL by name
    /// may still do the most, and the link is looked at after it.
    pub(super) fn before_del(mut self, shown: Result<Option<Value>, Failure>) -> Progress {
        if self.entry.result.is_none() {
            self.entry.result = shown.unwrap_or_default();
        }
        self.to(Step::Del)
    }

    pub(super) fn deleted(mut self, outcome: DelOutcome) -> Progress {
        let all = || (0..self.entry.chain.plugins.len()).collect();
        match outcome {
            DelOutcome::Deleted => {
                self.set_remaining(BTreeSet::new());
                let step = self.step_of_del();
                self.to(step)
            }
            DelOutcome::Failed(remaining, failure) => self.del_failed(remaining, failure),
            DelOutcome::Unknown(failure) => {
                let remaining = self.deletion().remaining.unwrap_or_else(all);
                self.del_failed(remaining, failure)
            }
            // The chain is the reason, as where a binary is gone: such tries have an end.
            DelOutcome::NotRun(failure) if failure.reason != FailureReason::RunnerUnavailable => {
                let remaining = self.deletion().remaining.unwrap_or_else(all);
                self.del_failed(remaining, failure)
            }
            DelOutcome::NotRun(failure) => {
                // The plugins were not tried: this counts for nothing. What the store says leads here again.
                self.is_stored();
                self.delete_failed(failure)
            }
        }
    }

    pub(super) fn after_del(mut self, remains: Remains) -> Progress {
        match remains {
            Remains::Nothing => {
                let step = self.step_after_del();
                self.to(step)
            }
            Remains::Deleted(failure) => {
                self.event(Change::DetachIncomplete(failure));
                let step = self.step_after_del();
                self.to(step)
            }
            Remains::Link(failure) => self.del_failed(BTreeSet::new(), failure),
        }
    }

    /// Counts a failed try. With the namespace alive there is no end to the tries.
    pub(super) fn del_failed(mut self, remaining: BTreeSet<usize>, failure: Failure) -> Progress {
        let mut deletion = self.deletion();
        deletion.failures = deletion.failures.saturating_add(1);
        deletion.remaining = Some(remaining);
        deletion.error.clone_from(&failure.message);
        deletion.failing_seconds = match self.is_alive {
            true => 0,
            false => deletion.failing_seconds + self.terms.failing_for.as_secs(),
        };
        let is_lost = !self.is_alive && deletion.failing_seconds >= self.terms.lost_after.as_secs();
        self.entry.phase = Phase::Deleting(deletion);
        self.del_failure = Some(failure);
        self.to(match is_lost {
            true => Step::Lose,
            false => Step::SaveFailed,
        })
    }

    /// The count of tries is not worth an error: where it cannot be written, more plugins run again than need to.
    pub(super) fn failure_stored(mut self) -> Progress {
        self.is_stored();
        match self.del_failure.take() {
            Some(failure) => self.delete_failed(failure),
            None => self.end(EndResult::Detached),
        }
    }

    pub(super) fn removed(mut self, removed: Result<(), String>) -> Progress {
        if let Err(problem) = removed {
            self.is_stored();
            return self.delete_failed(store_failure(problem));
        }
        self.stored = None;
        if let Some(failure) = self.failure.take() {
            if self.entry.was_accepted() {
                self.event(Change::Detached(self.deletion().why));
            }
            return self.attach_failed(failure);
        }
        if self.entry.phase != Phase::Detached {
            self.event(Change::Detached(self.deletion().why));
        }
        match self.next.take() {
            Some(next) if self.is_alive => {
                self.entry = next;
                self.to(Step::BeforeAdd)
            }
            _ => self.end(EndResult::Detached),
        }
    }

    pub(super) fn lost(mut self, moved: Result<(), String>) -> Progress {
        if let Err(problem) = moved {
            self.is_stored();
            return self.delete_failed(store_failure(problem));
        }
        self.stored = None;
        if let Some(failure) = self.del_failure.take() {
            self.event(Change::Lost(failure));
        }
        self.end(EndResult::Lost)
    }

    /// The failure of an ADD is reported even if its undoing fails.
    pub(super) fn delete_failed(mut self, failure: Failure) -> Progress {
        if let Some(cause) = self.failure.take() {
            self.event(Change::AttachFailed(cause));
        }
        self.event(Change::DetachFailed(failure.clone()));
        self.fail(failure)
    }

    pub(super) fn deletion(&self) -> Deletion {
        let deletion = self.entry.deletion().cloned();
        deletion.unwrap_or_else(|| Deletion::new(Why::NotRequested))
    }

    fn set_remaining(&mut self, remaining: BTreeSet<usize>) {
        let mut deletion = self.deletion();
        deletion.remaining = Some(remaining);
        self.entry.phase = Phase::Deleting(deletion);
    }
}
