//! Announces addresses on the wire when they are assigned to a link, so that neighbours, switches
//! and tunnels learn them at once: at the end of the pass, when the path forwards, and once more a
//! second later if the link reaches beyond the node.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use node::{
    Machine, UplinkChange,
    link_info::LinkInfo,
    links::{VETH, edit::Edit},
    netlink::Error,
    sandbox::{Extent, Sandbox},
};

use super::applied::Applied;
use crate::podconfig::{
    NodeReconciler, applied::AppliedState, outcome::LocalPod, pod_schedule::PodSchedule,
};

/// A frame may be lost beyond the node, and nothing retransmits it.
const AGAIN: Duration = Duration::from_secs(1);
/// Coalesces the changes of an uplink into one announcement.
const SOON: Duration = Duration::from_millis(100);
/// Only recent changes are announced to a new tunnel endpoint: a joining node must not cause an
/// announcement of every pod.
const LATELY: Duration = Duration::from_secs(30);
/// Switches and tunnels expire a MAC address after five minutes.
const REMEMBERED: Duration = Duration::from_secs(300);

impl NodeReconciler {
    /// Sends the announcements that are due. Nothing else of the pods is checked.
    pub(in crate::podconfig) fn announce_due(&mut self) {
        for (uid, links) in self.schedule.take_announcements(Instant::now()) {
            let known = self.objects.recorded(&uid);
            let Some(known) = known.filter(|known| known.trouble.is_none()) else {
                continue;
            };
            // A namespace that is gone is found and reported by the pod's next pass.
            if let Ok(mut sandbox) = self.machine.visit(&known.record) {
                for (index, extent) in links {
                    warn_of(&known.pod, sandbox.announce(index, extent));
                }
            }
        }
    }

    /// Announces all links behind an uplink that came up, and recently changed links behind one
    /// that got more endpoints.
    pub(super) fn announce_behind_ways_out(&mut self) {
        let ways_out = std::mem::take(&mut self.machine.uplink_changes);
        for (bridge, way_out) in ways_out {
            let within = match way_out {
                UplinkChange::Opened => None,
                UplinkChange::Extended => Some(LATELY),
            };
            self.announce_behind(bridge, within);
        }
    }

    /// Announces the links on a bridge in the switch soon; with `within`, only those changed in that time.
    pub(in crate::podconfig) fn announce_behind(&mut self, bridge: u32, within: Option<Duration>) {
        for (uid, link) in self.links_on(bridge) {
            self.schedule.announce_soon(&uid, &link, within);
        }
    }

    /// A device of the node has a carrier again: announcements of links added meanwhile were lost.
    pub(in crate::podconfig) fn announce_over(&mut self, device: &LinkInfo) {
        let node = &self.machine.node.links;
        // Ports of other pods and of virtual machines come and go all the time and are not uplinks.
        let is_uplink = !device.is_kind(VETH) && !device.is_kind("tun");
        let bridge = device.master.filter(|_| is_uplink);
        let bridge = bridge.and_then(|bridge| node.get(&bridge));
        let is_over = |applied: &AppliedState| {
            let mut names = applied.node_links.iter();
            let devices = || [Some(device), bridge].into_iter().flatten();
            names.any(|name| devices().any(|row| row.is_called(name)))
        };
        let over = self
            .schedule
            .states()
            .filter(|(_, applied)| is_over(applied));
        let links = over.flat_map(|(uid, applied)| {
            let links = applied.changed.keys();
            links.map(move |link| (uid.clone(), link.clone()))
        });
        let links: Vec<(String, String)> = links.collect();
        for (uid, link) in links {
            self.schedule.announce_soon(&uid, &link, Some(REMEMBERED));
        }
    }

    /// The links whose host ends are on a bridge in the switch, with their pods.
    fn links_on(&self, bridge: u32) -> BTreeSet<(String, String)> {
        let links = &self.machine.switch.links;
        let is_on = |index| {
            let row = links.get(&index);
            row.is_some_and(|row| row.master == Some(bridge))
        };
        let ends = self.kernel_ids.in_switch(is_on);
        let marks = ends.filter_map(|index| links.get(&index)?.mark());
        marks.map(|mark| (mark.pod_uid, mark.link)).collect()
    }
}

impl PodSchedule {
    /// Schedules the second announcement of links that reach beyond the node.
    pub(super) fn announce_again(&mut self, pod: &Applied) {
        let reaches_beyond = |link: &&String| {
            let mut granted = pod.links.desired.granted.iter();
            granted.any(|granted| granted.link.name == **link && granted.link.kind.reaches_beyond())
        };
        let again: Vec<&String> = pod.changes.moved.keys().filter(reaches_beyond).collect();
        let Some(applied) = self.applied_mut(pod.uid()) else {
            return;
        };
        let now = Instant::now();
        again
            .into_iter()
            .for_each(|link| applied.announce_at(link, now + AGAIN));
    }

    /// A tunnel in a pod got more endpoints.
    pub(super) fn announce_to_more(&mut self, uid: &str, link: &str, edits: &[Edit]) {
        if edits.iter().any(|edit| matches!(edit, Edit::AddPeer(_))) {
            self.announce_soon(uid, link, Some(LATELY));
        }
    }

    /// With `within`, only if the link was changed in that time.
    fn announce_soon(&mut self, uid: &str, link: &str, within: Option<Duration>) {
        let Some(applied) = self.applied_mut(uid) else {
            return;
        };
        let changed = applied.changed.get(link);
        let age = changed.and_then(|changed| changed.elapsed().ok());
        if within.is_none_or(|within| age.is_some_and(|age| age < within)) {
            applied.announce_at(link, Instant::now() + SOON);
        }
    }
}

/// Announces the links that this pass created or moved, after all steps: an announcement is
/// lost before the path forwards.
pub(super) fn announce(machine: &mut Machine, pod: &Applied, sandbox: &mut Sandbox) {
    let mut links = Vec::new();
    let mut path = Vec::new();
    for granted in &pod.links.desired.granted {
        let present = pod.links.present.get(&granted.link.name);
        let is_new = pod.changes.moved.get(&granted.link.name);
        let announced = present.and_then(|s| Some((s, s.pod_index?, is_new?)));
        if let Some((present, index, is_new)) = announced {
            links.push((index, Extent::of(&present.addresses, *is_new)));
            path.extend(machine.path_of(&granted.link, present.host));
        }
    }
    machine.await_path(&path);
    for (index, extent) in links {
        warn_of(&pod.links.known.pod, sandbox.announce(index, extent));
    }
}

/// A link that could not be announced still answers neighbours that ask for it.
fn warn_of(pod: &LocalPod, announced: Result<(), Error>) {
    if let Err(error) = announced {
        tracing::warn!(
            namespace = pod.namespace,
            pod = pod.name,
            "a link's addresses could not be announced to its neighbours: {error}"
        );
    }
}
