//! Periodic checks of what no event covers: the switch's pin and settings, tunnels, and one pod per second.

use node::PinState;

use super::{NodeReconciler, acd::AddressProbes};

impl NodeReconciler {
    pub(super) fn housekeep(&mut self) {
        self.rounds.begin_round();
        self.recheck_next_pod();
        self.read_unread();
        self.retry_discovery();
        let due = self.addressing.probes.as_ref().map(AddressProbes::due);
        self.schedule.enqueue(due.into_iter().flatten());
        let others = (&mut self.schedule, &self.reports);
        self.segments
            .check(&mut self.machine, others, self.rounds.is_thorough());
        if self.rounds.is_thorough() {
            self.check();
            self.sweep_records();
            self.sweep_namespaces();
            self.schedule
                .enqueue(self.unrecorded.orphans.iter().cloned());
            self.sweep();
            // The cluster controller may have stopped publishing.
            self.refresh_networks();
        }
        self.keep_switch();
    }

    /// An unpinned switch is logged once, and again when it is pinned.
    fn keep_switch(&mut self) {
        let kept = self.machine.ensure_switch(self.rounds.is_for_settings());
        let is_pinned = matches!(kept, Ok(PinState::Pinned | PinState::Repinned));
        let was_pinned = self.rounds.health.set_switch_pinned(is_pinned);
        self.reports.metrics.set_switch_pinned(is_pinned);
        let (path, reason) = (self.machine.pin.path().display(), "SwitchUnpinned");
        match kept {
            Ok(PinState::Pinned) if !was_pinned => tracing::info!(%path, "the switch is pinned"),
            Ok(PinState::Pinned) => (),
            Ok(PinState::Repinned) => {
                tracing::warn!(%path, reason, "the switch's namespace was unmounted; it was pinned again");
            }
            Ok(PinState::Unpinned) if was_pinned => {
                tracing::error!(%path, reason, "the switch's namespace was unmounted; `reconfd keep` pins it again");
            }
            Ok(PinState::Unpinned) => (),
            Err(error) => tracing::error!(reason, "cannot maintain the switch: {error}"),
        }
    }

    /// Checks what no event covers of the switch's ports and tables, and deletes links that became
    /// unrecognisable.
    fn check(&mut self) {
        match self.machine.check() {
            Ok(false) => (),
            Ok(true) => {
                tracing::debug!("tables or ports of the switch differ from the cached state");
                self.schedule.mark_all_unseen();
                self.enqueue_all();
            }
            Err(error) => tracing::error!("cannot read the switch: {error}"),
        }
        let orphaned = self.machine.half_made();
        if let Err(error) = self.machine.remove(&orphaned) {
            tracing::error!("cannot delete orphaned links: {error}");
        }
    }

    /// Reads records again that could not be read, for example for lack of a file descriptor.
    fn read_unread(&mut self) {
        for file in self.objects.pods.unread() {
            let touched = self.read_record(&file);
            self.schedule.enqueue(touched);
        }
    }

    /// Checks one pod a second for changes without an event (a sysctl in a pod, a route that the
    /// pod has replaced).
    fn recheck_next_pod(&mut self) {
        let pods = &self.objects.pods;
        let next = self.rounds.recheck_next(|last| pods.uid_after(last));
        if let Some(applied) = next.as_ref().and_then(|uid| self.schedule.applied_mut(uid)) {
            applied.seen = false;
        }
        self.schedule.enqueue(next);
    }
}
