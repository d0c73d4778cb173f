//! The node reconciler: observe, plan, apply, report. Joins Kubernetes objects and the node's
//! kernel.
//!
//! Single-threaded, one pass at a time over all dirty pods, so that changes to the kernel never
//! race with each other.

/// Address conflict detection on the wire (RFC 5227).
pub mod acd;
/// Pure: what the annotation of a pod requests.
pub mod annotation;
/// Last applied state per pod, and its repair backoff.
pub mod applied;
/// Links that CNI plugins make.
pub mod attachments;
/// Why a link is not as desired.
pub mod cause;
/// Deletion of all links.
mod clear;
/// Deletion of the records of dead sandboxes.
mod dead_records;
/// Pure: the links that a pod should have.
pub mod desired;
/// Events of the sources: enqueues the pods they concern.
mod enqueue;
/// Event queue of the reconciler.
mod event_queue;
/// Periodic checks of what no event covers.
mod housekeeping;
/// Kernel events: enqueues the pods they concern.
mod kernel_events;
/// Pure: the pods that namespace ids and host ends belong to.
mod kernel_ids;
/// The networks that no link may overlap.
pub mod networks;
/// What decisions see of the node.
pub mod node_view;
/// The pods with the objects of the sources.
mod objects;
/// Outcome of each link of one pod.
pub mod outcome;
/// One reconcile pass over all dirty pods.
pub mod pass;
/// Pure: desired and present links → steps.
pub mod plan;
/// Which pods are beyond the limit of their namespace.
mod pod_quota;
/// When which pod is reconciled.
mod pod_schedule;
/// The pods of this node: records joined with objects.
pub mod pods;
/// Rate limits on link creation, per pod and per namespace.
mod rate_limit;
/// Pure: outcomes → PodReport and PodConfig status.
pub mod report;
/// Jobs for the reporter, and metrics.
mod report_queue;
/// Reporter thread: reports, statuses, Events, log.
pub mod reporter;
/// How far the reconciler is.
mod rounds;
/// Segments and their devices.
pub mod segments;
/// Steps that take longer than a pass may.
mod slow_steps;
/// Garbage collection of state of pods that are gone.
mod sweep;
/// Pods without a record.
mod unrecorded;

