//! The peer filter. A tunnel's part of it is written before the tunnel's device, by whoever makes the
//! device, and deleted after it.

use node::{links::device::VXLAN, netlink::Error};

use crate::podconfig::NodeReconciler;

impl NodeReconciler {
    /// Keeps the peer filter in line with the tunnels in use, and deletes it with the last of them.
    pub(in crate::podconfig) fn retain_peer_filters(&mut self) {
        // Before every pod has been observed, the tunnels in use are unknown.
        if !self.rounds.is_initial_pass_done() {
            return;
        }
        let owners = &self.segments.owners;
        let is_claimed = |vni, port| owners.has_tunnel(vni, port, false);
        let has_device = |vni, port| owners.has_tunnel(vni, port, true);
        if let Err(error) = self.machine.retain_peer_filters(is_claimed, has_device) {
            tracing::error!("cannot update the peer filter: {error}");
        }
    }

    /// The kernel notifies of every change to an nftables table of the node.
    pub(in crate::podconfig) fn verify_filter_if_notified(&mut self) {
        let written = self.machine.filter.verify_if_notified();
        self.report_filter(written);
    }

    pub(super) fn verify_filter(&mut self) {
        let written = self.machine.filter.verify();
        self.report_filter(written);
    }

    fn report_filter(&self, written: Result<bool, Error>) {
        match written {
            Ok(false) => (),
            Ok(true) => {
                self.reports.metrics.drift_repaired(VXLAN);
                tracing::warn!(
                    "the peer filter was changed by another program; it was written again"
                );
            }
            Err(error) => tracing::error!("cannot verify the peer filter, it may be open: {error}"),
        }
    }

    /// Opens nf_tables again: the module may have been loaded since. Which namespaces may share a
    /// tunnel depends on it, so that its users register again.
    pub(super) fn retry_filter(&mut self) {
        match self.machine.open_filter() {
            Ok(true) => self
                .schedule
                .enqueue(self.segments.owners.users_of_tunnels()),
            Ok(false) => (),
            Err(error) => tracing::error!("cannot open nf_tables: {error}"),
        }
    }
}
