//! Saves the state of a pod after its pass, for later events and passes.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use crds::Reason;

use super::{applied::Applied, outcomes};
use crate::podconfig::{
    NodeReconciler,
    applied::{self, AppliedState},
    desired::DesiredLink,
    plan::Target,
};

/// A pod whose applied state was saved, so that events of own changes are known as such.
pub struct Saved(Applied);

impl Saved {
    pub fn applied(&self) -> &Applied {
        &self.0
    }

    pub fn into_applied(self) -> Applied {
        self.0
    }
}

impl NodeReconciler {
    /// Saves the applied state, before its own kernel events are handled.
    pub(super) fn save(&mut self, pod: Applied) -> Saved {
        let now = Instant::now();
        let uid = pod.uid().to_owned();
        let applied = self.schedule.state_of(&uid);
        let present = pod.links.present.values().filter_map(|link| link.host);
        let before = applied.host_ends.keys();
        let before = before.filter(|_| !pod.links.is_unknown());
        self.kernel_ids.replace_host_ends(&uid, before, present);
        pod.save(applied, now);
        self.schedule.announce_again(&pod);
        for (link, kind) in &pod.changes.repaired {
            self.reports.metrics.drift_repaired(kind);
            tracing::info!(
                namespace = pod.links.known.pod.namespace,
                pod = pod.links.known.pod.name,
                link,
                what = pod.links.drift.parts.get(link),
                "changed by another program and repaired"
            );
        }
        self.release(&pod.links);
        Saved(pod)
    }
}

impl Applied {
    fn save(&self, applied: &mut AppliedState, now: Instant) {
        if self.links.is_unknown() {
            applied.seen = false;
            applied.configs.extend(self.links.requesting_configs());
            applied.unapplied_since.get_or_insert(now);
            applied.failed(now);
            return;
        }
        self.save_ends(applied);
        self.save_links(applied);
        if !self.changes.repaired.is_empty() || !self.changes.lost.is_empty() {
            applied.repaired(now);
        }
        if self.changes.touched.is_empty() {
            applied.false_alarm(now);
        }
        if !self.changes.lost.is_empty() {
            applied.requeue_when_allowed(now);
        }
        let since = applied.unapplied_since.unwrap_or(now);
        applied.unapplied_since = self.is_behind().then_some(since);
        self.save_rejections(applied, now);
        applied.overlaps_in_pod(self.links.overlaps_in_pod, now);
        match self.failed() {
            true => applied.failed(now),
            false => applied.succeeded(),
        }
    }

    /// Whether the pod could not be observed, or a link that is no longer requested could not be
    /// deleted, and it may succeed later.
    fn failed(&self) -> bool {
        let is_asked = |link: &String| {
            self.links
                .desired
                .granted
                .iter()
                .any(|g| g.link.name == *link)
        };
        matches!(self.links.trouble, Some((Reason::KernelRefused, _)))
            || !self.changes.errors.keys().all(is_asked)
    }

    /// A rejected change is retried when it is due, or when its target changes.
    fn save_rejections(&self, applied: &mut AppliedState, now: Instant) {
        let refused = self.links.desired.granted.iter().filter_map(|granted| {
            let name = &granted.link.name;
            let error = self.changes.errors.get(name)?;
            let target = self
                .links
                .plan
                .targets
                .get(name)
                .cloned()
                .unwrap_or_default();
            let spec = (granted.mark.spec_hash.clone(), target);
            Some((name.clone(), spec, outcomes::refusal(error)))
        });
        applied
            .rejections
            .take(refused.collect(), &self.links.drift.rejected_again, now);
        if let Some(at) = applied.rejections.next() {
            applied.requeue_at(at);
        }
    }

