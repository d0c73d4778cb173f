//! Reconciles all dirty pods in one pass: observe and plan each, delete in one batch, create and
//! update, save, handle the resulting kernel events, then report.
//!
//! Each phase is a type that is made by consuming the one before: `Observed`, `Claimed`, `Planned`,
//! `Reduced`, `Applied`, `Saved`, `Reported`.

use std::{
    collections::HashSet,
    io,
    sync::atomic::Ordering,
    time::{Instant, SystemTime},
};

use node::links::HostNetns;

use super::{NodeReconciler, ReportJob, objects::ObjectSnapshot, segments::retain_peer_filters};

/// Address conflict detection.
mod acd;
/// Address claims: acquired before the link is created, and released when it is gone.
mod addresses;
/// Announcement of addresses to neighbours.
mod announcing;
/// A pod whose steps were applied.
mod applied;
/// Application of steps.
mod apply;
/// Addresses that CNI plugins have given.
mod attached_addresses;
/// Steps that are held back.
mod backoff;
/// Exclusive resources: addresses and segments.
mod claims;
/// Sandbox discovery for pods without a record.
mod discover;
/// Drift: what a plan repairs.
mod drift;
/// Pods that have ended while their network namespace stays.
mod ended;
/// Whether a pod may administer the node's network.
mod net_admin;
/// Observation of one pod.
mod observe;
/// Outcomes of the links: state, reason, message.
mod outcomes;
/// Plan of one pod.
mod planned;
/// The links of one pod during a pass.
mod pod_links;
/// Namespaces where another installation has precedence.
mod precedence;
/// A present link.
mod present;
/// Report of a pod's pass.
mod reported;
/// The state that is kept after a pass.
mod saved;
/// What links need of segments.
mod segments;
/// What follows from an observation.
mod tracking;
pub(super) use discover::SandboxDiscovery;
/// Links whose addresses are being probed.
mod pending_probe;
/// Links without a record, and pods without one.
mod unrecorded;
use self::{
    applied::Applied,
    planned::Planned,
    reported::{Reported, report},
    saved::Saved,
    segments::segment_demand,
};

/// Maximum number of sandboxes that stay open between observation and application; beyond it each
/// is opened again, so that a large burst does not use up the file descriptors.
const KEPT_OPEN: usize = 256;
/// Maximum number of passes in a row: a pod that changes all the time must not delay the others.
const ROUNDS: usize = 8;

/// Pods without a record or object, and those of their links that are to be deleted.
#[derive(Default)]
struct Unlinked {
    pods: Vec<String>,
    links: Vec<(HostNetns, u32)>,
}

impl NodeReconciler {
    /// Runs passes until no pod is dirty.
    pub(super) fn run_passes(&mut self) -> io::Result<()> {
        for _ in 0..ROUNDS {
            let concerned = self.objects.count();
            self.schedule.enqueue(concerned);
            if !self.has_work() {
                break;
            }
            self.pass()?;
            self.reports.defer(ReportJob::Done);
        }
        self.reports.send_deferred();
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        self.reports
            .metrics
            .set_claims(self.addressing.claims.counts());
        self.attachments.count(&self.reports.metrics);
        // Some have links from the time when they had a record, some never had either.
        let with_links = self.machine.pods_with_links();
        let orphans = with_links.iter().filter(|uid| !self.objects.pods.has(uid));
        let unrecorded: HashSet<_> = orphans.chain(self.unrecorded.missed()).collect();
        self.reports.metrics.set_unrecorded(unrecorded.len());
        for (source, pods) in self.objects.pods.counts() {
            self.reports.metrics.set_recorded(source, pods);
        }
        let conflicts = self.schedule.conflicts();
        self.reports.metrics.set_address_conflicts(conflicts);
        let sent = self.machine.changes.load(Ordering::Relaxed);
        self.reports.count_changes(sent);
        let oldest = self.schedule.oldest_unapplied();
        self.reports.metrics.set_oldest_unapplied(oldest);
    }

