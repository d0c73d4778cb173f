//! Garbage collection of pods of which nothing is left: no record, no link and no namespace. Their
//! end may have been missed, or nothing could be done at that time, and no further event follows.

use std::collections::BTreeSet;

use super::{NodeReconciler, segments::retain_peer_filters};

impl NodeReconciler {
    pub(super) fn sweep(&mut self) {
        // Before every pod has been observed, the desired state is unknown.
        if !self.rounds.is_initial_pass_done() {
            return;
        }
        self.forget_netns_ids();
        let there = self.pods_that_are_there();
        self.addressing.claims.sweep(&there);
        let remembered = self.schedule.uids().chain(self.segments.owners.pods());
        let gone = remembered.filter(|uid| !there.contains(*uid)).cloned();
        self.schedule.enqueue(gone.collect::<Vec<_>>());
        retain_peer_filters(&mut self.machine, &self.segments.owners);
    }

    fn pods_that_are_there(&self) -> BTreeSet<String> {
        let with_devices = self.schedule.uids();
        let with_devices = with_devices.filter(|uid| self.devices_of(uid).next().is_some());
        let mut there: BTreeSet<String> = with_devices.cloned().collect();
        there.extend(self.objects.pods.uids());
        there.extend(self.machine.pods_with_links());
        there
    }

    /// Forgets ids of ended namespaces, of pods without a record: no event would remove them.
    fn forget_netns_ids(&mut self) {
        let unrecorded = self.kernel_ids.netns_of(|uid| !self.objects.pods.has(uid));
        if unrecorded.is_empty() {
            return;
        }
        match self.machine.switch.netns_ids() {
            Ok(used) => unrecorded
                .into_iter()
                .filter(|id| !used.contains(id))
                .for_each(|id| drop(self.kernel_ids.remove_netns(id))),
            Err(error) => tracing::error!("{error}"),
        }
    }
}
