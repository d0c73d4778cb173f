//! Periodic checks of what no event covers of segments: the filter's rules, the node's own addresses,
//! which must not be peers of its own, and devices whose parent has left the node.

use node::Machine;

use super::{
    Segments,
    filter::{retry_filter, verify_filter},
};
use crate::podconfig::{pod_schedule::PodSchedule, report_queue::ReportQueue};

impl Segments {
    /// `is_thorough`: also what is expensive.
    pub fn check(
        &mut self,
        machine: &mut Machine,
        (schedule, reports): (&mut PodSchedule, &ReportQueue),
        is_thorough: bool,
    ) {
        if is_thorough && !machine.filter.is_available() {
            retry_filter(machine, &self.owners, schedule);
        }
        verify_filter(machine, reports);
        self.remove_stray_devices(machine);
        match machine.own_addresses_differ() {
            Ok(false) => (),
            // The rule of a tunnel with discovered peers is chosen by them.
            Ok(true) => schedule.enqueue(self.owners.users_of_tunnels()),
            Err(error) => tracing::error!("{error}"),
        }
    }

    fn remove_stray_devices(&mut self, machine: &mut Machine) {
        let stray = machine.stray_devices();
        let bridges = machine.bridges_of_devices(&stray);
        if let Err(error) = machine.remove(&stray) {
            tracing::error!("cannot delete devices whose parent is gone: {error}");
        }
        self.enqueue_on_bridges(machine, bridges);
    }
}
