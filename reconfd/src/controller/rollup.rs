//! Pure: which of the pods that a PodConfig selects have their links. Kept as pods and reports come, so
//! that one report costs the same however many pods there are.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use crds::{PodConfig, PodConfigStatus, Reason, report::LinkState};

use super::{
    job::Wait,
    seen::{LinkTold, Seen, Told},
};
use crate::conditions::{
    Trouble,
    podconfig::{self, LinkStatus, Tally},
};

/// How one pod stands to a PodConfig that selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Configured,
    /// Something is missing that comes by itself.
    Waiting {
        /// Its node has not told yet.
        is_untold: bool,
    },
    Failed,
}

/// The selected pods of one PodConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    configured: HashSet<String>,
    unready: BTreeMap<String, Verdict>,
    /// Pods whose links overlap something, and what, in words.
    conflicts: BTreeMap<String, Vec<String>>,
    /// How many of these have not been told of yet.
    untold: usize,
}

impl Roll {
    /// Takes down how a pod stands, `None` where it is not selected; whether the status may say otherwise
    /// now.
    pub fn put(&mut self, pod: &str, verdict: Option<Verdict>) -> bool {
        let is_configured = verdict == Some(Verdict::Configured);
        if is_configured && self.configured.contains(pod) {
            return false;
        }
        let was_configured = self.configured.remove(pod);
        let before = self.unready.remove(pod);
        self.untold -= usize::from(before.is_some_and(Verdict::is_untold));
        match verdict {
            None => return was_configured || before.is_some(),
            Some(Verdict::Configured) => drop(self.configured.insert(pod.to_owned())),
            Some(unready) => {
                self.untold += usize::from(unready.is_untold());
                self.unready.insert(pod.to_owned(), unready);
            }
        }
        true
    }

    /// Takes down what the links of a pod overlap; whether that is news.
    pub fn put_conflicts(&mut self, pod: &str, conflicts: Vec<String>) -> bool {
        if conflicts.is_empty() {
            return self.conflicts.remove(pod).is_some();
        }
        let before = self.conflicts.insert(pod.to_owned(), conflicts);
        before.as_ref() != self.conflicts.get(pod)
    }

    /// How soon the status is to be written: nodes that have yet to tell do so within a moment, and all of
    /// it is one write then.
    pub fn wait(&self) -> Wait {
        match self.untold {
            0 => Wait::Now,
            _ => Wait::Soon,
        }
    }

    /// Whether no pod is selected.
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty() && self.unready.is_empty()
    }

    /// The status. `look` says what keeps a pod from its links; `conflicts` is what the links would overlap,
    /// where no pod has told of it; `remark` what is worth knowing although nothing is lacking.
    pub fn status<'a>(
        &'a self,
        config: &PodConfig,
        (look, conflicts): (impl Fn(&'a str) -> Vec<Trouble<'a>>, Vec<String>),
        remark: String,
        now: SystemTime,
    ) -> PodConfigStatus {
        let failed = self.unready.values();
        let tally = Tally {
            selected: self.configured.len() + self.unready.len(),
            configured: self.configured.len(),
            failed: failed
                .filter(|verdict| **verdict == Verdict::Failed)
                .count(),
            troubles: self.unready.keys().flat_map(|pod| look(pod)).collect(),
            conflicts: match self.conflicts.is_empty() {
                true => conflicts,
                false => self.conflicts.values().flatten().cloned().collect(),
            },
            remark,
        };
        podconfig::status(config, tally, config.status.as_ref(), now)
    }
}

impl Verdict {
    pub fn of(troubles: &[Trouble<'_>]) -> Self {
        if troubles.is_empty() {
            return Self::Configured;
        }
        match troubles.iter().any(Trouble::is_failure) {
            true => Self::Failed,
            false => Self::Waiting {
                is_untold: troubles.iter().any(Trouble::is_not_reported),
            },
        }
    }

    fn is_untold(self) -> bool {
        self == Self::Waiting { is_untold: true }
    }
}

/// What keeps a pod from what the PodConfig asks for in it.
pub fn troubles<'a>(
    config: &PodConfig,
    name: &'a str,
    pod: &Seen,
    told: Option<&'a Told>,
) -> Vec<Trouble<'a>> {
    if let Some(since) = &pod.unreachable_since {
        return vec![unreachable(name, pod, since)];
    }
    let told = told.filter(|told| told.is_of(pod));
    let links = told.into_iter().flat_map(|told| &told.links);
    let said = links.map(link_status);
    let whole = told.and_then(|told| told.trouble.as_ref());
    let whole = whole.map(|trouble| Trouble {
        pod: name,
        link: "",
        state: trouble.state,
        reason: trouble.reason,
        message: trouble.message.as_str().into(),
    });
    podconfig::pod_troubles(config, said, whole, untold(name, pod, told))
}

/// What the links that a pod has by the PodConfig overlap.
pub fn conflicts(config: &PodConfig, name: &str, pod: &Seen, told: Option<&Told>) -> Vec<String> {
    let told = told.filter(|told| told.is_of(pod));
    let links = told.into_iter().flat_map(|told| &told.links);
    let said = links.map(|link| (link_status(link), link.conflict.as_deref()));
    podconfig::pod_conflicts(config, name, said)
}

fn link_status(link: &LinkTold) -> LinkStatus<'_> {
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

/// What its links are, nobody knows: what was said of them is from before.
fn unreachable<'a>(name: &'a str, pod: &Seen, since: &str) -> Trouble<'a> {
    let node = pod.node.as_deref().unwrap_or_default();
    Trouble {
        pod: name,
        link: "",
        state: LinkState::Pending,
        reason: Reason::NodeUnreachable,
        message: format!(
            "node {node} has not answered since {since}; what its pods have is unknown"
        )
        .into(),
    }
}

fn untold<'a>(name: &'a str, pod: &Seen, told: Option<&Told>) -> Trouble<'a> {
    match &pod.node {
        None => Trouble::not_reported(name, "the pod is not scheduled yet"),
        Some(_) if told.is_some_and(Told::is_full) => Trouble {
            pod: name,
            link: "",
            state: LinkState::Failed,
            reason: Reason::TooManyLinks,
            message: "more links are asked for in the pod than its PodReport can hold".into(),
        },
        Some(node) => {
            Trouble::not_reported(name, format!("the daemon of node {node} has not told yet"))
        }
    }
}

#[cfg(test)]
mod tests;
