//! What a pod looks like when its pass is through, written down for the events and passes to come.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use super::{Work, verdict};
use crate::podconfig::{
    plan::Aim,
    settled::{self, Settled},
    wanted::Granted,
};

impl Work {
    pub fn settle(&self, settled: &mut Settled, now: Instant) {
        if self.is_unknown() {
            settled.seen = false;
            settled.configs.extend(self.asked());
            settled.unapplied_since.get_or_insert(now);
            settled.failed(now);
            return;
        }
        self.settle_ends(settled);
        self.settle_wishes(settled);
        if !self.mended.is_empty() || !self.undone.is_empty() {
            settled.repaired(now);
        }
        if self.touched.is_empty() {
            settled.false_alarm(now);
        }
        if !self.undone.is_empty() {
            settled.look_when_allowed(now);
        }
        let since = settled.unapplied_since.unwrap_or(now);
        settled.unapplied_since = self.is_behind().then_some(since);
        self.settle_refusals(settled, now);
        match self.failed() {
            true => settled.failed(now),
            false => settled.succeeded(),
        }
    }

    /// What the kernel refused is tried again when it is due, or when it is to be otherwise.
    fn settle_refusals(&self, settled: &mut Settled, now: Instant) {
        let refused = self.granted.iter().filter_map(|granted| {
            let name = &granted.link.name;
            let error = self.errors.get(name)?;
            let aim = self.plan.aims.get(name).cloned().unwrap_or_default();
            let spec = (granted.mark.spec_hash.clone(), aim);
            Some((name.clone(), spec, verdict::refusal(error)))
        });
        settled
            .refusals
            .take(refused.collect(), &self.refused_again, now);
        if let Some(at) = settled.refusals.next() {
            settled.look_at(at);
        }
    }

    /// Both ends of every link, to tell the echo of what was done from what somebody does.
    fn settle_ends(&self, settled: &mut Settled) {
        if settled.sandbox != self.known.pod.sandbox {
            settled.sandbox = self.known.pod.sandbox.clone();
            settled.devices.clear();
            settled.escaped.clear();
            settled.veth_ends.clear();
        }
        let veths = self.standing.values().filter(|link| link.host.is_some());
        settled
            .veth_ends
            .extend(veths.filter_map(|link| link.pod_index));
        let devices = self.standing.values().filter(|link| link.host.is_none());
        settled
            .devices
            .extend(devices.filter_map(|link| link.pod_index));
        settled.pod_ends.clear();
        settled.host_ends.clear();
        for (name, link) in &self.standing {
            let pod_end = settled::PodEnd {
                name: name.clone(),
                mtu: link.mtu,
                mac: link.mac,
                addresses: link.addresses.clone(),
            };
            let host_end = settled::HostEnd {
                name: link.host_name.clone().unwrap_or_default(),
                mtu: link.host_mtu,
                master: link.master,
            };
            settled
                .pod_ends
                .extend(link.pod_index.map(|index| (index, pod_end)));
            settled
                .host_ends
                .extend(link.host.map(|host| (host, host_end)));
        }
        settled.has_routes = self.standing.values().any(|link| link.has_routes);
        settled.has_rules = self.has_rules;
        settled.seen = self.trouble.is_none();
    }

    /// What was asked for, and what of it is there.
    fn settle_wishes(&self, settled: &mut Settled) {
        settled.configs = self.asked();
        (settled.reach, settled.is_unsure) = (self.reach.clone(), self.is_unsure);
        let in_conflict = |granted: &&Granted| {
            granted.conflict.is_some() && self.standing.contains_key(&granted.link.name)
        };
        settled.conflicts = self.granted.iter().filter(in_conflict).count();
        let on_node = self.granted.iter().filter_map(|g| g.link.kind.node_link());
        let on_node = on_node.chain(self.parents.iter().map(String::as_str));
        settled.node_links = on_node.map(str::to_owned).collect();
        settled.carriers = self.carriers.clone();
        if self.trouble.is_none() {
            settled.segments = self.segments(&settled.segments);
        }
        settled.has_devices = self.asks_for_devices();
        settled.lacks = self.granted.len() > self.standing.len() || !self.plan.hindered.is_empty();
        settled.hashes = self.applied(&settled.hashes);
        for (link, at) in &self.touched {
            settled.changed.insert(link.clone(), *at);
        }
        settled
            .changed
            .retain(|link, _| self.standing.contains_key(link));
    }

    /// What was applied to each link that stands. A link that still is what an earlier specification asked
    /// for stays known by that one, or the change to the new one would be taken for a repair.
    fn applied(&self, before: &HashMap<String, (String, Aim)>) -> HashMap<String, (String, Aim)> {
        let applied = |granted: &Granted| {
            let name = &granted.link.name;
            // One that lacks addresses yet is not undone when they come.
            let is_whole = !self.probing.iter().any(|probing| probing.link == *name);
            let is_through = granted.withheld.is_none() && !self.errors.contains_key(name);
            let is_applied = is_whole && is_through && self.stands_as_asked(granted);
            if is_applied || self.waits_for_repair(name) {
                let aim = self.plan.aims.get(name).cloned().unwrap_or_default();
                return Some((name.clone(), (granted.mark.spec_hash.clone(), aim)));
            }
            let stands = self.standing.contains_key(name);
            Some((
                name.clone(),
                stands.then(|| before.get(name)).flatten()?.clone(),
            ))
        };
        self.granted.iter().filter_map(applied).collect()
    }

    /// The segments that standing links use, also those that nobody asks for any more.
    fn segments(&self, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let asked = self.granted.iter().filter_map(|granted| {
            let segment = granted.link.kind.segment()?;
            Some((&granted.link.name, &segment.name))
        });
        let asked: BTreeMap<&String, &String> = asked.collect();
        let segment = |link| asked.get(link).copied().or_else(|| before.get(link));
        let standing = self.standing.keys();
        standing
            .filter_map(|link| Some((link.clone(), segment(link)?.clone())))
            .collect()
    }

    /// A link that waits for its repair is one that was undone: the repair counts as one.
    fn waits_for_repair(&self, name: &String) -> bool {
        self.waiting.contains(name) || self.undone.contains(name)
    }
}

#[cfg(test)]
mod tests;
