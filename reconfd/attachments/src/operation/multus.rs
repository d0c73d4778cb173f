//! What Multus attached at pod start, and is not requested any more: read from Multus' own file, stored as `Deleting`
//! before anything runs, deleted as any other attachment, and then Multus' file goes.

use super::{EndResult, Goal, Operation, Progress, Step, Terms, store_failure};
use crate::{
    entry::{Entry, Facts, MultusFile, Phase, Why},
    ports::Ready,
    status::{Change, Failure, FailureReason},
};

impl Operation {
    /// Deletes what Multus attached in the slot of an entry whose chain is not known yet.
    pub fn take_over(unknown: Entry, terms: Terms) -> Self {
        Self::new(Goal::TakeOver, Step::Open, None, unknown, terms)
    }

    /// Drops the entry of what is detached.
    pub fn forget(stored: Entry, terms: Terms) -> Self {
        let entry = stored.clone();
        Self::new(Goal::Delete, Step::Remove, Some(stored), entry, terms)
    }

    pub(super) fn multus_read(mut self, file: Result<Option<MultusFile>, Failure>) -> Progress {
        match file {
            Ok(Some(file)) => {
                // The path that the jail shows the namespace under is the recorded one.
                let netns = std::mem::take(&mut self.entry.chain.netns);
                self.entry.chain = file.chain;
                self.entry.chain.netns = netns;
                self.entry.result = file.result;
                self.is_found = true;
                self.to(Step::Look)
            }
            Ok(None) => self.to(Step::Look),
            Err(failure) => self.delete_failed(failure),
        }
    }

    pub(super) fn looked(mut self, facts: Result<Facts, Failure>) -> Progress {
        let facts = match facts {
            Ok(facts) => facts,
            Err(failure) => return self.delete_failed(failure),
        };
        let is_there = facts.ifindex.is_some();
        self.entry.facts = facts;
        match (self.is_found, is_there) {
            (true, _) => self.to(Step::Preflight),
            // Another program has undone it.
            (false, false) => {
                self.event(Change::Detached(Why::NotRequested));
                self.end(EndResult::TakenOver)
            }
            (false, true) => {
                let what = "Multus has no file of this interface, so podconfig cannot detach it";
                self.delete_failed(Failure::new(FailureReason::DetachIncomplete, what))
            }
        }
    }

    /// Only a chain that can run is stored: one with a plugin that the node's list does not name stays Multus'. Whether
    /// its plugins could ADD does not matter.
    pub(super) fn multus_can_run(self, ready: Result<Ready, Failure>) -> Progress {
        match ready {
            Err(failure)
                if matches!(
                    failure.reason,
                    FailureReason::PluginNotFound | FailureReason::RunnerUnavailable
                ) =>
            {
                self.delete_failed(failure)
            }
            _ => self.to(Step::Create),
        }
    }

    pub(super) fn multus_removed(mut self, removed: Result<(), Failure>) -> Progress {
        match removed {
            Ok(()) if self.is_alive => {
                self.entry.phase = Phase::Detached;
                self.to(Step::SaveDetached)
            }
            Ok(()) => self.to(Step::Remove),
            Err(failure) if failure.reason == FailureReason::RunnerUnavailable => {
                self.is_stored();
                self.delete_failed(failure)
            }
            Err(failure) => self.del_failed(Default::default(), failure),
        }
    }

    /// Where it cannot be written, DEL runs once more.
    pub(super) fn detached_stored(mut self, written: Result<(), String>) -> Progress {
        match written {
            Ok(()) => {
                let deletion = self.stored.as_ref().and_then(|stored| stored.deletion());
                let why = deletion.map_or(Why::NotRequested, |deletion| deletion.why);
                self.is_stored();
                self.event(Change::Detached(why));
                self.end(EndResult::TakenOver)
            }
            Err(problem) => self.delete_failed(store_failure(problem)),
        }
    }
}
