//! CHECK: the first one after ADD is the baseline, because some plugins fail it right after a good ADD.

use super::{EndResult, Operation, Progress, Step};
use crate::{
    ports::CheckOutcome,
    status::{Change, Failure, FailureReason},
};

impl Operation {
    pub(super) fn checked(mut self, outcome: CheckOutcome) -> Progress {
        let CheckOutcome {
            passed,
            failure,
            is_complete,
        } = outcome;
        if !is_complete {
            let unknown = || Failure::new(FailureReason::RunnerUnavailable, "CHECK has not run");
            return self.fail(failure.unwrap_or_else(unknown));
        }
        if self.entry.baseline.is_none() {
            self.entry.baseline = Some(passed);
            return self.to(Step::SaveBaseline);
        }
        match failure {
            Some(failure) => {
                self.event(Change::CheckFailed(failure.clone()));
                self.end(EndResult::CheckFailed(failure))
            }
            None => {
                self.event(Change::CheckPassed);
                self.end(EndResult::CheckPassed)
            }
        }
    }

    /// A baseline that could not be written is taken again by the next daemon.
    pub(super) fn baseline_stored(mut self) -> Progress {
        self.is_stored();
        self.end(EndResult::CheckPassed)
    }
}
