//! Pure: aggregates the state of the pods that a PodConfig selects. Updated incrementally, so that the cost of a
//! report does not depend on the number of pods.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use conditions::{
    Trouble,
    podconfig::{self, LinkStatus, Tally},
};
use crds::{PodConfig, PodConfigStatus, Reason, report::LinkState};

use super::{
    objects::{PodInfo, ReportInfo, ReportedLink},
    reconcile_key::Delay,
};

/// State of one selected pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    Configured,
    /// Not configured yet, but expected to be.
    Waiting {
        /// Its node has not reported yet.
        not_reported: bool,
    },
    Failed,
}

/// States of the selected pods of one PodConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSummary {
    configured: HashSet<String>,
    unready: BTreeMap<String, PodState>,
    /// Messages about networks that links overlap, by pod.
    conflicts: BTreeMap<String, Vec<String>>,
    /// Number of pods without a report.
    not_reported: usize,
}

impl StatusSummary {
    /// Sets the state of a pod, `None` if it is not selected. Returns whether the status may change.
    pub fn put(&mut self, pod: &str, state: Option<PodState>) -> bool {
        let is_configured = state == Some(PodState::Configured);
        if is_configured && self.configured.contains(pod) {
            return false;
        }
        let was_configured = self.configured.remove(pod);
        let before = self.unready.remove(pod);
        self.not_reported -= usize::from(before.is_some_and(PodState::is_not_reported));
        match state {
            None => return was_configured || before.is_some(),
            Some(PodState::Configured) => drop(self.configured.insert(pod.to_owned())),
            Some(unready) => {
                self.not_reported += usize::from(unready.is_not_reported());
                self.unready.insert(pod.to_owned(), unready);
            }
        }
        true
    }

    /// Sets the conflicts of a pod. Returns whether they changed.
    pub fn put_conflicts(&mut self, pod: &str, conflicts: Vec<String>) -> bool {
        if conflicts.is_empty() {
            return self.conflicts.remove(pod).is_some();
        }
        let before = self.conflicts.insert(pod.to_owned(), conflicts);
        before.as_ref() != self.conflicts.get(pod)
    }

    /// How soon the status is written. Missing reports are expected shortly and are batched into one write.
    pub fn delay(&self) -> Delay {
        match self.not_reported {
            0 => Delay::Now,
            _ => Delay::Batch,
        }
    }

    /// Whether no pod is selected.
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty() && self.unready.is_empty()
    }

    /// Returns the status. `troubles_of` returns the troubles of a pod. `conflicts` are those of the spec, used
    /// where no pod reports any. `remark` is the message when there is no trouble.
    pub fn status<'a>(
        &'a self,
        config: &PodConfig,
        (troubles_of, conflicts): (impl Fn(&'a str) -> Vec<Trouble<'a>>, Vec<String>),
        remark: String,
        now: SystemTime,
    ) -> PodConfigStatus {
        let failed = self.unready.values();
        let tally = Tally {
            selected: self.configured.len() + self.unready.len(),
            configured: self.configured.len(),
            failed: failed.filter(|state| **state == PodState::Failed).count(),
            troubles: self
                .unready
                .keys()
                .flat_map(|pod| troubles_of(pod))
                .collect(),
            conflicts: match self.conflicts.is_empty() {
                true => conflicts,
                false => self.conflicts.values().flatten().cloned().collect(),
            },
            remark,
        };
        podconfig::status(config, tally, config.status.as_ref(), now)
    }
}

impl PodState {
    pub fn of(troubles: &[Trouble<'_>]) -> Self {
        if troubles.is_empty() {
            return Self::Configured;
        }
        match troubles.iter().any(Trouble::is_failure) {
            true => Self::Failed,
            false => Self::Waiting {
                not_reported: troubles.iter().any(Trouble::is_not_reported),
            },
        }
    }

    fn is_not_reported(self) -> bool {
        self == Self::Waiting { not_reported: true }
    }
}

/// The troubles of a pod with the links of the PodConfig.
pub fn troubles<'a>(
    config: &PodConfig,
    name: &'a str,
    pod: &PodInfo,
    report: Option<&'a ReportInfo>,
) -> Vec<Trouble<'a>> {
    if let Some(since) = &pod.unreachable_since {
        return vec![unreachable(name, pod, since)];
    }
    let report = report.filter(|report| report.is_of(pod));
    let links = report.into_iter().flat_map(|report| &report.links);
    let links = links.map(link_status);
    let whole = report.and_then(|report| report.trouble.as_ref());
    let whole = whole.map(|trouble| Trouble {
        pod: name,
        link: "",
        state: trouble.state,
        reason: trouble.reason,
        message: trouble.message.as_str().into(),
    });
    podconfig::pod_troubles(config, links, whole, not_reported(name, pod, report))
}

/// Messages about networks that the pod's links of the PodConfig overlap.
pub fn conflicts(
    config: &PodConfig,
    name: &str,
    pod: &PodInfo,
    report: Option<&ReportInfo>,
) -> Vec<String> {
    let report = report.filter(|report| report.is_of(pod));
    let links = report.into_iter().flat_map(|report| &report.links);
    let links = links.map(|link| (link_status(link), link.conflict.as_deref()));
    podconfig::pod_conflicts(config, name, links)
}

fn link_status(link: &ReportedLink) -> LinkStatus<'_> {
    LinkStatus {
        link: &link.link,
        podconfig: &link.podconfig,
        uid: &link.podconfig_uid,
        generation: link.generation,
        state: link.state,
        reason: link.reason,
        message: &link.message,
    }
}

/// The state of the links is unknown: the last report is from before.
fn unreachable<'a>(name: &'a str, pod: &PodInfo, since: &str) -> Trouble<'a> {
    let node = pod.node.as_deref().unwrap_or_default();
    Trouble {
        pod: name,
        link: "",
        state: LinkState::Pending,
        reason: Reason::NodeUnreachable,
        message: format!(
            "node {node} is unreachable since {since}; the state of its links is unknown"
        )
        .into(),
    }
}

fn not_reported<'a>(name: &'a str, pod: &PodInfo, report: Option<&ReportInfo>) -> Trouble<'a> {
    match &pod.node {
        None => Trouble::not_reported(name, "the pod is not scheduled yet"),
        Some(_) if report.is_some_and(ReportInfo::is_full) => Trouble {
            pod: name,
            link: "",
            state: LinkState::Failed,
            reason: Reason::TooManyLinks,
            message: "the pod has more links than its PodReport can hold".into(),
        },
        Some(node) => Trouble::not_reported(name, format!("no report from node {node} yet")),
    }
}

#[cfg(test)]
mod tests;
