//! Pure: outcomes → the status of a PodReport and of a PodConfig. Equal outcomes give
//! byte-identical statuses, so that nothing is written without a change.

use std::{collections::BTreeSet, time::SystemTime};

use conditions::{
    self, ConditionsBuilder, Trouble,
    near_miss::near_miss,
    podconfig::{LinkStatus, Tally},
    time,
};
use crds::{
    InterfaceAddress, Mac, PodConfig, PodReportStatus, Reason,
    podconfig::PodConfigStatus,
    report::{LinkReport, LinkState, PodTrouble, Summary},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::SelectorExt;
use policy::bounded;
use store::pod::NetAdmin;

use super::outcome::{LinkOutcome, LocalPod, PodOutcome};

/// Metadata of a pod's report, with the pod as owner. The pod's deletion never waits for it.
pub fn pod_metadata(pod: &LocalPod) -> ObjectMeta {
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

/// The status of one pod. `previous` gives the times of unchanged conditions, unless it is of
/// another pod of the same name.
pub fn pod_status(
    outcome: &PodOutcome,
    node: &str,
    previous: Option<&PodReportStatus>,
    now: SystemTime,
) -> PodReportStatus {
    let previous = previous.filter(|previous| previous.pod_uid == outcome.pod.uid);
    let before = previous.map_or(&[][..], |previous| &previous.links);
    let links = outcome.links.iter().map(|link| link_report(link, before));
    let links: Vec<LinkReport> = links.collect();
    let ready = links
        .iter()
        .filter(|link| link.state == LinkState::Ready)
        .count();
    let addresses: Vec<String> = links
        .iter()
        .flat_map(|link| &link.addresses)
        .map(ToString::to_string)
        .collect();
    let requesting: BTreeSet<&str> = links.iter().map(|link| link.pod_config.as_str()).collect();
    let builder = ConditionsBuilder {
        troubles: troubles(outcome),
        conflicts: conflicts(outcome),
        net_admin: net_admin(outcome),
        ok_reason: Reason::LinkReady,
        remark: String::new(),
        is_idle: false,
        mixed_reason: None,
        prefix: "link",
    };
    PodReportStatus {
        pod_uid: outcome.pod.uid.clone(),
        node: node.to_owned(),
        sandbox: outcome.pod.sandbox.clone(),
        recorded_by: outcome.pod.recorded_by,
        trouble: whole(outcome).map(trouble_report),
        conditions: builder.build(None, previous.map_or(&[], |p| &p.conditions), time(now)),
        summary: Summary {
            links: format!("{ready}/{}", links.len()),
            addresses: bounded(addresses.join(",")),
            pod_configs: bounded(requesting.into_iter().collect::<Vec<_>>().join(",")),
        },
        links: links.into_iter().take(crds::report::MAX_LINKS).collect(),
    }
}

/// The status of a PodConfig, from the pods of these outcomes.
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
    let mut tally = Tally::default();
    if selected.is_empty() {
        tally.remark = near_miss(&config.spec.pod_selector, std::iter::empty());
    }
    for outcome in selected {
        tally.add(of_config(config, outcome));
        let links = outcome.links.iter();
        let links = links.map(|link| (link_status(link), link.conflict.as_deref()));
        let conflicts = conditions::podconfig::pod_conflicts(config, &outcome.pod.name, links);
        tally.conflicts.extend(conflicts);
    }
    conditions::podconfig::status(config, tally, previous, now)
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

/// What keeps the pod from what this PodConfig requests.
fn of_config<'a>(config: &PodConfig, outcome: &'a PodOutcome) -> Vec<Trouble<'a>> {
    let links = outcome.links.iter().map(link_status);
    let unknown = Trouble::not_reported(&outcome.pod.name, "the pod has not been reconciled yet");
    conditions::podconfig::pod_troubles(config, links, whole(outcome), unknown)
}

fn link_status(link: &LinkOutcome) -> LinkStatus<'_> {
    LinkStatus {
        link: &link.name,
        podconfig: &link.podconfig,
        uid: &link.revision.uid,
        generation: link.revision.generation,
        state: link.state,
        reason: link.reason,
        message: &link.message,
    }
}

/// What the pod's links overlap.
fn conflicts(outcome: &PodOutcome) -> Vec<String> {
    let links = outcome.links.iter();
    let conflicts = links.filter_map(|link| {
        let name = policy::clipped(&link.name);
        Some(format!("link {name}: {}", link.conflict.as_ref()?))
    });
    conflicts.collect()
}

/// How the pod may administer the node's network.
fn net_admin(outcome: &PodOutcome) -> Option<&str> {
    match &outcome.pod.net_admin {
        NetAdmin::Yes(how) => Some(how),
        NetAdmin::No | NetAdmin::Claimed(_) | NetAdmin::Unknown => None,
    }
}

/// Everything that is not as desired in the pod.
fn troubles(outcome: &PodOutcome) -> Vec<Trouble<'_>> {
    let links = outcome.links.iter();
    let lacking = links.filter(|link| link.state != LinkState::Ready);
    let lacking = lacking.map(|link| Trouble {
        pod: &outcome.pod.name,
        link: &link.name,
        state: link.state,
        reason: link.reason,
        message: link.message.as_str().into(),
    });
    Trouble::of_pod(whole(outcome), lacking)
}

/// What is wrong with the pod as a whole.
fn whole(outcome: &PodOutcome) -> Option<Trouble<'_>> {
    let (reason, message) = outcome.trouble.as_ref()?;
    Some(Trouble {
        pod: &outcome.pod.name,
        link: "",
        // Its namespace is gone: the pod ends, or gets a new one.
        state: match reason {
            Reason::NamespaceGone => LinkState::Pending,
            _ => LinkState::Failed,
        },
        reason: *reason,
        message: message.as_str().into(),
    })
}

fn trouble_report(trouble: Trouble<'_>) -> PodTrouble {
    PodTrouble {
        state: trouble.state,
        reason: trouble.reason,
        message: bounded(trouble.message.into_owned()),
    }
}

fn link_report(link: &LinkOutcome, before: &[LinkReport]) -> LinkReport {
    let present = link.present.as_ref();
    // If an earlier daemon changed the present link last, only the report knows when.
    let is_same = |earlier: &&LinkReport| {
        earlier.name == link.name && earlier.pod_config_uid == link.revision.uid
    };
    let earlier = before.iter().find(is_same).filter(|_| present.is_some());
    let earlier = earlier.and_then(|earlier| earlier.last_change.clone());
    // An address that the API cannot represent (IPv4-mapped IPv6) was not requested.
    let spelled =
        |address: &ipnetwork::IpNetwork| address.to_string().parse::<InterfaceAddress>().ok();
    LinkReport {
        name: link.name.clone(),
        pod_config: link.podconfig.clone(),
        pod_config_uid: link.revision.uid.clone(),
        observed_generation: link.revision.generation,
        kind: link.kind.to_owned(),
        state: link.state,
        reason: link.reason,
        message: bounded(link.message.clone()),
        mac: present.map(|facts| Mac(facts.mac)),
        mtu: present.and_then(|facts| i32::try_from(facts.mtu).ok()),
        addresses: present
            .map(|facts| facts.addresses.iter().filter_map(spelled).collect())
            .unwrap_or_default(),
        domain: link.domain.clone(),
        conflict: link.conflict.clone().map(bounded),
        host_interface: present.and_then(|facts| facts.host_interface.clone()),
        bridge: present.and_then(|facts| facts.bridge.clone()),
        tunnel: link.tunnel,
        last_change: link.last_change.map(time).or(earlier),
    }
}

#[cfg(test)]
mod tests;
