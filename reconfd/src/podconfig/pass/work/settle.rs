//! What a pod looks like when its pass is through, written down for the events and passes to come.

use std::time::Instant;

use super::Work;
use crate::{
    node::links::{HostEnd, Kind},
    podconfig::{
        settled::{self, Settled},
        wanted::Granted,
    },
};

impl Work {
    pub fn settle(&self, settled: &mut Settled, now: Instant) {
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
        let is_behind = self.failed() || self.granted.len() > self.standing.len();
        settled.unapplied_since = is_behind.then(|| settled.unapplied_since.unwrap_or(now));
        match self.failed() {
            true => settled.failed(now),
            false => settled.succeeded(),
        }
    }

    /// Both ends of every link, to tell the echo of what was done from what somebody does.
    fn settle_ends(&self, settled: &mut Settled) {
        settled.pod_ends.clear();
        settled.host_ends.clear();
        for (name, link) in &self.standing {
            let pod_end = settled::PodEnd {
                name: name.clone(),
                mtu: link.mtu,
                mac: link.mac,
            };
            let host_end = settled::HostEnd {
                name: link.host_name.clone(),
                mtu: link.host_mtu,
                master: link.master,
            };
            settled
                .pod_ends
                .extend(link.pod_index.map(|index| (index, pod_end)));
            settled
                .host_ends
                .insert((link.place, link.host_index), host_end);
        }
        settled.has_routes = self.standing.values().any(|link| link.has_routes);
        settled.has_rules = self.has_rules;
        settled.seen = self.trouble.is_none();
    }

    /// What was asked for, and what of it is there.
    fn settle_wishes(&self, settled: &mut Settled) {
        settled.configs = self.asked();
        settled.host_bridges = self.granted.iter().filter_map(host_bridge).collect();
        settled.lacks = self.granted.len() > self.standing.len() || !self.plan.hindered.is_empty();
        let stand = |granted: &&Granted| {
            let name = &granted.link.name;
            self.standing.contains_key(name) || self.waits_for_repair(name)
        };
        let hash = |granted: &Granted| (granted.link.name.clone(), granted.mark.spec_hash.clone());
        settled.hashes = self.granted.iter().filter(stand).map(hash).collect();
        for (link, at) in &self.touched {
            settled.changed.insert(link.clone(), *at);
        }
        settled
            .changed
            .retain(|link, _| self.standing.contains_key(link));
    }

    /// A link that waits for its repair is one that was undone: the repair counts as one.
    fn waits_for_repair(&self, name: &String) -> bool {
        self.waiting.contains(name) || self.undone.contains(name)
    }
}

fn host_bridge(granted: &Granted) -> Option<String> {
    match &granted.link.kind {
        Kind::Veth(veth) => match &veth.host_end {
            HostEnd::HostBridge(name) => Some(name.clone()),
            HostEnd::Bridge { .. } | HostEnd::Routed => None,
        },
    }
}
