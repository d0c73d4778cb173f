//! Kernel events: finds the pods they concern, and tells external drift from notifications of own
//! changes.

use std::{io, time::Instant};

use node::{KernelEvent, NetnsEvent, link_info::LinkInfo, links::HostNetns};

use super::{
    NodeReconciler,
    applied::{AppliedState, EventClass},
};

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
            self.schedule.mark_all_unseen();
            self.enqueue_all();
            return Ok(());
        };
        for event in events {
            match event {
                KernelEvent::InPod { number, what } => self.on_pod_event(number, &what),
                KernelEvent::PodGone(number) => {
                    let uid = self.kernel_ids.remove_netns(number);
                    self.schedule.enqueue(uid);
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
        self.attachments.links_changed(uid);
        let now = Instant::now();
        self.schedule
            .enqueue_if(uid, |applied| note_pod_event(applied, what, now));
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
        let is_marked = || now.is_none_or(|row| self.machine.is_marked(place, row));
        self.schedule.enqueue_if(uid, |applied| {
            let differs = !is_marked() || applied.host_end_differs(place, index, now);
            differs && applied.may_observe(Instant::now())
        });
    }

    /// Another program changed tables of a host end or of a segment's device.
    fn on_table_event(&mut self, place: HostNetns, index: u32, what: &'static str) {
        if let Some(uid) = self.kernel_ids.host_end_owner((place, index)) {
            let now = Instant::now();
            self.schedule
                .enqueue_if(uid, |applied| applied.may_observe(now));
            return;
        }
        let device = self.machine.switch.links.get(&index);
        let device = device.filter(|row| place == HostNetns::Switch && row.data.is_some());
        if let Some(bridge) = device.and_then(|row| row.master) {
            let name = device.map(|row| row.name.clone()).unwrap_or_default();
            tracing::warn!(device = name, "{what} changed by another program; put back");
            self.reports
                .metrics
                .drift_repaired(node::links::device::VXLAN);
            self.segments.enqueue_on_bridges(&self.machine, [bridge]);
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
        self.segments.enqueue_on_bridges(&self.machine, [bridge]);
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
        if let Some(row) =
            before.filter(|_| moved && self.schedule.states().any(|(_, state)| named(state)))
        {
            self.machine.record_moved(row);
        }
        self.schedule.enqueue_where(|applied| {
            named(applied) || may_conflict && !applied.node_links.is_empty()
        });
    }
}

/// Whether an event in a pod is a reason to observe it now.
fn note_pod_event(applied: &mut AppliedState, what: &NetnsEvent, now: Instant) -> bool {
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
    if class == EventClass::Unblocking {
        applied.retry_soon(now);
    }
    class == EventClass::Drift && applied.may_observe(now)
}

/// A link that got a carrier.
fn came_to_run<'r>(before: Option<&LinkInfo>, now: Option<&'r LinkInfo>) -> Option<&'r LinkInfo> {
    let ran = before.is_some_and(|row| row.running);
    now.filter(|row| row.running && !ran)
}