use std::{
    io,
    os::fd::AsFd,
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use telemetry::{http::DaemonHealth, metrics::Metrics};

pub use event_queue::{EventReceiver, EventSender, event_queue};

use address::claims::ClaimAllocator;
use node::Machine;
use store::{InitialSync, Stores};

use self::{
    acd::AddressProbes,
    attachments::Attachments,
    kernel_ids::KernelIds,
    networks::Networks,
    objects::Objects,
    pass::SandboxDiscovery,
    pod_schedule::PodSchedule,
    pods::Pods,
    report_queue::ReportQueue,
    reporter::ReportJob,
    rounds::Rounds,
    segments::{Segments, verify_filter_if_notified},
    unrecorded::UnrecordedPods,
};
use crate::backfill::Backfill;

/// Interval of the switch pin check and of the heartbeat.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Poll interval for events where the sockets cannot be polled.
const UNPOLLED: Duration = Duration::from_millis(50);

/// Address allocation for links.
pub struct Addressing {
    pub networks: Networks,
    pub claims: ClaimAllocator,
    /// `None`: address conflict detection is off.
    pub probes: Option<AddressProbes>,
}

pub struct NodeReconciler {
    machine: Machine,
    objects: Objects,
    reports: ReportQueue,
    schedule: PodSchedule,
    kernel_ids: KernelIds,
    addressing: Addressing,
    segments: Segments,
    attachments: Attachments,
    unrecorded: UnrecordedPods,
    events: EventReceiver,
    rounds: Rounds,
}

impl NodeReconciler {
    pub fn new(
        machine: Machine,
        (stores, addressing, attachments): (Stores, Addressing, Attachments),
        pods: Pods,
        (metrics, health): (Metrics, DaemonHealth),
        reporter: mpsc::Sender<ReportJob>,
        events: EventReceiver,
        backfill: Backfill,
    ) -> Self {
        Self {
            objects: Objects::new(&machine.installation, stores, pods),
            machine,
            reports: ReportQueue::new(metrics, reporter),
            schedule: PodSchedule::default(),
            kernel_ids: KernelIds::default(),
            addressing,
            segments: Segments::default(),
            attachments,
            unrecorded: UnrecordedPods::new(SandboxDiscovery::new(backfill)),
            events,
            rounds: Rounds::new(health),
        }
    }

    /// Runs after the initial sync of the source: before it, absence from the store does not mean
    /// deletion.
    pub fn run_once(self, complete: &InitialSync) -> anyhow::Result<()> {
        let go_on = || {
            self.rounds.health.beat();
            !self.events.stop.load(Ordering::Acquire)
        };
        match complete.wait(go_on)? {
            true => self.run().context("reconcile links"),
            false => Ok(()),
        }
    }

    /// Runs until it is stopped. Links stay as they are.
    fn run(mut self) -> io::Result<()> {
        self.start()?;
        while !self.events.stop.load(Ordering::Acquire) {
            self.wait()?;
            self.handle_events();
            self.handle_kernel_events()?;
            verify_filter_if_notified(&mut self.machine, &self.reports);
            self.schedule.enqueue_due(Instant::now());
            self.run_passes()?;
            self.announce_due();
            // After the passes, so that no link change waits for it.
            if self.rounds.is_round_due(HOUSEKEEPING) {
                self.housekeep();
            }
        }
        Ok(())
    }

    /// Removes what a crash left half made, then observes every pod once. Pods with links come
    /// first, so that an address stays with its holder.
    fn start(&mut self) -> io::Result<()> {
        self.housekeep();
        self.refresh_networks();
        self.objects.pods.restore();
        self.objects.pods.read_all();
        self.sweep_records();
        self.discover_all();
        self.discover();
        self.schedule.take_dirty();
        let half_made = self.machine.half_made();
        if !half_made.is_empty() {
            tracing::info!(
                links = half_made.len(),
                "removing links that a crash left half made"
            );
            self.machine.remove(&half_made).map_err(io::Error::other)?;
            self.handle_kernel_events()?;
        }
        for (segment, owner) in self.machine.segment_owners() {
            self.segments.owners.restore(segment, owner);
        }
        self.restore_segments();
        self.restore_addresses();
        self.schedule.enqueue(self.machine.pods_with_links());
        self.run_passes()?;
        self.enqueue_all();
        self.run_passes()?;
        self.rounds.finish_initial_pass();
        self.attachments
            .synced(&self.objects.all_uids(), &self.objects.stores);
        let waiting = self.segments.owners.forget_unclaimed();
        self.schedule.enqueue(waiting);
        self.run_passes()?;
        self.sweep_namespaces();
        // Without any pod, no pass has done it.
        self.sweep();
        self.run_passes()?;
        self.rounds.health.first_pass_done();
        self.reports.send(ReportJob::Started);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let next = self.schedule.next_due();
        let sleep = next.map_or(HOUSEKEEPING, |due| {
            due.saturating_duration_since(now).min(HOUSEKEEPING)
        });
        let timeout = match self.has_work() {
            true => Duration::ZERO,
            false => sleep,
        };
        let fds = std::iter::once(self.events.eventfd.as_fd()).chain(self.machine.events());
        let fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut fds: Vec<PollFd<'_>> = fds.collect();
        // Rounded up: a wait that ends a moment early would turn into a busy loop.
        let milliseconds =
            u16::try_from(timeout.as_millis() + u128::from(!timeout.is_zero())).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => (),
            // The descriptor limit is below the number of sockets to poll.
            Err(nix::errno::Errno::EINVAL) => std::thread::sleep(timeout.min(UNPOLLED)),
            Err(errno) => return Err(errno.into()),
        }
        let _ = self.events.eventfd.read();
        self.rounds.health.beat();
        Ok(())
    }
}
