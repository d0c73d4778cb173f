//! Queue of pending API writes. Non-blocking; writes to one object coalesce to the newest. Links never wait for a
//! write.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crds::{PodReport, PodReportStatus};
use kubeio::{
    events::Notice,
    watch::{ObjectKey, key},
};
use tokio::{sync::Notify, time::sleep};

use super::{pods::PodStatusWrite, rewrite::Rewrites};

/// Limit of queued Events; the oldest are dropped first: while the API is unavailable they cannot be read.
const MAX_NOTICES: usize = 1000;

/// Handle to the queue. Cheap to clone.
#[derive(Clone, Default)]
pub struct WriteQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    wakeup: Notify,
    /// Signals that there may be reports in another namespace.
    namespaces: Notify,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    reports: BTreeMap<ObjectKey, ReportWrite>,
    pods: BTreeMap<ObjectKey, PodStatusWrite>,
    notices: VecDeque<Notice>,
    /// Reports as stored in the API.
    written: BTreeMap<ObjectKey, PodReportStatus>,
    /// Desired reports.
    wanted: BTreeMap<ObjectKey, PodReportStatus>,
    /// Reports that differ in the API.
    rewrites: Rewrites,
    /// Writes without a response yet.
    in_flight: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReportWrite {
    Write(Box<PodReportStatus>),
    /// Deletes only the report of this pod, by its uid.
    Remove(String),
}

/// One pending write.
pub enum WriteRequest {
    Report(ObjectKey, ReportWrite),
    Pod(ObjectKey, PodStatusWrite),
    Notice(Notice),
}

impl WriteQueue {
    /// The pod's report as stored in the API.
    pub fn written(&self, namespace: &str, name: &str) -> Option<PodReportStatus> {
        let key = (namespace.to_owned(), name.to_owned());
        self.pending().written.get(&key).cloned()
    }

    pub fn write_pod_report(&self, report: &PodReport) {
        let key = key(report);
        let Some(status) = report.status.clone() else {
            return tracing::error!(?key, "a PodReport without status is not written");
        };
        let mut pending = self.pending();
        pending.wanted.insert(key.clone(), status.clone());
        self.0.namespaces.notify_one();
        // While a write is in flight, the stored report may be about to change.
        if pending.in_flight == 0 && pending.has(&key, &status) {
            pending.reports.remove(&key);
            return;
        }
        let request = ReportWrite::Write(Box::new(status));
        pending.reports.insert(key, request);
        self.0.wakeup.notify_one();
    }

    /// Drops pending writes for a pod, and leaves what is stored.
    pub fn forget_pod(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut pending = self.pending();
        pending.wanted.remove(&key);
        pending.reports.remove(&key);
        pending.pods.remove(&key);
    }

    /// Deletes the report of this very pod, if there is one.
    pub fn remove_pod_report(&self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut pending = self.pending();
        let is_of_pod = |status: &PodReportStatus| status.pod_uid == uid;
        if pending.wanted.get(&key).is_some_and(is_of_pod) {
            pending.wanted.remove(&key);
        }
        let queued = pending.reports.remove(&key);
        let is_written = pending.written.get(&key).is_some_and(is_of_pod);
        // The write may be in flight.
        if is_written || queued.is_some() {
            pending.reports.insert(key, ReportWrite::Remove(uid.into()));
            self.0.wakeup.notify_one();
        }
    }

    /// Deletes all reports of this node except those of these pods, by uid.
    pub fn keep_only(&self, uids: &[&str]) {
        let mut pending = self.pending();
        let stale = pending.written.iter();
        let stale = stale.filter(|(_, status)| !uids.contains(&status.pod_uid.as_str()));
        let stale: Vec<(ObjectKey, String)> = stale
            .map(|(key, status)| (key.clone(), status.pod_uid.clone()))
            .collect();
        for (key, uid) in stale {
            pending
                .reports
                .entry(key)
                .or_insert(ReportWrite::Remove(uid));
        }
        self.0.wakeup.notify_one();
    }

    pub fn set_pod_status(&self, namespace: &str, name: &str, request: PodStatusWrite) {
        let key = (namespace.to_owned(), name.to_owned());
        self.pending().pods.insert(key, request);
        self.0.wakeup.notify_one();
    }

    pub fn publish(&self, notice: Notice) {
        let mut pending = self.pending();
        pending.notices.push_back(notice);
        while pending.notices.len() > MAX_NOTICES {
            pending.notices.pop_front();
        }
        self.0.wakeup.notify_one();
    }

    /// Sets the reports that are stored at the start.
    pub fn seed(&self, reports: Vec<PodReport>) {
        self.pending().written = statuses(reports);
    }

