//! The controller: fetch, decide, act, tell. The one place where Kubernetes and the machine meet.
//!
//! One thread, one pass at a time, over all pods that something happened to: what the kernel is told
//! is never a race with itself.

/// Addresses that are asked for on the wire.
pub mod acd;
/// What a pod looked like after its last pass, and how often it was undone.
pub mod applied;
/// All links taken away.
mod clear;
/// Records of dead sandboxes, deleted.
mod dead_records;
/// Pure: which links a pod shall have.
pub mod desired;
/// What the sources said: whom it concerns.
mod enqueue;
/// The controller's bell.
mod event_queue;
/// What no event tells, looked at once a second.
mod housekeeping;
/// What the kernel told: whom it concerns.
mod kernel_events;
/// Pure: which pod a network namespace id belongs to.
mod netns_ids;
/// What is known of the networks that no link may overlap.
pub mod networks;
/// What became of each link of one pod.
pub mod outcome;
/// One pass over the pods that something happened to.
pub mod pass;
/// Pure: wanted and present → steps.
pub mod plan;
/// Which pods are beyond the limit of their namespace.
mod pod_quota;
/// The pods of this node: records and objects brought together.
pub mod pods;
/// Pure: may this namespace have this link?
pub mod policy;
/// How many links a pod and a namespace may be given in a while.
mod rate_limit;
/// Pure: outcomes → PodReport and PodConfig status.
pub mod report;
/// Outcomes told to people: reports, status, log.
pub mod reporter;
/// Who has which segment.
pub mod segments;
/// What is remembered of pods that are gone.
mod sweep;
/// Pure: the ends of a tunnel whose ends are found.
pub mod vtep_peers;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::AsFd,
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use event_queue::{EventReceiver, EventSender, event_queue};

use self::{
    acd::AddressProbes, applied::AppliedState, netns_ids::NetnsIds, networks::Networks,
    pass::Discovery, pass::tunnels::TunnelUpdate, pod_quota::PodQuota, pods::Pods,
    rate_limit::NamespaceBuckets, reporter::ReportJob, segments::Segments,
};
use crate::{
    address::claims::ClaimAllocator,
    backfill::Backfill,
    http::DaemonHealth,
    metrics::Metrics,
    node::{Machine, links::HostNetns},
    scope::precedence::Earlier,
    source::{InitialSync, Stores},
};

/// How often the switch's pin is looked at, and the heart beats.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often events are looked for where they can not be waited for.
const UNPOLLED: Duration = Duration::from_millis(50);

/// A pod that was told to have no record.
struct UnrecordedState {
    namespace: String,
    /// And that should have one.
    is_missed: bool,
}

/// What gives links their addresses.
pub struct Addressing {
    pub networks: Networks,
    pub claims: ClaimAllocator,
    /// `None`: nobody on the wire is asked.
    pub probes: Option<AddressProbes>,
}

pub struct NodeReconciler {
    pub machine: Machine,
    pub stores: Stores,
    pub pods: Pods,
    pub metrics: Metrics,
    pub health: DaemonHealth,
    pub reporter: mpsc::Sender<ReportJob>,
    /// By pod uid.
    applied: HashMap<String, AppliedState>,
    /// Network namespaces as the switch counts them.
    netns_ids: NetnsIds,
    /// Host ends → pod uid.
    host_ends: HashMap<(HostNetns, u32), String>,
    claims: ClaimAllocator,
    networks: Networks,
    /// Installations that namespaces are left to.
    earlier: Earlier,
    /// `None`: nobody is asked.
    probes: Option<AddressProbes>,
    segments: Segments,
    namespace_buckets: NamespaceBuckets,
    /// Pods without a record that have links.
    orphans: BTreeSet<String>,
    /// Pods that were told to have no record.
    unrecorded: HashMap<String, UnrecordedState>,
    discovery: Discovery,
    /// Namespaces where that may have changed.
    stale_namespaces: BTreeSet<String>,
    quota: PodQuota,
    /// Every pod has been looked at once: what nobody has claimed by now is nobody's.
    initial_pass_done: bool,
    /// Tunnels that one pod's pass sees to for all.
    tunnel_updates: Vec<TunnelUpdate>,
    /// Pods that the next pass looks at.
    dirty: BTreeSet<String>,
    events: EventReceiver,
    /// Told behind the run_passes that follow from it: what an object says now is no news to anybody, what
    /// became of it is.
    pending_reports: Vec<ReportJob>,
    last_housekeeping: Instant,
    rounds: u32,
    last_rechecked: Option<String>,
    /// How many changing messages the metric knows of.
    changes_counted: u64,
}

