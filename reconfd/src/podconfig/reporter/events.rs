//! Events: one on each pod with changes in a pass, and one on each PodConfig for all of its pods on
//! this node.

use std::collections::BTreeMap;

use crds::{Reason, report::LinkState};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kubeio::events::Notice;
use store::pod::NetAdmin;

/// The networks that a pod's annotation requests.
mod annotation;

use annotation::network_events;

use super::Reporter;
use crate::{
    podconfig::{
        annotation::ANNOTATION,
        outcome::{LinkOutcome, LocalPod, PodOutcome},
    },
    report_sink::ReportSink,
};

/// Maximum number of pods named in the Event on a PodConfig.
const NAMED: usize = 5;

/// Changes to links of one PodConfig in one pass, by reason.
#[derive(Debug, Default)]
pub struct PodConfigEvents(BTreeMap<(String, String), BTreeMap<Reason, Happened>>);

/// The pods with a change, and the first text.
#[derive(Debug, Default)]
struct Happened {
    pods: Vec<String>,
    first: String,
}

/// One change of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub podconfig: String,
    pub link: String,
    pub reason: Reason,
    /// `data0 192.168.100.7/24`.
    pub text: String,
}

impl Line {
    fn is_warning(&self) -> bool {
        is_warning(self.reason)
    }
}

fn is_warning(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::LinkAdded | Reason::LinkChanged | Reason::LinkRemoved
    )
}

/// Pure: the changes of a pod's links in one pass.
pub fn lines(before: Option<&PodOutcome>, now: &PodOutcome) -> Vec<Line> {
    let was = |name: &str, podconfig: &str| {
        let links = before.map(|before| before.links.as_slice());
        let mut links = links.unwrap_or_default().iter();
        links.find(|link| link.name == name && link.podconfig == podconfig)
    };
    let of_links = now
        .links
        .iter()
        .filter_map(|link| line(was(&link.name, &link.podconfig), link, now));
    let mut lines: Vec<Line> = of_links.collect();
    lines.extend(removed(before, now));
    lines.extend(now.links.iter().filter_map(|link| {
        let was = was(&link.name, &link.podconfig);
        conflict(was, link)
    }));
    lines.extend(net_admin(before, now));
    // What has come of an annotation has Events of its own; warnings say why.
    lines.retain(|line| line.podconfig != ANNOTATION || line.is_warning());
    // Warnings come first.
    lines.sort_by_key(|line| !line.is_warning());
    lines
}

fn line(was: Option<&LinkOutcome>, link: &LinkOutcome, pod: &PodOutcome) -> Option<Line> {
    let line = |reason, text| {
        Some(Line {
            podconfig: link.podconfig.clone(),
            link: link.name.clone(),
            reason,
            text,
        })
    };
    let is_news = was.is_none_or(|was| (was.state, was.reason) != (link.state, link.reason));
    match link.state {
        LinkState::Ready => {
            link.last_change.filter(|at| *at >= pod.since)?;
            // A link that waited for an address or a repair existed before.
            let was_there = was.is_some_and(|was| was.present.is_some());
            let reason = match was_there {
                _ if pod.repaired.contains_key(&link.name) => Reason::LinkRepaired,
                true => Reason::LinkChanged,
                false => Reason::LinkAdded,
            };
            let put_back = pod.repaired.get(&link.name).filter(|what| !what.is_empty());
            let put_back = put_back.map(|what| format!(", put back: {what}"));
            line(reason, describe(link) + &put_back.unwrap_or_default())
        }
        // No event for a pod that ends, one that was not observed yet, or a pending claim.
        _ if matches!(
            link.reason,
            Reason::NamespaceGone | Reason::Reconciling | Reason::ClaimPending
        ) =>
        {
            None
        }
        _ if is_news => line(link.reason, format!("{}: {}", link.name, link.message)),
        _ => None,
    }
}

/// A network has appeared that the link overlaps.
fn conflict(was: Option<&LinkOutcome>, link: &LinkOutcome) -> Option<Line> {
    let conflict = link.conflict.as_ref()?;
    let is_news = was.is_none_or(|was| was.conflict.as_ref() != Some(conflict));
    is_news.then(|| Line {
        podconfig: link.podconfig.clone(),
        link: link.name.clone(),
        reason: Reason::AddressConflict,
        text: format!("{}: {conflict}", link.name),
    })
}

/// A pod with links that may administer the node's network; if it has none because of that, its
/// links say so.
fn net_admin(before: Option<&PodOutcome>, now: &PodOutcome) -> Option<Line> {
    let NetAdmin::Yes(how) = &now.pod.net_admin else {
        return None;
    };
    let is_news = before.is_none_or(|before| {
        before.links.is_empty() || !matches!(before.pod.net_admin, NetAdmin::Yes(_))
    });
    let is_said = |link: &LinkOutcome| link.reason == Reason::NetAdminPod;
    (is_news && !now.links.is_empty() && !now.links.iter().any(is_said)).then(|| Line {
        podconfig: String::new(),
        link: String::new(),
        reason: Reason::NetAdminPod,
        text: format!("{how}: without a user namespace it may administer the node's network"),
    })
}

