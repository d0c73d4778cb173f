//! Reports the outcome of a pod's pass.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use super::{applied::Applied, saved::Saved};
use crate::podconfig::{NodeReconciler, ReportJob};

/// A link that waits for its address is reported after this time.
const CLAIMED_WITHIN: Duration = Duration::from_secs(1);

/// What became of a pod's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    Sent,
    /// It only waits for claims, which are most likely acquired in a moment: it is requeued.
    Deferred,
    /// A link that others are based on was created: they follow at once, and are reported
    /// together.
    Follows(String),
}

impl NodeReconciler {
    pub(super) fn report(&mut self, saved: Saved, started: Instant, since: SystemTime) -> Reported {
        let pod = saved.into_applied();
        if pod.created_a_carrier() {
            return Reported::Follows(pod.uid().to_owned());
        }
        if self.defer_report(&pod) {
            return Reported::Deferred;
        }
        for error in pod.errors() {
            self.reports.metrics.netlink_refused(error.errno as i32);
        }
        let none = HashMap::new();
        let applied = self.schedule.applied(pod.uid());
        let changed = applied.map_or(&none, |applied| &applied.changed);
        let outcome = pod.outcome(changed, since);
        self.reports
            .metrics
            .reconciled(outcome.worst(), started.elapsed());
        self.reports.send(ReportJob::Pod(Box::new(outcome)));
        Reported::Sent
    }

    fn defer_report(&mut self, pod: &Applied) -> bool {
        let Some(applied) = self.schedule.applied_mut(pod.uid()) else {
            return false;
        };
        let waits = applied
            .unapplied_since
            .unwrap_or_else(Instant::now)
            .elapsed();
        let is_later = waits < CLAIMED_WITHIN && pod.only_claims();
        if is_later {
            applied.requeue_within(CLAIMED_WITHIN - waits);
        }
        is_later
    }
}
