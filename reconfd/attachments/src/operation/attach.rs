//! ADD: the name is free, `Adding` is written, the chain runs, its result is written, judged, and accepted.

use serde_json::Value;

use super::{Operation, Progress, Step, store_failure};
use crate::{
    entry::{Phase, Why},
    operation::{EndResult, Goal},
    ports::{AddOutcome, Verdict},
    status::{Change, Failure},
};

impl Operation {
    pub(super) fn before_add(mut self, before: Result<Option<Value>, Failure>) -> Progress {
        match before {
            Ok(before) => {
                self.entry.before = before;
                self.entry.phase = Phase::Adding;
                self.to(Step::Create)
            }
            Err(failure) => self.attach_failed(failure),
        }
    }

    pub(super) fn created(mut self, written: Result<(), String>) -> Progress {
        match written {
            Ok(()) => {
                self.is_stored();
                let step = match self.goal {
                    Goal::TakeOver => self.step_of_del(),
                    _ => Step::Add,
                };
                self.to(step)
            }
            Err(problem) if self.goal == Goal::TakeOver => {
                self.delete_failed(store_failure(problem))
            }
            Err(problem) => self.attach_failed(store_failure(problem)),
        }
    }

    pub(super) fn added(mut self, outcome: AddOutcome) -> Progress {
        match outcome {
            AddOutcome::Added(result) => {
                self.entry.result = Some(result);
                self.entry.phase = Phase::Added;
                self.to(Step::SaveResult)
            }
            AddOutcome::Failed(failure, partial) => {
                self.entry.result = partial;
                self.undo(Why::AddFailed, failure)
            }
            AddOutcome::Unknown(failure) => self.undo(Why::CutOff, failure),
            AddOutcome::NotRun(failure) => {
                self.failure = Some(failure);
                self.to(Step::RemoveUnrun)
            }
        }
    }

    /// No plugin ran, so there is nothing to delete. A file that stays is one of an interrupted ADD.
    pub(super) fn unrun(mut self, removed: Result<(), String>) -> Progress {
        if removed.is_ok() {
            self.stored = None;
        }
        match self.failure.take() {
            Some(failure) => self.attach_failed(failure),
            None => self.end(EndResult::Detached),
        }
    }

    /// Without a stored result the next daemon could only undo it: it is undone now, when the result is known.
    pub(super) fn result_stored(mut self, written: Result<(), String>) -> Progress {
        match written {
            Ok(()) => {
                self.is_stored();
                self.to(Step::Judge)
            }
            Err(problem) => self.undo(Why::AddFailed, store_failure(problem)),
        }
    }

    pub(super) fn judged(mut self, verdict: Verdict) -> Progress {
        match verdict {
            Verdict::Accepted(facts) => {
                self.entry.facts = facts;
                if !self.entry.gateways.is_empty() {
                    return self.to(Step::SetRoutes);
                }
                self.entry.before = None;
                self.entry.phase = Phase::Attached;
                self.to(Step::SaveAttached)
            }
            Verdict::Refused(facts, failure) => {
                self.entry.facts = facts;
                self.refuse(failure)
            }
            Verdict::Later(what) => {
                self.event(Change::Waiting(what.clone()));
                self.end(EndResult::Waiting(what))
            }
        }
    }

    /// What they replaced was written before ADD, and stays written.
    pub(super) fn routes_set(mut self, set: Result<(), Failure>) -> Progress {
        match set {
            Ok(()) => {
                self.entry.phase = Phase::Attached;
                self.to(Step::SaveAttached)
            }
            Err(failure) => self.refuse(failure),
        }
    }

    /// Deletes what a successful ADD made.
    fn refuse(mut self, failure: Failure) -> Progress {
        self.failure = Some(failure);
        self.delete_for(Why::Refused);
        self.to(Step::SaveDeleting)
    }

    pub(super) fn attached(mut self, written: Result<(), String>) -> Progress {
        if let Err(problem) = written {
            return self.fail(store_failure(problem));
        }
        self.is_stored();
        if self.goal == Goal::Adopt {
            return self.end(EndResult::Adopted);
        }
        let result = self.entry.result.clone();
        self.event(Change::Attached(result));
        self.end(EndResult::Attached)
    }

    /// Deletes what a failed ADD left. `Adding` is stored and says the same, but for a result.
    fn undo(mut self, why: Why, failure: Failure) -> Progress {
        self.failure = Some(failure);
        self.delete_for(why);
        let step = match self.entry.result {
            Some(_) => Step::SaveDeleting,
            None => self.step_of_del(),
        };
        self.to(step)
    }
}