    /// The namespaces where this node has reports.
    pub fn namespaces(&self) -> BTreeSet<String> {
        let pending = self.pending();
        let keys = pending.written.keys().chain(pending.wanted.keys());
        keys.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Waits until the namespaces may have changed.
    pub async fn namespaces_changed(&self) {
        self.0.namespaces.notified().await;
    }

    /// Records a report as stored in the API. One that differs from the desired report is written again.
    pub fn observed(&self, key: &ObjectKey, status: Option<PodReportStatus>, now: Instant) {
        let mut pending = self.pending();
        match status {
            Some(status) => drop(pending.written.insert(key.clone(), status)),
            None => drop(pending.written.remove(key)),
        }
        match pending.is_as_wanted(key) {
            true => pending.rewrites.agrees(key),
            false => pending.rewrites.differs(key, now),
        }
    }

    /// All reports of this node in a namespace were observed.
    pub fn listed(&self, namespace: &str, is_there: impl Fn(&ObjectKey) -> bool, now: Instant) {
        let written = self.pending().written.clone().into_keys();
        let gone = written.filter(|key| key.0 == namespace && !is_there(key));
        gone.for_each(|key| self.observed(&key, None, now));
    }

    /// When the next rewrite is due.
    pub fn next_rewrite(&self) -> Option<Instant> {
        self.pending().rewrites.next()
    }

    /// Queues the due rewrites whose pod, by its uid, still exists.
    pub fn write_again(
        &self,
        is_there: impl Fn(&ObjectKey, &str) -> bool,
        now: Instant,
    ) -> Vec<ObjectKey> {
        let mut pending = self.pending();
        let due = pending.rewrites.due(now).into_iter();
        let due = due.filter(|key| {
            let wanted = pending.wanted.get(key);
            wanted.is_some_and(|wanted| is_there(key, &wanted.pod_uid))
                && !pending.is_as_wanted(key)
        });
        let due: Vec<ObjectKey> = due.collect();
        for key in &due {
            if let Some(wanted) = pending.wanted.get(key) {
                let request = ReportWrite::Write(Box::new(wanted.clone()));
                pending.reports.entry(key.clone()).or_insert(request);
            }
        }
        self.0.wakeup.notify_one();
        due
    }

    /// Waits until nothing is pending or in flight.
    pub async fn wait_drained(&self) {
        while !self.is_drained() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn is_drained(&self) -> bool {
        let pending = self.pending();
        pending.is_empty() && pending.in_flight == 0
    }

    pub fn take(&self) -> Vec<WriteRequest> {
        let mut pending = self.pending();
        let mut reports = std::mem::take(&mut pending.reports);
        reports.retain(|key, request| match request {
            ReportWrite::Write(status) => !pending.has(key, status),
            ReportWrite::Remove(_) => true,
        });
        let reports = reports.into_iter();
        let mut requests: Vec<WriteRequest> = reports
            .map(|(key, request)| WriteRequest::Report(key, request))
            .collect();
        let pods = std::mem::take(&mut pending.pods).into_iter();
        requests.extend(pods.map(|(key, request)| WriteRequest::Pod(key, request)));
        requests.extend(pending.notices.drain(..).map(WriteRequest::Notice));
        pending.in_flight = requests.len();
        requests
    }

    pub fn complete(&self) {
        let mut pending = self.pending();
        pending.in_flight = pending.in_flight.saturating_sub(1);
    }

    /// Queues a failed write again, unless there is a newer one for its object.
    pub fn requeue(&self, request: WriteRequest) {
        let mut pending = self.pending();
        match request {
            WriteRequest::Report(key, request) => {
                // Without a response, the stored report is unknown.
                if let ReportWrite::Write(_) = request {
                    pending.written.remove(&key);
                }
                pending.reports.entry(key).or_insert(request);
            }
            WriteRequest::Pod(key, request) => drop(pending.pods.entry(key).or_insert(request)),
            WriteRequest::Notice(notice) if pending.notices.len() < MAX_NOTICES => {
                pending.notices.push_front(notice);
            }
            WriteRequest::Notice(_) => (),
        }
    }

    pub fn has_written(&self, key: &ObjectKey, status: Option<PodReportStatus>) {
        let mut pending = self.pending();
        match status {
            Some(status) => drop(pending.written.insert(key.clone(), status)),
            None => drop(pending.written.remove(key)),
        }
    }

    /// Waits until there is something to write.
    pub async fn wait(&self) {
        if self.pending().is_empty() {
            self.0.wakeup.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Every change is atomic, so a panic leaves no partial state.
        self.0
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Whether the API has this report.
    fn has(&self, key: &ObjectKey, status: &PodReportStatus) -> bool {
        self.written.get(key) == Some(status)
    }

    /// Whether the stored report is the desired one; true if none is desired.
    fn is_as_wanted(&self, key: &ObjectKey) -> bool {
        let wanted = self.wanted.get(key);
        wanted.is_none_or(|wanted| self.has(key, wanted))
    }

    fn is_empty(&self) -> bool {
        self.reports.is_empty() && self.pods.is_empty() && self.notices.is_empty()
    }
}

fn statuses(reports: Vec<PodReport>) -> BTreeMap<ObjectKey, PodReportStatus> {
    let reports = reports.into_iter();
    reports
        .filter_map(|report| Some((key(&report), report.status?)))
        .collect()
}

#[cfg(test)]
mod tests;
