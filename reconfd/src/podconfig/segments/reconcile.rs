//! Reconciles segments: each is a key of its own, reconciled once for all of its users, in the pass of
//! pods that use it or without any pod.

use std::collections::BTreeSet;

use node::{links::HostNetns, netlink::Error};

use super::{
    ReconciledSegments,
    drift::{has_drifted, outdated_device},
};
use crate::podconfig::{NodeReconciler, node_view::NodeView as _};

/// What the pods of a pass ask of segments.
#[derive(Debug, Default)]
pub struct SegmentDemand {
    /// The pods. They see each result themselves.
    pub pods: BTreeSet<String>,
    /// Segments that a link is to be created on or moved to.
    pub joined: BTreeSet<String>,
}

impl NodeReconciler {
    /// The remote endpoints of a tunnel have changed in this namespace. A device inside a pod is
    /// changed in the pod's pass.
    pub(in crate::podconfig) fn enqueue_tunnel(&mut self, namespace: &str, vni: i32, port: i32) {
        for name in self.segments.owners.discovering(namespace, vni, port) {
            self.schedule
                .enqueue(self.segments.owners.exclusive_users(&name));
            self.segments.dirty.insert(name);
        }
    }

    /// The device on this bridge of the switch has changed.
    pub(in crate::podconfig) fn enqueue_segment_on(&mut self, bridge: u32) {
        let bridge = self.machine.switch.links.get(&bridge);
        let name = bridge.map(|bridge| bridge.name.clone());
        self.segments.dirty.extend(name);
    }

    /// Evaluates the dirty segments before the pods of the pass, and enqueues the users of those
    /// that links can rely on in another way.
    pub(in crate::podconfig) fn begin_segments(&mut self) {
        self.segments.begin_pass();
        self.evaluate_dirty(&BTreeSet::new());
    }

    /// Evaluates the segments of the pass with the registrations of its pods; returns the devices
    /// that must go before anything is made.
    pub(in crate::podconfig) fn outdated_devices(
        &mut self,
        demand: &SegmentDemand,
    ) -> Vec<(HostNetns, u32)> {
        self.segments.drop_outdated();
        self.evaluate_dirty(&demand.pods);
        let segments = &self.segments;
        let targets = segments.dirty.iter().filter_map(|name| {
            let target = segments.targets.get(name)?;
            let present = self.machine.shared(&target.segment);
            outdated_device(target, segments.is_permitted(target), present)
        });
        targets.map(|index| (HostNetns::Switch, index)).collect()
    }

    /// A segment that cannot be evaluated stays as it is; its users report why and try again.
    fn evaluate_dirty(&mut self, observed: &BTreeSet<String>) {
        for name in self.segments.dirty.clone() {
            let evaluated = self.evaluate_segment(&name);
            if let Err(error) = &evaluated {
                tracing::error!(segment = name, "cannot evaluate a segment: {error}");
            }
            if self.segments.take_readiness(&name) || evaluated.is_err() {
                self.enqueue_users(&name, observed);
            }
        }
    }

    /// Makes and updates the devices of the dirty segments that have a link, or are to get one in
    /// this pass.
    pub(in crate::podconfig) fn reconcile_segments(
        &mut self,
        demand: &SegmentDemand,
    ) -> ReconciledSegments {
        let mut reconciled = ReconciledSegments::default();
        for name in std::mem::take(&mut self.segments.dirty) {
            let is_used = demand.joined.contains(&name) || self.machine.has_ports(&name);
            // What cannot be evaluated was reported.
            if !is_used || self.evaluate_segment(&name).is_err() {
                continue;
            }
            let Some(result) = self.reconcile_segment(&name) else {
                continue;
            };
            if self.segments.take_result(&name, result.as_ref().copied()) {
                self.enqueue_users(&name, &demand.pods);
            }
            reconciled
                .errors
                .extend(result.err().map(|error| (name, error)));
        }
        reconciled
    }

    /// `None`: there is no device to have.
    fn reconcile_segment(&mut self, name: &str) -> Option<Result<(), Error>> {
        let target = self.segments.targets.get(name)?;
        if !self.segments.is_permitted(target) {
            return None;
        }
        let device = target.device.as_ref().ok()?;
        if !has_drifted(&target.segment, device, &self.machine) {
            return Some(Ok(()));
        }
        Some(self.machine.apply_segment(&target.segment, device))
    }

    fn enqueue_users(&mut self, segment: &str, observed: &BTreeSet<String>) {
        let users = self.segments.owners.users(segment).into_iter();
        self.schedule
            .enqueue(users.filter(|pod| !observed.contains(pod)));
    }
}
