//! A pod that is still being worked on is reported a moment later, unless its next outcome comes first: a link that CNI
//! plugins attach meanwhile costs one report and not three.

use std::time::{Duration, Instant};

use crds::{Reason, report::LinkState};

use super::{IDLE, Reporter};
use crate::podconfig::outcome::PodOutcome;

/// How long a report may wait.
const UNFINISHED: Duration = Duration::from_millis(50);

impl Reporter {
    /// Writes the report, or notes that it waits.
    pub(super) fn report_or_wait(&mut self, outcome: &PodOutcome) {
        let uid = &outcome.pod.uid;
        match is_unfinished(outcome) {
            true => {
                let now = Instant::now();
                self.unreported.entry(uid.clone()).or_insert(now);
            }
            false => {
                self.unreported.remove(uid);
                self.report(outcome);
                self.report_to_pod(outcome);
            }
        }
    }

    /// Writes the reports that have waited long enough by now; without a time, all.
    pub(super) fn report_unfinished(&mut self, now: Option<Instant>) {
        let is_due = |since: &Instant| now.is_none_or(|now| *since + UNFINISHED <= now);
        let due = self.unreported.extract_if(|_, since| is_due(since));
        let due: Vec<String> = due.map(|(uid, _)| uid).collect();
        for uid in due {
            if let Some(outcome) = self.outcomes.remove(&uid) {
                self.report(&outcome);
                self.report_to_pod(&outcome);
                self.outcomes.insert(uid, outcome);
            }
        }
    }

    /// How long until a report has waited long enough.
    pub(super) fn until_unfinished(&self, now: Instant) -> Duration {
        let oldest = self.unreported.values().min();
        let rest = oldest.map(|since| (*since + UNFINISHED).saturating_duration_since(now));
        rest.unwrap_or(IDLE)
    }
}

/// Pure: whether a link has not come to its end yet.
fn is_unfinished(outcome: &PodOutcome) -> bool {
    let mut links = outcome.links.iter();
    links.any(|link| link.state == LinkState::Pending && link.reason == Reason::Reconciling)
}
