//! What the kernel told: whom it concerns, and whether it is news or the echo of our own deeds.

use std::{io, time::Instant};

use super::{
    NodeReconciler,
    applied::{AppliedState, EventClass},
};
use crate::node::{KernelEvent, NetnsEvent, link_info::LinkInfo, links::HostNetns};

impl NodeReconciler {
    /// Takes in what the kernel told, and finds out whom it concerns.
    pub(super) fn handle_kernel_events(&mut self) -> io::Result<()> {
        let heard = match self.machine.drain_events() {
            Ok(heard) => heard,
            // What stands stays; it is tried again with the next event, within a second.
            Err(error) => {
                tracing::error!("read the machine's links again: {error}");
                return Ok(());
            }
        };
        let Some(happenings) = heard else {
            tracing::warn!(
                "the kernel had more to tell than could be queued; everything is looked at again"
            );
            self.applied
                .values_mut()
                .for_each(|applied| applied.seen = false);
            self.enqueue_all();
            return Ok(());
        };
        for happening in happenings {
            match happening {
                KernelEvent::InPod { number, what } => self.on_pod_event(number, &what),
                KernelEvent::PodGone(number) => {
                    let uid = self.netns_ids.remove(number);
                    self.dirty.extend(uid);
                }
                KernelEvent::Table { place, index, what } => {
                    self.on_table_event(place, index, what)
                }
                KernelEvent::HostEnd { place, before, now } => {
                    self.on_host_end_event(place, before.as_ref(), now.as_ref())
                }
                KernelEvent::NodeLink { before, now, moved } => {
                    self.on_node_link_event(before.as_ref(), now.as_ref(), moved)
                }
            }
        }
        Ok(())
    }

    fn on_pod_event(&mut self, number: i32, what: &NetnsEvent) {
        let Some(uid) = self.netns_ids.owner(number) else {
            return;
        };
        let Some(applied) = self.applied.get_mut(uid) else {
            return;
        };
        let now = Instant::now();
        applied.note_moved_out(what);
        let class = applied.classify(what);
        // Of what is gone the event alone tells whether it was ours: the look may find it back already.
        applied.drift_suspected |= class == EventClass::Drift
            && matches!(
                what,
                NetnsEvent::AddressGone { .. }
                    | NetnsEvent::RouteGone
                    | NetnsEvent::RuleGone
                    | NetnsEvent::PeerGone(_)
            );
        match class {
            EventClass::OwnChange => (),
            EventClass::Unblocking => applied.retry_soon(now),
            EventClass::Drift if applied.may_observe(now) => drop(self.dirty.insert(uid.clone())),
            EventClass::Drift => (),
        }
    }

    fn on_host_end_event(
        &mut self,
        place: HostNetns,
        before: Option<&LinkInfo>,
        now: Option<&LinkInfo>,
    ) {
        let Some(index) = before.or(now).map(|row| row.index) else {
            return;
        };
        let Some(uid) = self.host_ends.get(&(place, index)) else {
            self.on_device_event(before, now);
            return;
        };
        let Some(applied) = self.applied.get_mut(uid) else {
            return;
        };
        let is_marked = now.is_none_or(|row| self.machine.is_marked(place, row));
        let differs = !is_marked || applied.host_end_differs(place, index, now);
        if differs && applied.may_observe(Instant::now()) {
            self.dirty.insert(uid.clone());
        }
    }

    /// What is around a host end or the device of a segment was changed by another program.
    fn on_table_event(&mut self, place: HostNetns, index: u32, what: &'static str) {
        if let Some(uid) = self.host_ends.get(&(place, index)) {
            let applied = self.applied.get_mut(uid);
            if applied.is_some_and(|applied| applied.may_observe(Instant::now())) {
                self.dirty.insert(uid.clone());
            }
            return;
        }
        let device = self.machine.switch.links.get(&index);
        let device = device.filter(|row| place == HostNetns::Switch && row.data.is_some());
        if let Some(bridge) = device.and_then(|row| row.master) {
            let name = device.map(|row| row.name.clone()).unwrap_or_default();
            tracing::warn!(device = name, "{what} changed by another program; put back");
            self.metrics
                .drift_repaired(crate::node::links::device::VXLAN);
            self.enqueue_bridge_users(bridge);
        }
    }

    /// The device of a segment came, went or is otherwise than it was left.
    fn on_device_event(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        let row = before.or(now).filter(|row| row.data.is_some());
        let Some(bridge) = row.and_then(|row| row.master) else {
            return;
        };
        if came_to_run(before, now).is_some() {
            // What was announced before was lost.
            self.announce_behind(bridge, None);
        }
        let essence = |row: &LinkInfo| (row.name.clone(), row.up, row.mtu, row.master);
        if before.map(essence) == now.map(essence) {
            return;
        }
        self.enqueue_bridge_users(bridge);
    }

    /// The pods that have a host end on a bridge in the switch.
    pub(super) fn enqueue_bridge_users(&mut self, bridge: u32) {
        let links = &self.machine.switch.links;
        let is_on = |index| {
            let row = links.get(index);
            row.is_some_and(|row| row.master == Some(bridge))
        };
        let ends = self.host_ends.iter();
        let users = ends.filter(|((place, index), _)| *place == HostNetns::Switch && is_on(index));
        let users: Vec<String> = users.map(|(_, uid)| uid.clone()).collect();
        self.dirty.extend(users);
    }

    /// A link of the node came, went or changed: a bridge or a parent that somebody's link names, or
    /// one that takes the frames of a segment.
    fn on_node_link_event(
        &mut self,
        before: Option<&LinkInfo>,
        now: Option<&LinkInfo>,
        moved: bool,
    ) {
        if let Some(row) = came_to_run(before, now) {
            self.announce_over(row);
        }
        let essence = |row: &LinkInfo| {
            let names = (row.name.clone(), row.altnames.clone());
            (
                names,
                row.kind.clone(),
                row.mtu,
                row.up,
                row.master,
                row.data,
            )
        };
        if before.map(essence) == now.map(essence) {
            return;
        }
        let rows = || [before, now].into_iter().flatten();
        let may_conflict = rows().any(|row| row.data.is_some());
        let named = |applied: &AppliedState| {
            let mut names = applied.node_links.iter();
            names.any(|name| rows().any(|row| row.is_called(name)))
        };
        if let Some(row) = before.filter(|_| moved && self.applied.values().any(named)) {
            self.machine.record_moved(row);
        }
        let concerned = self.applied.iter().filter(|(_, applied)| {
            named(applied) || may_conflict && !applied.node_links.is_empty()
        });
        self.dirty
            .extend(concerned.map(|(uid, _)| uid.clone()).collect::<Vec<_>>());
    }
}

/// A link that has a carrier now, and had none.
fn came_to_run<'r>(before: Option<&LinkInfo>, now: Option<&'r LinkInfo>) -> Option<&'r LinkInfo> {
    let ran = before.is_some_and(|row| row.running);
    now.filter(|row| row.running && !ran)
}
