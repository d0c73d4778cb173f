//! Kernel events: finds the pods they concern, and tells external drift from notifications of own
//! changes.

use std::{io, time::Instant};

use super::{
    NodeReconciler,
    applied::{AppliedState, EventClass},
};
use crate::node::{KernelEvent, NetnsEvent, link_info::LinkInfo, links::HostNetns};

impl NodeReconciler {
    /// Handles pending kernel events and enqueues the pods they concern.
    pub(super) fn handle_kernel_events(&mut self) -> io::Result<()> {
        let events = match self.machine.drain_events() {
            Ok(events) => events,
            // Links stay as they are; the next event, within a second, retries.
            Err(error) => {
                tracing::error!("cannot read the node's links again: {error}");
                return Ok(());
            }
        };
        let Some(events) = events else {
            tracing::warn!("the kernel event queue overflowed; all pods are checked again");
            self.applied
                .values_mut()
                .for_each(|applied| applied.seen = false);
            self.enqueue_all();
            return Ok(());
        };
        for event in events {
            match event {
                KernelEvent::InPod { number, what } => self.on_pod_event(number, &what),
                KernelEvent::PodGone(number) => {
                    let uid = self.kernel_ids.remove_netns(number);
                    self.dirty.extend(uid);
                }
                KernelEvent::Table { place, index, what } => {
                    self.on_table_event(place, index, what)
                }
                KernelEvent::HostEnd { place, before, now } => {
                    self.on_host_end_event(place, before.as_deref(), now.as_deref())
                }
                KernelEvent::NodeLink { before, now, moved } => {
                    self.on_node_link_event(before.as_deref(), now.as_deref(), moved)
                }
            }
        }
        Ok(())
    }

    fn on_pod_event(&mut self, number: i32, what: &NetnsEvent) {
        let Some(uid) = self.kernel_ids.netns_owner(number) else {
            return;
        };
        let Some(applied) = self.applied.get_mut(uid) else {
            return;
        };
        let now = Instant::now();
        applied.note_moved_out(what);
        let class = applied.classify(what);
        // Only the event shows whether a deleted item was ours: it may exist again when the pod is
        // observed.
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
        let Some(uid) = self.kernel_ids.host_end_owner((place, index)) else {
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

    /// Another program changed tables of a host end or of a segment's device.
    fn on_table_event(&mut self, place: HostNetns, index: u32, what: &'static str) {
        if let Some(uid) = self.kernel_ids.host_end_owner((place, index)) {
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
            self.reports
                .metrics
                .drift_repaired(crate::node::links::device::VXLAN);
            self.enqueue_segment_on(bridge);
        }
    }

    /// The device of a segment appeared, disappeared or differs from its applied state.
    fn on_device_event(&mut self, before: Option<&LinkInfo>, now: Option<&LinkInfo>) {
        let row = before.or(now).filter(|row| row.data.is_some());
        let Some(bridge) = row.and_then(|row| row.master) else {
            return;
        };
        if came_to_run(before, now).is_some() {
            // Earlier announcements were lost.
            self.announce_behind(bridge, None);
        }
        let essence = |row: &LinkInfo| (row.name.clone(), row.up, row.mtu, row.master);
        if before.map(essence) == now.map(essence) {
            return;
        }
        self.enqueue_segment_on(bridge);
    }

    /// A link of the node appeared, disappeared or changed: a bridge or parent of a pod's link, or
    /// a link that takes the frames of a segment.
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
        self.segments
            .enqueue_on(|parent| may_conflict || rows().any(|row| row.is_called(parent)));
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

/// A link that got a carrier.
fn came_to_run<'r>(before: Option<&LinkInfo>, now: Option<&'r LinkInfo>) -> Option<&'r LinkInfo> {
    let ran = before.is_some_and(|row| row.running);
    now.filter(|row| row.running && !ran)
}