    /// Saves both ends of every link, to tell own changes from drift.
    fn save_ends(&self, applied: &mut AppliedState) {
        if applied.sandbox != self.links.known.pod.sandbox {
            applied.sandbox = self.links.known.pod.sandbox.clone();
            applied.devices.clear();
            applied.moved_out.clear();
            applied.veth_ends.clear();
        }
        let veths = self
            .links
            .present
            .values()
            .filter(|link| link.host.is_some());
        applied
            .veth_ends
            .extend(veths.filter_map(|link| link.pod_index));
        let devices = self
            .links
            .present
            .values()
            .filter(|link| link.host.is_none());
        applied
            .devices
            .extend(devices.filter_map(|link| link.pod_index));
        applied.pod_ends.clear();
        applied.host_ends.clear();
        for (name, link) in &self.links.present {
            let pod_end = applied::AppliedPodEnd {
                name: name.clone(),
                mtu: link.mtu,
                mac: link.mac,
                addresses: link.addresses.clone(),
            };
            let host_end = applied::AppliedHostEnd {
                name: link.host_name.clone().unwrap_or_default(),
                mtu: link.host_mtu,
                master: link.master,
            };
            applied
                .pod_ends
                .extend(link.pod_index.map(|index| (index, pod_end)));
            applied
                .host_ends
                .extend(link.host.map(|host| (host, host_end)));
        }
        applied.has_routes = self.links.present.values().any(|link| link.has_routes);
        let inside = self.links.inside.as_ref();
        applied.has_rules = inside.is_some_and(|inside| inside.has_rules);
        applied.seen = self.links.trouble.is_none();
    }

    /// Saves the requested links, and which of them are present.
    fn save_links(&self, applied: &mut AppliedState) {
        applied.configs = self.links.requesting_configs();
        (applied.reach, applied.networks_unknown) = (
            self.links.desired.reach.clone(),
            self.links.desired.networks_unknown,
        );
        let in_conflict = |granted: &&DesiredLink| {
            granted.conflict.is_some() && self.links.present.contains_key(&granted.link.name)
        };
        let attached = self.links.desired.attached.outcomes.iter();
        let attached = attached.filter(|(_, outcome)| outcome.conflict.is_some());
        let granted = self.links.desired.granted.iter();
        applied.conflicts = granted.filter(in_conflict).count() + attached.count();
        let on_node = self
            .links
            .desired
            .granted
            .iter()
            .filter_map(|g| g.link.kind.node_link());
        let on_node = on_node.chain(self.links.desired.parents.iter().map(String::as_str));
        applied.node_links = on_node.map(str::to_owned).collect();
        let inside = self.links.inside.as_ref();
        applied.carriers = inside.map(|i| i.carriers.clone()).unwrap_or_default();
        if self.links.trouble.is_none() {
            applied.segments = self.segments(&applied.segments);
        }
        applied.has_devices = self.links.desired.requests_devices();
        applied.is_incomplete = self.links.desired.granted.len() > self.links.present.len()
            || !self.links.plan.blocked.is_empty();
        applied.hashes = self.applied(&applied.hashes);
        for (link, at) in &self.changes.touched {
            applied.changed.insert(link.clone(), *at);
        }
        applied
            .changed
            .retain(|link, _| self.links.present.contains_key(link));
    }

    /// The specification applied to each present link. A link with an earlier specification keeps
    /// that one, or the change to the new one would count as a repair.
    fn applied(
        &self,
        before: &HashMap<String, (String, Target)>,
    ) -> HashMap<String, (String, Target)> {
        let applied = |granted: &DesiredLink| {
            let name = &granted.link.name;
            // A link that still lacks addresses has not drifted when they come.
            let is_complete = !self
                .links
                .probing
                .iter()
                .any(|probing| probing.link == *name);
            let is_through = granted.suspended.is_none() && !self.changes.errors.contains_key(name);
            let is_applied = is_complete && is_through && self.links.is_as_specified(granted);
            if is_applied || self.waits_for_repair(name) {
                let target = self
                    .links
                    .plan
                    .targets
                    .get(name)
                    .cloned()
                    .unwrap_or_default();
                return Some((name.clone(), (granted.mark.spec_hash.clone(), target)));
            }
            let is_present = self.links.present.contains_key(name);
            Some((
                name.clone(),
                is_present.then(|| before.get(name)).flatten()?.clone(),
            ))
        };
        self.links
            .desired
            .granted
            .iter()
            .filter_map(applied)
            .collect()
    }

    /// The segments that present links use, including links that are no longer requested.
    fn segments(&self, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let requested = self.links.desired.granted.iter().filter_map(|granted| {
            let segment = granted.link.kind.segment()?;
            Some((&granted.link.name, &segment.name))
        });
        let requested: BTreeMap<&String, &String> = requested.collect();
        let segment = |link| requested.get(link).copied().or_else(|| before.get(link));
        let present = self.links.present.keys();
        present
            .filter_map(|link| Some((link.clone(), segment(link)?.clone())))
            .collect()
    }

    /// A link in repair backoff has drifted: its repair counts as one.
    fn waits_for_repair(&self, name: &String) -> bool {
        self.links.drift.waiting.contains(name) || self.changes.lost.contains(name)
    }
}

#[cfg(test)]
mod tests;