impl NodeReconciler {
    pub fn new(
        machine: Machine,
        (stores, addressing): (Stores, Addressing),
        pods: Pods,
        (metrics, health): (Metrics, DaemonHealth),
        reporter: mpsc::Sender<ReportJob>,
        events: EventReceiver,
        backfill: Backfill,
    ) -> Self {
        let Addressing {
            networks,
            claims,
            probes,
        } = addressing;
        Self {
            machine,
            stores,
            pods,
            metrics,
            health,
            reporter,
            applied: HashMap::new(),
            netns_ids: NetnsIds::default(),
            host_ends: HashMap::new(),
            claims,
            networks,
            earlier: Earlier::default(),
            probes,
            segments: Segments::default(),
            namespace_buckets: NamespaceBuckets::default(),
            orphans: BTreeSet::new(),
            unrecorded: HashMap::new(),
            discovery: Discovery::new(backfill),
            stale_namespaces: BTreeSet::new(),
            quota: PodQuota::default(),
            initial_pass_done: false,
            tunnel_updates: Vec::new(),
            dirty: BTreeSet::new(),
            events,
            pending_reports: Vec::new(),
            last_housekeeping: Instant::now(),
            rounds: 0,
            last_rechecked: None,
            changes_counted: 0,
        }
    }

    /// Once the source has told all there is: before, what is missing may only not have been heard yet.
    pub fn run_once(self, complete: &InitialSync) -> anyhow::Result<()> {
        let go_on = || {
            self.health.beat();
            !self.events.stop.load(Ordering::Acquire)
        };
        match complete.wait(go_on)? {
            true => self.run().context("control links"),
            false => Ok(()),
        }
    }

    /// Until somebody says stop. Links stay as they are.
    fn run(mut self) -> io::Result<()> {
        self.start()?;
        while !self.events.stop.load(Ordering::Acquire) {
            self.wait()?;
            self.handle_events();
            self.handle_kernel_events()?;
            self.verify_filter_if_notified();
            self.enqueue_due();
            self.run_passes()?;
            self.announce_due();
            // Behind the run_passes: a wish never waits for it.
            if self.last_housekeeping.elapsed() >= HOUSEKEEPING {
                self.housekeep();
            }
        }
        Ok(())
    }

    /// What a crash left goes first; then every pod is looked at once, those that have links before
    /// those that want some, so that an address stays with its holder.
    fn start(&mut self) -> io::Result<()> {
        self.housekeep();
        self.refresh_networks();
        self.pods.restore();
        self.pods.read_all();
        self.sweep_records();
        self.discover_all();
        self.discover();
        self.dirty.clear();
        let half_made = self.machine.half_made();
        if !half_made.is_empty() {
            tracing::info!(
                links = half_made.len(),
                "removing what a crash left half made"
            );
            self.machine.remove(&half_made).map_err(io::Error::other)?;
            self.handle_kernel_events()?;
        }
        for (segment, owner) in self.machine.segment_owners() {
            self.segments.recall(segment, owner);
        }
        self.restore_segments();
        self.restore_addresses();
        self.dirty.extend(self.machine.pods_with_links());
        self.run_passes()?;
        self.enqueue_all();
        self.run_passes()?;
        self.initial_pass_done = true;
        let waiting = self.segments.forget_unclaimed();
        self.dirty.extend(waiting);
        self.run_passes()?;
        self.sweep_namespaces();
        // With no pod at all there has been no pass that would have done it.
        self.sweep();
        self.run_passes()?;
        self.health.first_pass_done();
        let _ = self.reporter.send(ReportJob::Started);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let next = self.applied.values().filter_map(AppliedState::next).min();
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
            // The descriptor limit was set below the number of sockets that are waited for.
            Err(nix::errno::Errno::EINVAL) => std::thread::sleep(timeout.min(UNPOLLED)),
            Err(errno) => return Err(errno.into()),
        }
        let _ = self.events.eventfd.read();
        self.health.beat();
        Ok(())
    }

    fn enqueue_due(&mut self) {
        let now = Instant::now();
        for (uid, applied) in &mut self.applied {
            if applied.due.is_some_and(|due| due <= now) {
                applied.due = None;
                self.dirty.insert(uid.clone());
            }
        }
    }
}
