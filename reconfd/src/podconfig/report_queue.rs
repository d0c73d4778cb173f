//! The reconciler's end of reporting: jobs for the reporter's thread, and its metrics.

use std::sync::mpsc;

use telemetry::metrics::Metrics;

use super::reporter::ReportJob;

pub struct ReportQueue {
    pub metrics: Metrics,
    reporter: mpsc::Sender<ReportJob>,
    deferred: Vec<ReportJob>,
    /// Number of netlink changes already added to the metric.
    changes_counted: u64,
}

impl ReportQueue {
    pub fn new(metrics: Metrics, reporter: mpsc::Sender<ReportJob>) -> Self {
        Self {
            metrics,
            reporter,
            deferred: Vec::new(),
            changes_counted: 0,
        }
    }

    pub fn send(&self, job: ReportJob) {
        // A reporter that has ended has logged why.
        let _ = self.reporter.send(job);
    }

    /// Sends a job after the passes that follow from a change: an object alone is not worth a
    /// report, its outcome is.
    pub fn defer(&mut self, job: ReportJob) {
        self.deferred.push(job);
    }

    pub fn send_deferred(&mut self) {
        for job in std::mem::take(&mut self.deferred) {
            self.send(job);
        }
    }

    /// Adds the changes since the last call to the metric. `sent`: all netlink changes.
    pub fn count_changes(&mut self, sent: u64) {
        let new = sent.saturating_sub(self.changes_counted);
        self.metrics.netlink_changes(new as usize);
        self.changes_counted = sent;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn deferred_jobs_follow_the_outcomes_of_their_pass_once() {
        let (sender, jobs) = mpsc::channel();
        let mut queue = ReportQueue::new(Metrics::default(), sender);
        queue.defer(ReportJob::Done);
        queue.send(ReportJob::Started);
        queue.send_deferred();
        queue.send_deferred();
        let sent: Vec<ReportJob> = jobs.try_iter().collect();
        assert!(matches!(
            sent.as_slice(),
            [ReportJob::Started, ReportJob::Done]
        ));
    }
}
