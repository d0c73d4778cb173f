//! Reports outcomes: PodReports, statuses, Events, log. Runs on its own thread, so that a slow or
//! full disk never delays a link.

use std::{
    collections::{BTreeSet, HashMap},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant, SystemTime},
};

use crds::{
    PodConfigStatus, PodReport, Reason,
    report::{LinkState, PodReportStatus},
};
use node::links::LinkKind;
use store::Stores;
use telemetry::metrics::Metrics;

use super::{
    annotation::ANNOTATION,
    outcome::PodOutcome,
    report::{config_status, pod_metadata, pod_status},
};
use crate::report_sink::ReportSink;

/// Events.
mod events;
/// Example outcomes for tests.
#[cfg(test)]
mod example;
/// Log lines.
mod log;
/// The pod's own status.
mod pod;
/// Reports of pods that are still being worked on.
mod unfinished;
use events::PodConfigEvents;

/// The first outcome after a pause is written at once; those of a burst are coalesced into one
/// status.
const COALESCE: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_secs(1);

/// Jobs that the reconciler sends to the reporter.
#[derive(Debug)]
pub enum ReportJob {
    Pod(Box<PodOutcome>),
    PodGone {
        uid: String,
    },
    /// A PodConfig was added, changed or deleted.
    PodConfig {
        namespace: String,
        name: String,
    },
    AllPodConfigs,
    /// The end of a pass.
    Done,
    /// Every pod has been reported once.
    Started,
}

pub struct Reporter {
    pub stores: Stores,
    pub sink: ReportSink,
    pub metrics: Metrics,
    pub node: String,
    /// By pod uid.
    outcomes: HashMap<String, PodOutcome>,
    reports: HashMap<String, PodReportStatus>,
    statuses: HashMap<(String, String), PodConfigStatus>,
    /// PodConfigs by namespace and name → uids of the pods that they request links in.
    pods_of: HashMap<(String, String), BTreeSet<String>>,
    stale: BTreeSet<(String, String)>,
    /// Pods by uid whose newest outcome is not reported, and since when.
    unreported: HashMap<String, Instant>,
    flushed: Instant,
    /// What happened in this pass, by PodConfig.
    podconfig_events: PodConfigEvents,
    manner: ReporterOptions,
}

/// What is written beside the reports, where there is an API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReporterOptions {
    /// The readiness condition of pods that wait for their links.
    pub gate: bool,
    /// The network-status annotation, as read by Multus' tools.
    pub network_status: bool,
    /// What plugins have made, in the same annotation: always where pods request it by theirs.
    pub attachments: bool,
}

impl Reporter {
    pub fn new(
        (stores, sink): (Stores, ReportSink),
        metrics: Metrics,
        node: String,
        manner: ReporterOptions,
    ) -> Self {
        Self {
            stores,
            sink,
            metrics,
            node,
            podconfig_events: PodConfigEvents::default(),
            manner,
            outcomes: HashMap::new(),
            reports: HashMap::new(),
            statuses: HashMap::new(),
            pods_of: HashMap::new(),
            stale: BTreeSet::new(),
            unreported: HashMap::new(),
            flushed: Instant::now(),
        }
    }

