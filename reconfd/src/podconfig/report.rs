//! Pure: outcomes → the status of a PodReport and of a PodConfig. The same outcomes give the same status
//! to the last byte, so that nothing is written when nothing has changed.

use std::time::SystemTime;

use crds::{
    InterfaceAddress, Mac, PodConfig, PodReportStatus, Reason,
    podconfig::{Failure, PodConfigStatus},
    report::{LinkReport, LinkState, Summary},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    jiff::Timestamp,
};
use kube::core::SelectorExt;

use super::{
    outcome::{LinkOutcome, Pod, PodOutcome},
    policy::{self, bounded},
};

/// What stands between the wish and its fulfilment, and the conditions that say so.
mod standing;
use standing::{Standing, Trouble};

/// How many failures a PodConfig's status shows.
const SHOWN: usize = 5;
/// How many links a report can hold: the API refuses a longer one, and the tenant would learn nothing.
const REPORTED: usize = 1024;

/// The name and the owner of a pod's report. The pod's deletion never waits for it.
pub fn pod_metadata(pod: &Pod) -> ObjectMeta {
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        ..OwnerReference::default()
    };
    ObjectMeta {
        name: Some(pod.name.clone()),
        namespace: Some(pod.namespace.clone()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

/// What was done to one pod. `previous` gives the times of conditions that have not changed; that of
/// another pod of the same name gives nothing.
pub fn pod_status(
    outcome: &PodOutcome,
    node: &str,
    previous: Option<&PodReportStatus>,
    now: SystemTime,
) -> PodReportStatus {
    let previous = previous.filter(|previous| previous.pod_uid == outcome.pod.uid);
    let links: Vec<LinkReport> = outcome.links.iter().map(link_report).collect();
    let ready = links
        .iter()
        .filter(|link| link.state == LinkState::Ready)
        .count();
    let addresses: Vec<String> = links
        .iter()
        .flat_map(|link| &link.addresses)
        .map(ToString::to_string)
        .collect();
    let troubles = troubles(outcome, |_| true).collect();
    let standing = Standing {
        troubles,
        well: Reason::LinkReady,
        mixed: None,
        of: "link",
    };
    PodReportStatus {
        pod_uid: outcome.pod.uid.clone(),
        node: node.to_owned(),
        sandbox: outcome.pod.sandbox.clone(),
        conditions: standing.conditions(None, previous.map_or(&[], |p| &p.conditions), time(now)),
        summary: Summary {
            links: format!("{ready}/{}", links.len()),
            addresses: bounded(addresses.join(",")),
        },
        links: links.into_iter().take(REPORTED).collect(),
    }
}

/// How a PodConfig fares in the pods of these outcomes.
pub fn config_status<'a>(
    config: &PodConfig,
    outcomes: impl Iterator<Item = &'a PodOutcome>,
    previous: Option<&PodConfigStatus>,
    now: SystemTime,
) -> PodConfigStatus {
    let selector = policy::selector(&config.spec.pod_selector);
    let mut selected: Vec<&PodOutcome> = outcomes
        .filter(|outcome| is_selected(config, &selector, outcome))
        .collect();
    selected.sort_by(|a, b| (&a.pod.name, &a.pod.uid).cmp(&(&b.pod.name, &b.pod.uid)));
    let of_pods: Vec<Vec<Trouble<'_>>> = selected
        .iter()
        .map(|outcome| of_config(config, outcome))
        .collect();
    let pods = |of: fn(&[Trouble<'_>]) -> bool| {
        count(of_pods.iter().filter(|troubles| of(troubles)).count())
    };
    let (configured, failed) = (
        pods(|troubles| troubles.is_empty()),
        pods(|troubles| troubles.iter().any(Trouble::is_failure)),
    );
    let mut troubles: Vec<Trouble<'_>> = of_pods.into_iter().flatten().collect();
    if let Err(why) = &selector {
        troubles.push(Trouble::of_object(format!("podSelector {why}")));
    }
    let well = if selected.is_empty() {
        Reason::NoPodsSelected
    } else {
        Reason::AllPodsConfigured
    };
    let standing = Standing {
        troubles,
        well,
        mixed: Some(Reason::PodsFailed),
        of: "pod",
    };
    let generation = config.metadata.generation;
    let names: Vec<&str> = config
        .spec
        .links
        .iter()
        .map(|link| link.name.as_str())
        .collect();
    PodConfigStatus {
        links: names.join(","),
        observed_generation: generation,
        selector: selector
            .map(|selector| selector.to_string())
            .unwrap_or_default(),
        conditions: standing.conditions(
            generation,
            previous.map_or(&[], |p| &p.conditions),
            time(now),
        ),
        selected: count(selected.len()),
        configured,
        failed,
        failures: standing
            .failures()
            .filter(|trouble| !trouble.pod.is_empty())
            .take(SHOWN)
            .map(failure)
            .collect(),
    }
}

fn is_selected<E>(
    config: &PodConfig,
    selector: &Result<kube::core::Selector, E>,
    outcome: &PodOutcome,
) -> bool {
    config.metadata.namespace.as_deref() == Some(&outcome.pod.namespace)
        && selector
            .as_ref()
            .is_ok_and(|selector| selector.matches(&outcome.pod.labels))
}

/// What keeps the pod from what this PodConfig asks for.
fn of_config<'a>(config: &PodConfig, outcome: &'a PodOutcome) -> Vec<Trouble<'a>> {
    let own = |link: &LinkOutcome| Some(link.podconfig.as_str()) == config.metadata.name.as_deref();
    let mut troubles: Vec<Trouble<'a>> = troubles(outcome, own).collect();
    let unseen = !config.spec.links.is_empty() && !outcome.links.iter().any(own);
    if troubles.is_empty() && unseen {
        troubles.push(Trouble::unseen(&outcome.pod.name));
    }
    troubles
}

