//! Log lines for outcomes, each logged once.

use crds::{Reason, report::LinkState};

use super::Reporter;
use crate::podconfig::outcome::{LinkOutcome, PodOutcome};

impl Reporter {
    /// One line for each link that differs from the last logged outcome.
    pub(super) fn log(&self, outcome: &PodOutcome) {
        let pod = &outcome.pod;
        let before = self.outcomes.get(&pod.uid);
        let was = |link: &LinkOutcome| {
            let links = before
                .map(|before| before.links.as_slice())
                .unwrap_or_default();
            links
                .iter()
                .find(|other| (&other.name, &other.podconfig) == (&link.name, &link.podconfig))
        };
        for link in &outcome.links {
            if was(link).is_some_and(|was| {
                (was.state, was.reason, &was.present) == (link.state, link.reason, &link.present)
            }) {
                continue;
            }
            let addresses = link
                .present
                .iter()
                .flat_map(|present| &present.addresses)
                .map(ToString::to_string);
            let addresses = addresses.collect::<Vec<_>>().join(" ");
            match link.state {
                LinkState::Ready => tracing::info!(
                    namespace = pod.namespace,
                    pod = pod.name,
                    uid = pod.uid,
                    podconfig = link.podconfig,
                    link = link.name,
                    addresses,
                    "link ready"
                ),
                // Work in progress, and no trouble.
                LinkState::Pending if link.reason == Reason::Reconciling => (),
                _ => tracing::warn!(
                    namespace = pod.namespace, pod = pod.name, uid = pod.uid, podconfig = link.podconfig, link = link.name, reason = %link.reason, "{}", link.message
                ),
            }
        }
        self.log_gone(outcome, before);
    }

    fn log_gone(&self, outcome: &PodOutcome, before: Option<&PodOutcome>) {
        let pod = &outcome.pod;
        for link in before
            .iter()
            .flat_map(|before| &before.links)
            .filter(|link| link.present.is_some())
        {
            let still = outcome
                .links
                .iter()
                .any(|now| now.name == link.name && now.present.is_some());
            if !still && outcome.trouble.is_none() {
                tracing::info!(
                    namespace = pod.namespace,
                    pod = pod.name,
                    uid = pod.uid,
                    podconfig = link.podconfig,
                    link = link.name,
                    "link removed"
                );
            }
        }
        let had_links = before.is_some_and(|before| !before.links.is_empty());
        let is_asked_of = had_links || !outcome.links.is_empty();
        if let Some((reason, message)) = outcome
            .trouble
            .as_ref()
            // A pod without requests that could not have links is not worth a line.
            .filter(|(reason, _)| is_asked_of || *reason != Reason::Unsupported)
            .filter(|now| before.and_then(|b| b.trouble.as_ref()) != Some(*now))
        {
            let quiet = *reason == Reason::NamespaceGone;
            match quiet {
                true => {
                    tracing::info!(namespace = pod.namespace, pod = pod.name, uid = pod.uid, reason = %reason, "{message}")
                }
                false => {
                    tracing::warn!(namespace = pod.namespace, pod = pod.name, uid = pod.uid, reason = %reason, "{message}")
                }
            }
        }
    }
}