    /// Runs until the reconciler has ended and everything is written.
    pub fn run(mut self, tellings: &mpsc::Receiver<ReportJob>) {
        loop {
            match tellings.recv_timeout(self.patience()) {
                Ok(reporter) => self.take(reporter),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.report_unfinished(None);
                    return self.flush();
                }
            }
            self.report_unfinished(Some(Instant::now()));
        }
    }

    /// How long to wait for more jobs before statuses are written.
    fn patience(&self) -> Duration {
        let patience = match self.stale.is_empty() {
            true => IDLE,
            false => COALESCE,
        };
        patience.min(self.until_unfinished(Instant::now()))
    }

    fn take(&mut self, reporter: ReportJob) {
        match reporter {
            ReportJob::Pod(outcome) => self.report_pod(*outcome),
            ReportJob::PodGone { uid } => self.report_pod_gone(&uid),
            ReportJob::PodConfig { namespace, name } => drop(self.stale.insert((namespace, name))),
            ReportJob::AllPodConfigs => self.mark_all_stale(),
            ReportJob::Done => {
                self.send_podconfig_events();
                if self.flushed.elapsed() >= COALESCE && self.unreported.is_empty() {
                    self.flush();
                }
            }
            ReportJob::Started => self.tidy(),
        }
    }

    /// Deletes reports of what ended while no daemon ran.
    fn tidy(&mut self) {
        self.mark_all_stale();
        let reported = self
            .outcomes
            .values()
            .filter(|o| self.reports.contains_key(&o.pod.uid) || o.is_anothers());
        match &self.sink {
            ReportSink::Cluster(sink) => {
                // Nothing is known yet of a living pod that was not reconciled: its report stays.
                let pods = self.stores.pods();
                let living = pods.iter().filter(|pod| !pod.has_ended());
                let living = living.filter_map(|pod| pod.metadata.uid.as_deref());
                let pending = living.filter(|uid| !self.outcomes.contains_key(*uid));
                let reported = reported.map(|outcome| outcome.pod.uid.as_str());
                let uids: Vec<&str> = reported.chain(pending).collect();
                sink.keep_only(&uids);
            }
            ReportSink::Directory(sink) => {
                let pods = reported
                    .map(|outcome| (outcome.pod.namespace.as_str(), outcome.pod.name.as_str()));
                let podconfigs = self.stale.iter();
                let podconfigs =
                    podconfigs.map(|(namespace, name)| (namespace.as_str(), name.as_str()));
                sink.keep_only(pods, podconfigs);
            }
        }
    }

    fn mark_all_stale(&mut self) {
        let configs = self.stores.podconfigs();
        let name = |config: &crds::PodConfig| {
            Some((
                config.metadata.namespace.clone()?,
                config.metadata.name.clone()?,
            ))
        };
        self.stale
            .extend(configs.iter().filter_map(|config| name(config)));
        self.stale.extend(self.statuses.keys().cloned());
    }

    /// Marks the PodConfigs that request links in a pod for a new status.
    fn mark_stale(&mut self, outcome: &PodOutcome) {
        for key in requesting(outcome) {
            self.stale.insert(key);
        }
    }

    fn report_pod(&mut self, outcome: PodOutcome) {
        let uid = outcome.pod.uid.clone();
        self.log(&outcome);
        if !self.is_superseded(&outcome) {
            self.send_pod_event(&outcome);
            match outcome.is_anothers() {
                true => {
                    self.reports.remove(&uid);
                    self.unreported.remove(&uid);
                    let pod = &outcome.pod;
                    self.sink.leave_pod(&pod.namespace, &pod.name);
                }
                false => self.report_or_wait(&outcome),
            }
        }
        self.forget(&uid);
        self.mark_stale(&outcome);
        for key in requesting(&outcome) {
            self.pods_of.entry(key).or_default().insert(uid.clone());
        }
        self.outcomes.insert(uid, outcome);
    }

    fn forget(&mut self, uid: &str) -> Option<PodOutcome> {
        let outcome = self.outcomes.remove(uid)?;
        self.mark_stale(&outcome);
        for key in requesting(&outcome) {
            if let Some(pods) = self.pods_of.get_mut(&key) {
                pods.remove(uid);
                if pods.is_empty() {
                    self.pods_of.remove(&key);
                }
            }
        }
        Some(outcome)
    }

    /// A pod that ended must not overwrite the report of a living pod of the same name.
    fn is_superseded(&self, outcome: &PodOutcome) -> bool {
        outcome.trouble.is_some()
            && self.outcomes.values().any(|other| {
                (&other.pod.namespace, &other.pod.name)
                    == (&outcome.pod.namespace, &outcome.pod.name)
                    && other.pod.uid != outcome.pod.uid
                    && other.trouble.is_none()
            })
    }

    fn report(&mut self, outcome: &PodOutcome) {
        let pod = &outcome.pod;
        if outcome.links.is_empty() {
            self.reports.remove(&pod.uid);
            let sink = &self.sink;
            return sink.remove_pod_report(&pod.namespace, &pod.name, &pod.uid);
        }
        let reported = self.reports.get(&pod.uid).cloned();
        let reported = reported.or_else(|| self.sink.reported(&pod.namespace, &pod.name));
        let status = pod_status(outcome, &self.node, reported.as_ref(), SystemTime::now());
        if self.reports.get(&pod.uid) == Some(&status) {
            return;
        }
        let mut report = PodReport::new(&pod.name, crds::report::PodReportSpec::default());
        report.metadata = pod_metadata(pod);
        report.status = Some(status.clone());
        self.sink.write_pod_report(&report);
        self.reports.insert(pod.uid.clone(), status);
    }

    fn report_pod_gone(&mut self, uid: &str) {
        let Some(outcome) = self.forget(uid) else {
            return;
        };
        self.reports.remove(uid);
        self.unreported.remove(uid);
        let (namespace, name) = (&outcome.pod.namespace, &outcome.pod.name);
        let is_back = self
            .outcomes
            .values()
            .any(|other| (&other.pod.namespace, &other.pod.name) == (namespace, name));
        if !is_back && !outcome.is_anothers() {
            self.sink.remove_pod_report(namespace, name, uid);
        }
    }

    /// Writes the status of every changed PodConfig.
    fn flush(&mut self) {
        self.flushed = Instant::now();
        for (namespace, name) in std::mem::take(&mut self.stale) {
            self.report_podconfig(namespace, name);
        }
        self.count();
        self.metrics
            .set_refused_manifests(self.stores.refusals().len());
        if let ReportSink::Directory(sink) = &self.sink {
            sink.retry();
        }
    }

    /// On a cluster the cluster controller writes it, from the reports of all nodes.
    fn report_podconfig(&mut self, namespace: String, name: String) {
        let ReportSink::Directory(sink) = &self.sink else {
            return;
        };
        let key = (namespace, name);
        let Some(config) = self.stores.podconfig(&key.0, &key.1) else {
            self.statuses.remove(&key);
            return sink.remove_podconfig(&key.0, &key.1);
        };
        let pods = self.pods_of.get(&key).into_iter().flatten();
        let here = pods.filter_map(|uid| self.outcomes.get(uid));
        let status = config_status(&config, here, self.statuses.get(&key), SystemTime::now());
        if self.statuses.get(&key) == Some(&status) {
            return;
        }
        sink.write_podconfig(config, status.clone());
        self.statuses.insert(key, status);
    }

    fn count(&self) {
        let mut counts: HashMap<(&'static str, LinkState), usize> = HashMap::new();
        let mut unready: HashMap<Reason, usize> = HashMap::new();
        for link in self.outcomes.values().flat_map(|outcome| &outcome.links) {
            *counts.entry((link.kind, link.state)).or_default() += 1;
            if link.state != LinkState::Ready {
                *unready.entry(link.reason).or_default() += 1;
            }
        }
        self.metrics.set_links_unready(&unready);
        for kind in LinkKind::NAMES {
            for state in [LinkState::Ready, LinkState::Pending, LinkState::Failed] {
                self.metrics.set_links(
                    kind,
                    state,
                    counts.get(&(kind, state)).copied().unwrap_or_default(),
                );
            }
        }
    }
}

/// The PodConfigs that request links in a pod, by namespace and name.
fn requesting(outcome: &PodOutcome) -> BTreeSet<(String, String)> {
    // The annotation of a pod is no object that has a status.
    let links = outcome
        .links
        .iter()
        .filter(|link| link.podconfig != ANNOTATION);
    links
        .map(|link| (outcome.pod.namespace.clone(), link.podconfig.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