fn troubles<'a>(
    outcome: &'a PodOutcome,
    of: impl Fn(&LinkOutcome) -> bool,
) -> impl Iterator<Item = Trouble<'a>> {
    let whole = outcome.trouble.iter().map(|(reason, message)| Trouble {
        pod: &outcome.pod.name,
        link: "",
        // Its namespace is gone: it ends, or it comes back with a new one.
        state: if *reason == Reason::NamespaceGone {
            LinkState::Pending
        } else {
            LinkState::Failed
        },
        reason: *reason,
        message: message.as_str().into(),
    });
    let links = outcome
        .links
        .iter()
        .filter(move |link| link.state != LinkState::Ready && of(link));
    whole.chain(links.map(|link| Trouble {
        pod: &outcome.pod.name,
        link: &link.name,
        state: link.state,
        reason: link.reason,
        message: link.message.as_str().into(),
    }))
}

fn failure(trouble: &Trouble<'_>) -> Failure {
    Failure {
        pod: trouble.pod.to_owned(),
        link: trouble.link.to_owned(),
        reason: trouble.reason,
        message: bounded(trouble.message.to_string()),
    }
}

fn link_report(link: &LinkOutcome) -> LinkReport {
    let present = link.present.as_ref();
    // An address that the API cannot spell (IPv4 in IPv6 clothes) is not one that was asked for.
    let spelled =
        |address: &ipnetwork::IpNetwork| address.to_string().parse::<InterfaceAddress>().ok();
    LinkReport {
        name: link.name.clone(),
        pod_config: link.podconfig.clone(),
        kind: link.kind.to_owned(),
        state: link.state,
        reason: link.reason,
        message: bounded(link.message.clone()),
        mac: present.map(|facts| Mac(facts.mac)),
        mtu: present.and_then(|facts| i32::try_from(facts.mtu).ok()),
        addresses: present
            .map(|facts| facts.addresses.iter().filter_map(spelled).collect())
            .unwrap_or_default(),
        host_interface: present.and_then(|facts| facts.host_interface.clone()),
        bridge: present.and_then(|facts| facts.bridge.clone()),
        tunnel: None,
        last_change: link.last_change.map(time),
    }
}

/// In whole seconds, as the API keeps it: what is read back equals what was written.
fn time(at: SystemTime) -> Time {
    let seconds = Timestamp::try_from(at).map_or(0, Timestamp::as_second);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
