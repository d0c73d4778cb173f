//! Reconciles segments: each is a key of its own, reconciled once for all of its users, in the pass of
//! pods that use it or without any pod.

use std::collections::BTreeSet;

use node::{Machine, links::HostNetns, netlink::Error};

use super::{
    ReconciledSegments, Segments, Surroundings,
    drift::{has_drifted, outdated_device},
};
use crate::podconfig::{node_view::NodeView as _, pod_schedule::PodSchedule};

/// What the pods of a pass ask of segments.
#[derive(Debug, Default)]
pub struct SegmentDemand {
    /// The pods. They see each result themselves.
    pub pods: BTreeSet<String>,
    /// Segments that a link is to be created on or moved to.
    pub joined: BTreeSet<String>,
}

impl Segments {
    /// The remote endpoints of a tunnel have changed in this namespace. A device inside a pod is
    /// changed in the pod's pass.
    pub fn enqueue_tunnel(
        &mut self,
        (namespace, vni, port): (&str, i32, i32),
        schedule: &mut PodSchedule,
    ) {
        for name in self.owners.discovering(namespace, vni, port) {
            schedule.enqueue(self.owners.exclusive_users(&name));
            self.dirty.insert(name);
        }
    }

    /// The devices on these bridges of the switch have changed.
    pub fn enqueue_on_bridges(
        &mut self,
        machine: &Machine,
        bridges: impl IntoIterator<Item = u32>,
    ) {
        let bridges = bridges.into_iter();
        let bridges = bridges.filter_map(|bridge| machine.switch.links.get(&bridge));
        self.dirty.extend(bridges.map(|bridge| bridge.name.clone()));
    }

    /// Evaluates the dirty segments before the pods of the pass, and enqueues the users of those
    /// that links can rely on in another way.
    pub fn begin(&mut self, surroundings: Surroundings<'_>, schedule: &mut PodSchedule) {
        self.begin_pass();
        self.evaluate_dirty(&BTreeSet::new(), surroundings, schedule);
    }

    /// Evaluates the segments of the pass with the registrations of its pods; returns the devices
    /// that must go before anything is made.
    pub fn outdated_devices(
        &mut self,
        demand: &SegmentDemand,
        (machine, stores): Surroundings<'_>,
        schedule: &mut PodSchedule,
    ) -> Vec<(HostNetns, u32)> {
        self.drop_outdated();
        self.evaluate_dirty(&demand.pods, (machine, stores), schedule);
        let targets = self.dirty.iter().filter_map(|name| {
            let target = self.targets.get(name)?;
            let present = machine.shared(&target.segment);
            outdated_device(target, self.is_permitted(target), present)
        });
        targets.map(|index| (HostNetns::Switch, index)).collect()
    }

    /// A segment that cannot be evaluated stays as it is; its users report why and try again.
    fn evaluate_dirty(
        &mut self,
        observed: &BTreeSet<String>,
        (machine, stores): Surroundings<'_>,
        schedule: &mut PodSchedule,
    ) {
        for name in self.dirty.clone() {
            let evaluated = self.evaluate(&name, (machine, stores));
            self.log_unevaluated(&name, evaluated.as_ref().copied());
            if self.take_readiness(&name) || evaluated.is_err() {
                self.enqueue_users(&name, observed, schedule);
            }
        }
    }

    /// Makes and updates the devices of the dirty segments that have a link, or are to get one in
    /// this pass.
    pub fn reconcile(
        &mut self,
        demand: &SegmentDemand,
        (machine, stores): Surroundings<'_>,
        schedule: &mut PodSchedule,
    ) -> ReconciledSegments {
        let mut reconciled = ReconciledSegments::default();
        for name in std::mem::take(&mut self.dirty) {
            let is_used = demand.joined.contains(&name) || machine.has_ports(&name);
            // What cannot be evaluated was reported.
            if !is_used || self.evaluate(&name, (machine, stores)).is_err() {
                continue;
            }
            let Some(result) = self.reconcile_segment(&name, machine) else {
                continue;
            };
            if self.take_result(&name, result.as_ref().copied()) {
                self.enqueue_users(&name, &demand.pods, schedule);
            }
            reconciled
                .errors
                .extend(result.err().map(|error| (name, error)));
        }
        reconciled
    }

    /// `None`: there is no device to have.
    fn reconcile_segment(&self, name: &str, machine: &mut Machine) -> Option<Result<(), Error>> {
        let target = self.targets.get(name)?;
        if !self.is_permitted(target) {
            return None;
        }
        let device = target.device.as_ref().ok()?;
        if !has_drifted(&target.segment, device, machine) {
            return Some(Ok(()));
        }
        Some(machine.apply_segment(&target.segment, device))
    }

    fn enqueue_users(
        &self,
        segment: &str,
        observed: &BTreeSet<String>,
        schedule: &mut PodSchedule,
    ) {
        let users = self.owners.users(segment).into_iter();
        schedule.enqueue(users.filter(|pod| !observed.contains(pod)));
    }
}
