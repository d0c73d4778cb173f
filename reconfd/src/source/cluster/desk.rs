//! What is to be written to the API, and nobody waits for it: of each object the latest wish alone is kept,
//! and written when the API takes it. Links are never behind a write.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crds::{PodReport, PodReportStatus};
use tokio::{sync::Notify, time::sleep};

use super::{events::Notice, pods::PodWish, rewrite::Rewrites, watch::Key};

/// Events beyond these are dropped, the oldest first: while the API is away nobody can read them.
const MOST_NOTICES: usize = 1000;

/// Cheap to clone; every clone writes to the same API.
#[derive(Clone, Default)]
pub struct Sink(Arc<Desk>);

#[derive(Default)]
struct Desk {
    bell: Notify,
    /// Rings when there may be reports in another namespace.
    namespaces: Notify,
    papers: Mutex<Papers>,
}

#[derive(Default)]
struct Papers {
    reports: BTreeMap<Key, ReportWish>,
    pods: BTreeMap<Key, PodWish>,
    notices: VecDeque<Notice>,
    /// Reports as the API has them.
    written: BTreeMap<Key, PodReportStatus>,
    /// Reports as they are to be.
    wanted: BTreeMap<Key, PodReportStatus>,
    /// Reports that the API has otherwise.
    rewrites: Rewrites,
    /// How many writes are not answered yet.
    under_way: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReportWish {
    Write(Box<PodReportStatus>),
    /// Only the report of this pod, by its uid, is taken away.
    Remove(String),
}

/// One thing to write.
pub enum Wish {
    Report(Key, ReportWish),
    Pod(Key, PodWish),
    Notice(Notice),
}

impl Sink {
    /// What the API has of a pod's report.
    pub fn written(&self, namespace: &str, name: &str) -> Option<PodReportStatus> {
        let key = (namespace.to_owned(), name.to_owned());
        self.papers().written.get(&key).cloned()
    }

    pub fn write_pod_report(&self, report: &PodReport) {
        let key = super::watch::key(report);
        let Some(status) = report.status.clone() else {
            return tracing::error!(?key, "a pod report that says nothing is not written");
        };
        let mut papers = self.papers();
        papers.wanted.insert(key.clone(), status.clone());
        self.0.namespaces.notify_one();
        // While something is under way, what the API has may be otherwise in a moment.
        if papers.under_way == 0 && papers.has(&key, &status) {
            papers.reports.remove(&key);
            return;
        }
        let wish = ReportWish::Write(Box::new(status));
        papers.reports.insert(key, wish);
        self.0.bell.notify_one();
    }

    /// Drops what is to be written of a pod, and leaves what is.
    pub fn leave_pod(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut papers = self.papers();
        papers.wanted.remove(&key);
        papers.reports.remove(&key);
        papers.pods.remove(&key);
    }

    /// Takes away the report of this very pod, where there is one.
    pub fn remove_pod_report(&self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut papers = self.papers();
        let is_of_pod = |status: &PodReportStatus| status.pod_uid == uid;
        if papers.wanted.get(&key).is_some_and(is_of_pod) {
            papers.wanted.remove(&key);
        }
        let pending = papers.reports.remove(&key);
        let is_written = papers.written.get(&key).is_some_and(is_of_pod);
        // It may be on its way.
        if is_written || pending.is_some() {
            papers.reports.insert(key, ReportWish::Remove(uid.into()));
            self.0.bell.notify_one();
        }
    }

    /// Takes away all reports of this node but those of these pods, by uid.
    pub fn keep_only(&self, uids: &[&str]) {
        let mut papers = self.papers();
        let stale = papers.written.iter();
        let stale = stale.filter(|(_, status)| !uids.contains(&status.pod_uid.as_str()));
        let stale: Vec<(Key, String)> = stale
            .map(|(key, status)| (key.clone(), status.pod_uid.clone()))
            .collect();
        for (key, uid) in stale {
            papers.reports.entry(key).or_insert(ReportWish::Remove(uid));
        }
        self.0.bell.notify_one();
    }

    pub fn set_pod_status(&self, namespace: &str, name: &str, wish: PodWish) {
        let key = (namespace.to_owned(), name.to_owned());
        self.papers().pods.insert(key, wish);
        self.0.bell.notify_one();
    }

    pub fn tell(&self, notice: Notice) {
        let mut papers = self.papers();
        papers.notices.push_back(notice);
        while papers.notices.len() > MOST_NOTICES {
            papers.notices.pop_front();
        }
        self.0.bell.notify_one();
    }

    /// The reports that the API has at the start.
    pub fn found_first(&self, reports: Vec<PodReport>) {
        self.papers().written = statuses(reports);
    }

