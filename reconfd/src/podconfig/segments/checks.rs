//! Periodic checks of what no event covers of segments: the filter's rules, the node's own addresses,
//! which must not be peers of its own, and devices whose parent has left the node.

use crate::podconfig::NodeReconciler;

impl NodeReconciler {
    /// `is_thorough`: also what is expensive.
    pub(in crate::podconfig) fn check_tunnels(&mut self, is_thorough: bool) {
        if is_thorough && !self.machine.filter.is_available() {
            self.retry_filter();
        }
        self.verify_filter();
        self.remove_stray_devices();
        match self.machine.own_addresses_differ() {
            Ok(false) => (),
            // The rule of a tunnel with discovered peers is chosen by them.
            Ok(true) => self
                .schedule
                .enqueue(self.segments.owners.users_of_tunnels()),
            Err(error) => tracing::error!("{error}"),
        }
    }

    fn remove_stray_devices(&mut self) {
        let stray = self.machine.stray_devices();
        let bridges = self.machine.bridges_of_devices(&stray);
        if let Err(error) = self.machine.remove(&stray) {
            tracing::error!("cannot delete devices whose parent is gone: {error}");
        }
        bridges
            .into_iter()
            .for_each(|bridge| self.enqueue_segment_on(bridge));
    }
}
