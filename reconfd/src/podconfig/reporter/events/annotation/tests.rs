use std::time::SystemTime;

use super::*;
use crate::podconfig::reporter::example;

fn element(attributes: &str) -> NetworkElement {
    NetworkElement {
        interface: "ens58".into(),
        network: "fast".into(),
        attributes: attributes.into(),
    }
}

fn outcome(attached: &[NetworkElement]) -> PodOutcome {
    let mut outcome = example::outcome(Vec::new(), SystemTime::UNIX_EPOCH);
    let attached = attached.iter().map(|element| AttachedNetwork {
        interface: element.interface.clone(),
        element: Some(element.clone()),
        status: Vec::new(),
        has_failed_del: false,
    });
    outcome.networks.attached = attached.collect();
    outcome
}

fn asked(state: LinkState, reason: Reason) -> PodOutcome {
    let mut link = example::link("ens58", state, reason, &[]);
    link.podconfig = ANNOTATION.into();
    let mut outcome = example::outcome(vec![link], SystemTime::UNIX_EPOCH);
    outcome.networks.elements = vec![element("")];
    outcome
}

fn notes(before: &PodOutcome, now: &PodOutcome) -> Vec<(&'static str, String)> {
    let events = network_events(Some(before), now);
    events
        .into_iter()
        .map(|event| (event.reason, event.note))
        .collect()
}

#[test]
fn an_attachment_is_added_and_removed_in_the_words_of_multus_dynamic_networks_controller() {
    let asked = element("(ips: [10.10.10.111/24], mac: 02:03:04:05:06:07, cni-args: <nil>)");
    let (none, one) = (outcome(&[]), outcome(&[asked]));
    let added = "pod [t/a]: added interface ens58 to network: fast(ips: [10.10.10.111/24], mac: 02:03:04:05:06:07, cni-args: <nil>)";
    assert_eq!(notes(&none, &one), [("AddedInterface", added.to_owned())]);
    let removed = "pod [t/a]: removed interface ens58 from network: fast";
    assert_eq!(
        notes(&one, &none),
        [("RemovedInterface", removed.to_owned())]
    );
    assert_eq!(notes(&one, &one), []);
    assert_eq!(network_events(None, &one), []);
}

#[test]
fn an_attachment_that_fails_is_a_warning_once_for_each_reason() {
    let pending = asked(LinkState::Pending, Reason::Reconciling);
    let refused = asked(LinkState::Failed, Reason::NotAllowed);
    let failed = "pod [t/a]: failed adding interface ens58 to network: fast";
    assert_eq!(
        notes(&pending, &refused),
        [("FailedAddingInterface", failed.to_owned())]
    );
    assert_eq!(notes(&refused, &refused), []);
    let other = asked(LinkState::Failed, Reason::PluginFailed);
    assert_eq!(notes(&refused, &other).len(), 1);
}

#[test]
fn a_del_that_fails_is_a_warning() {
    let one = outcome(&[element("")]);
    let mut failing = one.clone();
    failing.networks.attached[0].has_failed_del = true;
    let note = "pod [t/a]: failed removing interface ens58 from network: fast";
    assert_eq!(
        notes(&one, &failing),
        [("FailedRemovingInterface", note.to_owned())]
    );
    assert_eq!(notes(&failing, &failing), []);
}

#[test]
fn a_pod_that_ends_has_no_events_and_one_of_the_nodes_network_is_rejected() {
    let one = outcome(&[element("")]);
    let mut ended = outcome(&[]);
    ended.trouble = Some((Reason::NamespaceGone, String::new()));
    assert_eq!(notes(&one, &ended), []);
    let mut host = asked(LinkState::Failed, Reason::Unsupported);
    let mut pod = host.pod.as_ref().clone();
    pod.host_network = true;
    host.pod = std::sync::Arc::new(pod);
    let events = network_events(None, &host);
    assert_eq!(
        events[0].note,
        "pod [t/a]: will not add interface to host networked pod"
    );
    assert_eq!(notes(&host, &host), []);
}

#[test]
fn what_multus_attached_is_removed_once_and_a_failure_is_a_warning() {
    let at = |progress| {
        let mut outcome = outcome(&[]);
        let element = element("");
        outcome.networks.taken_over = vec![TakenOver { element, progress }];
        outcome
    };
    let none = outcome(&[]);
    let detaching = at(TakeoverProgress::Detaching);
    let failing = at(TakeoverProgress::Failing);
    let detached = at(TakeoverProgress::Detached);
    let failed = "pod [t/a]: failed removing interface ens58 from network: fast";
    let removed = "pod [t/a]: removed interface ens58 from network: fast";
    assert_eq!(notes(&none, &detaching), []);
    assert_eq!(
        notes(&detaching, &failing),
        [("FailedRemovingInterface", failed.to_owned())]
    );
    assert_eq!(notes(&failing, &failing), []);
    assert_eq!(
        notes(&failing, &detached),
        [("RemovedInterface", removed.to_owned())]
    );
    assert_eq!(notes(&detached, &detached), []);
    assert_eq!(notes(&detached, &none), []);
    // The element came back before anything was done.
    assert_eq!(notes(&detaching, &none), []);
}
