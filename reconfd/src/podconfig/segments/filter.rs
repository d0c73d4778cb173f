//! The peer filter. A tunnel's part of it is written before the tunnel's device, by whoever makes the
//! device, and deleted after it.

use node::{Machine, links::device::VXLAN, netlink::Error};

use super::owner::SegmentOwners;
use crate::podconfig::{pod_schedule::PodSchedule, report_queue::ReportQueue};

/// Keeps the peer filter in line with the tunnels in use, and deletes it with the last of them.
/// Before every pod has been observed, the tunnels in use are unknown.
pub fn retain_peer_filters(machine: &mut Machine, owners: &SegmentOwners) {
    let is_claimed = |vni, port| owners.has_tunnel(vni, port, false);
    let has_device = |vni, port| owners.has_tunnel(vni, port, true);
    if let Err(error) = machine.retain_peer_filters(is_claimed, has_device) {
        tracing::error!("cannot update the peer filter: {error}");
    }
}

/// The kernel notifies of every change to an nftables table of the node.
pub fn verify_filter_if_notified(machine: &mut Machine, reports: &ReportQueue) {
    report_filter(machine.filter.verify_if_notified(), reports);
}

pub(super) fn verify_filter(machine: &mut Machine, reports: &ReportQueue) {
    report_filter(machine.filter.verify(), reports);
}

fn report_filter(written: Result<bool, Error>, reports: &ReportQueue) {
    match written {
        Ok(false) => (),
        Ok(true) => {
            reports.metrics.drift_repaired(VXLAN);
            tracing::warn!("the peer filter was changed by another program; it was written again");
        }
        Err(error) => tracing::error!("cannot verify the peer filter, it may be open: {error}"),
    }
}

/// Opens nf_tables again: the module may have been loaded since. Which namespaces may share a
/// tunnel depends on it, so that its users register again.
pub(super) fn retry_filter(
    machine: &mut Machine,
    owners: &SegmentOwners,
    schedule: &mut PodSchedule,
) {
    match machine.open_filter() {
        Ok(true) => schedule.enqueue(owners.users_of_tunnels()),
        Ok(false) => (),
        Err(error) => tracing::error!("cannot open nf_tables: {error}"),
    }
}