/// `data0 192.168.100.7/24`, without anything specific to one occurrence.
fn describe(link: &LinkOutcome) -> String {
    let addresses = link.present.iter().flat_map(|facts| &facts.addresses);
    let words = std::iter::once(link.name.clone()).chain(addresses.map(ToString::to_string));
    words.collect::<Vec<_>>().join(" ")
}

/// Links that are no longer requested and were deleted.
fn removed<'a>(
    before: Option<&'a PodOutcome>,
    now: &'a PodOutcome,
) -> impl Iterator<Item = Line> + 'a {
    let is_gone = |name: &&String| {
        let mut links = now.links.iter();
        !links.any(|link| link.name == **name && link.present.is_some())
    };
    now.removed.iter().filter(is_gone).map(move |name| {
        let links = before.map(|before| before.links.as_slice());
        let mut links = links.unwrap_or_default().iter();
        let was = links.find(|link| link.name == *name && link.present.is_some());
        Line {
            podconfig: was.map(|was| was.podconfig.clone()).unwrap_or_default(),
            link: name.clone(),
            reason: Reason::LinkRemoved,
            text: name.clone(),
        }
    })
}

impl Reporter {
    /// Sends the Event on a pod, and keeps the changes for the Events on their PodConfigs.
    pub(super) fn send_pod_event(&mut self, outcome: &PodOutcome) {
        let ReportSink::Cluster(sink) = &self.sink else {
            return;
        };
        let before = self.outcomes.get(&outcome.pod.uid);
        for event in network_events(before, outcome) {
            sink.publish(Notice {
                regarding: reference(&outcome.pod),
                is_warning: event.is_warning,
                reason: event.reason.to_owned(),
                note: event.note,
                action: event.interface,
            });
        }
        let lines = lines(before, outcome);
        let Some(first) = lines.first() else {
            return;
        };
        sink.publish(Notice {
            regarding: reference(&outcome.pod),
            is_warning: first.is_warning(),
            reason: first.reason.to_string(),
            note: on_pod(&lines),
            action: links(&lines),
        });
        for line in lines.into_iter().filter(|line| !line.podconfig.is_empty()) {
            self.podconfig_events.add(&outcome.pod, line);
        }
    }

    /// Sends one Event on each PodConfig, at the end of a pass.
    pub(super) fn send_podconfig_events(&mut self) {
        let ReportSink::Cluster(sink) = &self.sink else {
            return;
        };
        for ((namespace, name), happened) in std::mem::take(&mut self.podconfig_events.0) {
            let Some(config) = self.stores.podconfig(&namespace, &name) else {
                continue;
            };
            let worst = happened.keys().find(|reason| is_warning(**reason));
            let Some(reason) = worst.or_else(|| happened.keys().next()) else {
                continue;
            };
            sink.publish(Notice {
                regarding: config.object_ref(&()),
                is_warning: is_warning(*reason),
                reason: reason.to_string(),
                note: on_podconfig(&happened, *reason, &self.node),
                action: reason.to_string(),
            });
        }
    }
}

impl PodConfigEvents {
    fn add(&mut self, pod: &LocalPod, line: Line) {
        let key = (pod.namespace.clone(), line.podconfig);
        let of_config = self.0.entry(key).or_default();
        let happened = of_config.entry(line.reason).or_default();
        if happened.pods.is_empty() {
            happened.first = line.text;
        }
        if happened.pods.last() != Some(&pod.name) {
            happened.pods.push(pod.name.clone());
        }
    }
}

/// Each line after its reason, unless that is the reason of the Event.
fn on_pod(lines: &[Line]) -> String {
    let own = lines.first().map(|line| line.reason);
    let words = lines.iter().map(|line| match Some(line.reason) == own {
        true => line.text.clone(),
        false => format!("{} {}", line.reason, line.text),
    });
    words.collect::<Vec<_>>().join("; ")
}

fn links(lines: &[Line]) -> String {
    let links = lines.iter().map(|line| line.link.as_str());
    let links: Vec<&str> = links.filter(|link| !link.is_empty()).collect();
    match (links.is_empty(), lines.first()) {
        // It concerns the pod as a whole; the API refuses an Event without an action.
        (true, Some(first)) => first.reason.to_string(),
        _ => links.join(","),
    }
}

/// `3 pods of node n0 (a, b, c): data0 192.168.100.7/24`.
fn on_podconfig(happened: &BTreeMap<Reason, Happened>, own: Reason, node: &str) -> String {
    let words = happened.iter().map(|(reason, happened)| {
        let word = match *reason == own {
            true => String::new(),
            false => format!("{reason} "),
        };
        let named = happened.pods.iter().take(NAMED).cloned();
        let named = named.collect::<Vec<_>>().join(", ");
        let more = match happened.pods.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (count, first) = (happened.pods.len(), &happened.first);
        let pods = if count == 1 { "pod" } else { "pods" };
        format!("{word}{count} {pods} of node {node} ({named}{more}): {first}")
    });
    words.collect::<Vec<_>>().join("; ")
}

fn reference(pod: &LocalPod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests;
