//! The pod's own status: the condition of its readiness gate, and the network-status annotation
//! that Multus' tools read.

use cluster::{Gate, LinkNetwork, Network, PodStatusWrite};
use crds::{Reason, report::LinkState};

use super::Reporter;
use crate::{
    podconfig::{
        desired::CNI,
        outcome::{LinkOutcome, PodOutcome, TakeoverProgress},
    },
    report_sink::ReportSink,
};

impl Reporter {
    /// Writes them, if the pod has the gate or the annotation is enabled.
    pub(super) fn report_to_pod(&self, outcome: &PodOutcome) {
        let ReportSink::Cluster(sink) = &self.sink else {
            return;
        };
        let pod = &outcome.pod;
        let object = self.stores.pod(&pod.namespace, &pod.name);
        let has_gate = object.is_some_and(|object| object.has_gate());
        let request = PodStatusWrite {
            uid: pod.uid.clone(),
            gate: (self.manner.gate && has_gate).then(|| gate(outcome)),
            networks: self.networks(outcome),
            detached: detached(outcome),
        };
        if request.gate.is_some() || request.networks.is_some() {
            sink.set_pod_status(&pod.namespace, &pod.name, request);
        }
    }
}

impl Reporter {
    /// The entries of the annotation, where podconfig keeps it for the pod. A node whose pods request networks by the
    /// annotation keeps it for what plugins have made: others read there what is attached.
    fn networks(&self, outcome: &PodOutcome) -> Option<Vec<Network>> {
        let links = self.manner.network_status.then(|| networks(outcome));
        let attached = || attached(outcome);
        match links {
            Some(links) => Some(links.into_iter().chain(attached()).collect()),
            None => self.manner.attachments.then(|| attached().collect()),
        }
    }
}

/// Pure: what plugins have made, as entries of the annotation.
fn attached(outcome: &PodOutcome) -> impl Iterator<Item = Network> {
    let attached = outcome.networks.attached.iter();
    let entries = attached.flat_map(|attached| &attached.status);
    let entries = entries.filter_map(|entry| serde_json::to_value(entry).ok());
    entries.map(Network::Attachment)
}

/// Pure: interfaces of Multus that podconfig has detached.
fn detached(outcome: &PodOutcome) -> Vec<String> {
    let all = outcome.networks.taken_over.iter();
    let detached = all.filter(|taken| taken.progress == TakeoverProgress::Detached);
    detached
        .map(|taken| taken.element.interface.clone())
        .collect()
}

/// Pure: a pod is ready if it has all of its links, and at least one.
pub fn gate(outcome: &PodOutcome) -> Gate {
    let not_ready = |reason: Reason, message: String| Gate {
        is_ready: false,
        reason: reason.to_string(),
        message,
    };
    if let Some((reason, message)) = &outcome.trouble {
        return not_ready(*reason, message.clone());
    }
    let missing = outcome
        .links
        .iter()
        .find(|link| link.state != LinkState::Ready);
    match missing {
        _ if outcome.links.is_empty() => not_ready(
            Reason::NotSelected,
            "no PodConfig of this namespace selects the pod, which waits for its links".into(),
        ),
        Some(link) => not_ready(link.reason, format!("link {}: {}", link.name, link.message)),
        None => Gate {
            is_ready: true,
            reason: Reason::LinkReady.to_string(),
            message: String::new(),
        },
    }
}

/// Pure: the present links of podconfig's own, as entries of the annotation.
pub fn networks(outcome: &PodOutcome) -> Vec<Network> {
    let network = |link: &LinkOutcome| {
        let facts = link.present.as_ref().filter(|_| link.kind != CNI)?;
        let mac = facts.mac.map(|byte| format!("{byte:02x}"));
        Some(Network::Link(LinkNetwork {
            podconfig: link.podconfig.clone(),
            interface: link.name.clone(),
            addresses: facts
                .addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect(),
            mac: mac.join(":"),
            mtu: facts.mtu,
        }))
    };
    outcome.links.iter().filter_map(network).collect()
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests;