    /// Whether there is work: a dirty pod or segment, a namespace with pods without a record to report, or one
    /// to run the discovery in.
    pub(super) fn has_work(&self) -> bool {
        self.schedule.has_dirty() || self.segments.has_work() || self.unrecorded.has_work()
    }

    fn pass(&mut self) -> io::Result<()> {
        let (started, since) = (Instant::now(), SystemTime::now());
        self.discover();
        let surroundings = (&mut self.machine, &self.objects.stores);
        self.segments.begin(surroundings, &mut self.schedule);
        let mut snapshot = self.objects.snapshot();
        let (planned, mut gone) = self.plan_dirty(&mut snapshot);
        let demand = segment_demand(&planned);
        let (segments, schedule) = (&mut self.segments, &mut self.schedule);
        let surroundings = (&mut self.machine, &self.objects.stores);
        let outdated = segments.outdated_devices(&demand, surroundings, schedule);
        gone.links.extend(outdated);
        let reduced = self.remove_links(planned, gone.links);
        let surroundings = (&mut self.machine, &self.objects.stores);
        let segments = self
            .segments
            .reconcile(&demand, surroundings, &mut self.schedule);
        let applied: Vec<Applied> = reduced
            .into_iter()
            .map(|pod| self.apply(pod, &segments))
            .collect();
        self.remove_unfinished();
        // Kernel events of own changes, and of other programs meanwhile, are handled after it.
        let saved: Vec<Saved> = applied.into_iter().map(|pod| self.save(pod)).collect();
        self.announce_behind_ways_out();
        self.handle_kernel_events()?;
        self.remove_left_bridges(&saved)?;
        self.release_addresses_of_orphans(&gone.pods);
        self.forget_ended(&gone.pods);
        let objects = &self.objects;
        let ended = gone.pods.iter();
        self.attachments
            .pods_ended(ended.filter(|uid| objects.has_ended(uid, &snapshot)));
        self.clear_drift_suspicion(&saved);
        if self.rounds.is_initial_pass_done() {
            retain_peer_filters(&mut self.machine, &self.segments.owners);
        }
        for pod in saved {
            if let Reported::Follows(uid) =
                report(pod, (started, since), &mut self.schedule, &self.reports)
            {
                self.schedule.enqueue([uid]);
            }
        }
        self.report_unrecorded(&mut snapshot);
        Ok(())
    }

    /// Observes and plans the dirty pods, one after the other: of two that request the same, the
    /// first one gets it.
    fn plan_dirty(&mut self, snapshot: &mut ObjectSnapshot) -> (Vec<Planned>, Unlinked) {
        let uids = self.schedule.take_dirty();
        let keep_open = uids.len() <= KEPT_OPEN;
        let mut planned = Vec::with_capacity(uids.len());
        let mut gone = Unlinked::default();
        for uid in uids {
            match self.objects.recorded(&uid) {
                Some(known) if !self.objects.is_deleted(&known) => {
                    self.unrecorded.orphans.remove(&uid);
                    let observed = self.observe_newest(known, snapshot);
                    let claimed = self.claim(observed);
                    planned.push(self.plan(claimed, keep_open));
                }
                _ => {
                    gone.links.extend(self.observe_orphan(&uid, snapshot));
                    gone.pods.push(uid);
                }
            }
        }
        (planned, gone)
    }

    fn remove_unfinished(&mut self) {
        let unfinished = std::mem::take(&mut self.machine.unfinished);
        if let Err(error) = self.machine.remove(&unfinished) {
            tracing::error!("cannot delete unfinished links: {error}");
        }
    }

    /// Deletions by this pass are no drift.
    fn clear_drift_suspicion(&mut self, saved: &[Saved]) {
        let pods = saved.iter().map(Saved::applied);
        for pod in pods.filter(|pod| pod.has_changed()) {
            if let Some(applied) = self.schedule.applied_mut(pod.uid()) {
                applied.drift_suspected = false;
            }
        }
    }
}
