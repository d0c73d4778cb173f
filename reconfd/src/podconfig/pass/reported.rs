//! Reports the outcome of a pod's pass.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use super::{applied::Applied, saved::Saved};
use crate::podconfig::{ReportJob, pod_schedule::PodSchedule, report_queue::ReportQueue};

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

/// `started`, `since`: when the pass began.
pub(super) fn report(
    saved: Saved,
    (started, since): (Instant, SystemTime),
    schedule: &mut PodSchedule,
    reports: &ReportQueue,
) -> Reported {
    let pod = saved.into_applied();
    if pod.created_a_carrier() {
        return Reported::Follows(pod.uid().to_owned());
    }
    if defer_report(&pod, schedule) {
        return Reported::Deferred;
    }
    for error in pod.errors() {
        reports.metrics.netlink_refused(error.errno as i32);
    }
    let none = HashMap::new();
    let applied = schedule.applied(pod.uid());
    let changed = applied.map_or(&none, |applied| &applied.changed);
    let outcome = pod.outcome(changed, since);
    reports
        .metrics
        .reconciled(outcome.worst(), started.elapsed());
    reports.send(ReportJob::Pod(Box::new(outcome)));
    Reported::Sent
}

fn defer_report(pod: &Applied, schedule: &mut PodSchedule) -> bool {
    let Some(applied) = schedule.applied_mut(pod.uid()) else {
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