    /// The namespaces where this node has reports.
    pub fn namespaces(&self) -> BTreeSet<String> {
        let papers = self.papers();
        let keys = papers.written.keys().chain(papers.wanted.keys());
        keys.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Waits until there may be others.
    pub async fn namespaces_changed(&self) {
        self.0.namespaces.notified().await;
    }

    /// Takes in how the API has a report: one that is otherwise than it was written is written again.
    pub fn observed(&self, key: &Key, status: Option<PodReportStatus>, now: Instant) {
        let mut papers = self.papers();
        match status {
            Some(status) => drop(papers.written.insert(key.clone(), status)),
            None => drop(papers.written.remove(key)),
        }
        match papers.is_as_wanted(key) {
            true => papers.rewrites.agrees(key),
            false => papers.rewrites.differs(key, now),
        }
    }

    /// All reports of this node in a namespace were observed.
    pub fn listed(&self, namespace: &str, is_there: impl Fn(&Key) -> bool, now: Instant) {
        let written = self.papers().written.clone().into_keys();
        let gone = written.filter(|key| key.0 == namespace && !is_there(key));
        gone.for_each(|key| self.observed(&key, None, now));
    }

    /// When a report is to be written again.
    pub fn next_rewrite(&self) -> Option<Instant> {
        self.papers().rewrites.next()
    }

    /// Queues the reports that are to be written again by now, if their pod, by its uid, is there.
    pub fn write_again(&self, is_there: impl Fn(&Key, &str) -> bool, now: Instant) -> Vec<Key> {
        let mut papers = self.papers();
        let due = papers.rewrites.due(now).into_iter();
        let due = due.filter(|key| {
            let wanted = papers.wanted.get(key);
            wanted.is_some_and(|wanted| is_there(key, &wanted.pod_uid)) && !papers.is_as_wanted(key)
        });
        let due: Vec<Key> = due.collect();
        for key in &due {
            if let Some(wanted) = papers.wanted.get(key) {
                let wish = ReportWish::Write(Box::new(wanted.clone()));
                papers.reports.entry(key.clone()).or_insert(wish);
            }
        }
        self.0.bell.notify_one();
        due
    }

    /// Waits until nothing is left to write.
    pub async fn written_all(&self) {
        while !self.is_done() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn is_done(&self) -> bool {
        let papers = self.papers();
        papers.is_empty() && papers.under_way == 0
    }

    pub fn take(&self) -> Vec<Wish> {
        let mut papers = self.papers();
        let mut reports = std::mem::take(&mut papers.reports);
        reports.retain(|key, wish| match wish {
            ReportWish::Write(status) => !papers.has(key, status),
            ReportWish::Remove(_) => true,
        });
        let reports = reports.into_iter();
        let mut wishes: Vec<Wish> = reports.map(|(key, wish)| Wish::Report(key, wish)).collect();
        let pods = std::mem::take(&mut papers.pods).into_iter();
        wishes.extend(pods.map(|(key, wish)| Wish::Pod(key, wish)));
        wishes.extend(papers.notices.drain(..).map(Wish::Notice));
        papers.under_way = wishes.len();
        wishes
    }

    pub fn is_answered(&self) {
        let mut papers = self.papers();
        papers.under_way = papers.under_way.saturating_sub(1);
    }

    /// For another try, unless there is a later wish.
    pub fn put_back(&self, wish: Wish) {
        let mut papers = self.papers();
        match wish {
            Wish::Report(key, wish) => {
                // Without an answer nobody knows what the API has.
                if let ReportWish::Write(_) = wish {
                    papers.written.remove(&key);
                }
                papers.reports.entry(key).or_insert(wish);
            }
            Wish::Pod(key, wish) => drop(papers.pods.entry(key).or_insert(wish)),
            Wish::Notice(notice) if papers.notices.len() < MOST_NOTICES => {
                papers.notices.push_front(notice);
            }
            Wish::Notice(_) => (),
        }
    }

    pub fn has_written(&self, key: &Key, status: Option<PodReportStatus>) {
        let mut papers = self.papers();
        match status {
            Some(status) => drop(papers.written.insert(key.clone(), status)),
            None => drop(papers.written.remove(key)),
        }
    }

    /// Waits until there is something to write.
    pub async fn wait(&self) {
        if self.papers().is_empty() {
            self.0.bell.notified().await;
        }
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        // Every change is made as a whole, so a panic in between leaves nothing half-done.
        self.0.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Papers {
    /// Whether the API has this report of that pod.
    fn has(&self, key: &Key, status: &PodReportStatus) -> bool {
        self.written.get(key) == Some(status)
    }

    /// Whether the API has the report as it is to be; of one that is not to be, nothing is asked.
    fn is_as_wanted(&self, key: &Key) -> bool {
        let wanted = self.wanted.get(key);
        wanted.is_none_or(|wanted| self.has(key, wanted))
    }

    fn is_empty(&self) -> bool {
        self.reports.is_empty() && self.pods.is_empty() && self.notices.is_empty()
    }
}

fn statuses(reports: Vec<PodReport>) -> BTreeMap<Key, PodReportStatus> {
    let reports = reports.into_iter();
    reports
        .filter_map(|report| Some((super::watch::key(&report), report.status?)))
        .collect()
}

#[cfg(test)]
mod tests;
