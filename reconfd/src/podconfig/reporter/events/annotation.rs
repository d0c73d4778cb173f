//! Events about the networks that a pod's annotation requests, word for word those of multus-dynamic-networks-controller.

use crds::{Reason, report::LinkState};

use crate::podconfig::{
    annotation::ANNOTATION,
    outcome::{
        AttachedNetwork, LinkOutcome, NetworkElement, PodOutcome, TakenOver, TakeoverProgress,
    },
};

/// One Event on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkEvent {
    pub reason: &'static str,
    pub is_warning: bool,
    pub note: String,
    pub interface: String,
}

/// Pure: what has come of the elements since the outcome before.
pub fn network_events(before: Option<&PodOutcome>, now: &PodOutcome) -> Vec<NetworkEvent> {
    let rejected = rejected(before, now);
    // What an earlier daemon attached is no news, and with the pod all of it ends.
    let Some(before) = before.filter(|_| now.trouble.is_none()) else {
        return rejected.into_iter().collect();
    };
    let pod = format!("pod [{}/{}]", now.pod.namespace, now.pod.name);
    let added = new_in(now, before).map(|element| {
        let note = format!("{pod}: added interface {}", spelled(element, "to"));
        event("AddedInterface", element, note + &element.attributes)
    });
    let failed = failed(before, now).map(|element| {
        let note = format!("{pod}: failed adding interface {}", spelled(element, "to"));
        warning("FailedAddingInterface", element, note + &element.attributes)
    });
    let removed = new_in(before, now).map(|element| {
        let note = format!("{pod}: removed interface {}", spelled(element, "from"));
        event("RemovedInterface", element, note)
    });
    let kept = failed_to_go(before, now).map(|element| {
        let note = format!(
            "{pod}: failed removing interface {}",
            spelled(element, "from")
        );
        warning("FailedRemovingInterface", element, note)
    });
    let of_multus = of_multus(before, now, &pod);
    added
        .chain(failed)
        .chain(removed)
        .chain(kept)
        .chain(of_multus)
        .collect()
}

/// What Multus attached, and podconfig has detached, or cannot.
fn of_multus<'a>(
    before: &'a PodOutcome,
    now: &'a PodOutcome,
    pod: &'a str,
) -> impl Iterator<Item = NetworkEvent> + 'a {
    let is_new = |taken: &&TakenOver| {
        let mut had = before.networks.taken_over.iter();
        !had.any(|had| had == *taken)
    };
    let news = now.networks.taken_over.iter().filter(is_new);
    news.filter_map(move |TakenOver { element, progress }| {
        let spelled = spelled(element, "from");
        match progress {
            TakeoverProgress::Detaching => None,
            TakeoverProgress::Detached => {
                let note = format!("{pod}: removed interface {spelled}");
                Some(event("RemovedInterface", element, note))
            }
            TakeoverProgress::Failing => {
                let note = format!("{pod}: failed removing interface {spelled}");
                Some(warning("FailedRemovingInterface", element, note))
            }
        }
    })
}

fn spelled(element: &NetworkElement, way: &str) -> String {
    format!("{} {way} network: {}", element.interface, element.network)
}

fn event(reason: &'static str, element: &NetworkElement, note: String) -> NetworkEvent {
    NetworkEvent {
        reason,
        is_warning: false,
        note,
        interface: element.interface.clone(),
    }
}

fn warning(reason: &'static str, element: &NetworkElement, note: String) -> NetworkEvent {
    NetworkEvent {
        is_warning: true,
        ..event(reason, element, note)
    }
}

fn of_annotation(pod: &PodOutcome) -> impl Iterator<Item = (&AttachedNetwork, &NetworkElement)> {
    let attached = pod.networks.attached.iter();
    attached.filter_map(|attached| Some((attached, attached.element.as_ref()?)))
}

fn is_same(one: &NetworkElement, other: &NetworkElement) -> bool {
    (&one.interface, &one.network) == (&other.interface, &other.network)
}

/// What is attached in `one` and not in `other`.
fn new_in<'a>(
    one: &'a PodOutcome,
    other: &'a PodOutcome,
) -> impl Iterator<Item = &'a NetworkElement> {
    let elements = of_annotation(one).map(|(_, element)| element);
    elements.filter(|element| !of_annotation(other).any(|(_, had)| is_same(had, element)))
}

/// Elements whose link has failed for another reason than before.
fn failed<'a>(
    before: &'a PodOutcome,
    now: &'a PodOutcome,
) -> impl Iterator<Item = &'a NetworkElement> {
    let elements = now.networks.elements.iter();
    elements.filter(|element| {
        let link = link_of(now, &element.interface);
        let had = link_of(before, &element.interface);
        let state = |link: &LinkOutcome| (link.state, link.reason);
        link.is_some_and(|link| {
            link.state == LinkState::Failed && had.map(state) != Some(state(link))
        })
    })
}

fn failed_to_go<'a>(
    before: &'a PodOutcome,
    now: &'a PodOutcome,
) -> impl Iterator<Item = &'a NetworkElement> {
    let failed = of_annotation(now).filter(|(attached, _)| attached.has_failed_del);
    let failed_before = |element: &NetworkElement| {
        let mut all = of_annotation(before);
        all.any(|(attached, had)| attached.has_failed_del && is_same(had, element))
    };
    let elements = failed.map(|(_, element)| element);
    elements.filter(move |element| !failed_before(element))
}

fn link_of<'a>(pod: &'a PodOutcome, interface: &str) -> Option<&'a LinkOutcome> {
    let mut links = pod.links.iter();
    links.find(|link| link.podconfig == ANNOTATION && link.name == interface)
}

/// A pod that cannot have links asks for some.
fn rejected(before: Option<&PodOutcome>, now: &PodOutcome) -> Option<NetworkEvent> {
    let asks = |pod: &PodOutcome| {
        let mut links = pod.links.iter();
        links.any(|link| link.podconfig == ANNOTATION && link.reason == Reason::Unsupported)
    };
    let is_news = asks(now) && !before.is_some_and(asks);
    (is_news && now.pod.host_network).then(|| NetworkEvent {
        reason: "InterfaceAddRejected",
        is_warning: true,
        note: format!(
            "pod [{}/{}]: will not add interface to host networked pod",
            now.pod.namespace, now.pod.name
        ),
        interface: "InterfaceAddRejected".to_owned(),
    })
}

#[cfg(test)]
mod tests;
