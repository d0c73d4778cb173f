//! The controller: fetch, decide, act, tell. The one place where Kubernetes and the machine meet.
//!
//! One thread, one pass at a time, over all pods that something happened to: what the kernel is told
//! is never a race with itself.

/// All links taken away.
mod clear;
/// Records of dead sandboxes, deleted.
mod dead_records;
/// Pure: the ends of a tunnel whose ends are found.
pub mod ends;
/// What the kernel told: whom it concerns.
mod hear;
/// What no event tells, looked at once a second.
mod housekeeping;
/// Pure: which pod a network namespace id belongs to.
mod netns_ids;
/// What is known of the networks that no link may overlap.
pub mod networks;
/// What became of each link of one pod.
pub mod outcome;
/// How many links a pod and a namespace may be given in a while.
mod pace;
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
/// Addresses that are asked for on the wire.
pub mod probes;
/// Pure: outcomes → PodReport and PodConfig status.
pub mod report;
/// Who has which segment.
pub mod segments;
/// What a pod looked like after its last pass, and how often it was undone.
pub mod settled;
/// What is remembered of pods that are gone.
mod sweep;
/// Outcomes told to people: reports, status, log.
pub mod tell;
/// What the sources said: whom it concerns.
mod touch;
/// The controller's bell.
mod wake;
/// Pure: which links a pod shall have.
pub mod wanted;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::AsFd,
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use wake::{Inbox, Waker, inbox};

use self::{
    netns_ids::NetnsIds, networks::Networks, pace::Paces, pass::Seeking, pass::found::Errand,
    pod_quota::PodQuota, pods::Pods, probes::Probes, segments::Segments, settled::Settled,
    tell::Telling,
};
use crate::{
    address::claims::Claims,
    backfill::Backfill,
    http::DaemonHealth,
    metrics::Metrics,
    node::{Machine, links::Place},
    scope::precedence::Earlier,
    source::{InitialSync, Stores},
};

/// How often the switch's pin is looked at, and the heart beats.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often events are looked for where they can not be waited for.
const UNPOLLED: Duration = Duration::from_millis(50);

/// A pod that was told to have no record.
struct Untold {
    namespace: String,
    /// And that should have one.
    is_missed: bool,
}

/// What gives links their addresses.
pub struct Addressing {
    pub networks: Networks,
    pub claims: Claims,
    /// `None`: nobody on the wire is asked.
    pub probes: Option<Probes>,
}

pub struct Controller {
    pub machine: Machine,
    pub stores: Stores,
    pub pods: Pods,
    pub metrics: Metrics,
    pub health: DaemonHealth,
    pub telling: mpsc::Sender<Telling>,
    /// By pod uid.
    settled: HashMap<String, Settled>,
    /// Network namespaces as the switch counts them.
    netns_ids: NetnsIds,
    /// Host ends → pod uid.
    host_ends: HashMap<(Place, u32), String>,
    claims: Claims,
    networks: Networks,
    /// Installations that namespaces are left to.
    earlier: Earlier,
    /// `None`: nobody is asked.
    probes: Option<Probes>,
    segments: Segments,
    paces: Paces,
    /// Pods without a record that have links.
    orphans: BTreeSet<String>,
    /// Pods that were told to have no record.
    unrecorded: HashMap<String, Untold>,
    seeking: Seeking,
    /// Namespaces where that may have changed.
    unsure: BTreeSet<String>,
    quota: PodQuota,
    /// Every pod has been looked at once: what nobody has claimed by now is nobody's.
    has_seen_all: bool,
    /// Tunnels that one pod's pass sees to for all.
    errands: Vec<Errand>,
    /// Pods that the next pass looks at.
    dirty: BTreeSet<String>,
    inbox: Inbox,
    /// Told behind the passes that follow from it: what an object says now is no news to anybody, what
    /// became of it is.
    to_tell: Vec<Telling>,
    last_housekeeping: Instant,
    rounds: u32,
    last_looked_at: Option<String>,
    /// How many changing messages the metric knows of.
    changes_told: u64,
}

impl Controller {
    pub fn new(
        machine: Machine,
        (stores, addressing): (Stores, Addressing),
        pods: Pods,
        (metrics, health): (Metrics, DaemonHealth),
        telling: mpsc::Sender<Telling>,
        inbox: Inbox,
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
            telling,
            settled: HashMap::new(),
            netns_ids: NetnsIds::default(),
            host_ends: HashMap::new(),
            claims,
            networks,
            earlier: Earlier::default(),
            probes,
            segments: Segments::default(),
            paces: Paces::default(),
            orphans: BTreeSet::new(),
            unrecorded: HashMap::new(),
            seeking: Seeking::new(backfill),
            unsure: BTreeSet::new(),
            quota: PodQuota::default(),
            has_seen_all: false,
            errands: Vec::new(),
            dirty: BTreeSet::new(),
            inbox,
            to_tell: Vec::new(),
            last_housekeeping: Instant::now(),
            rounds: 0,
            last_looked_at: None,
            changes_told: 0,
        }
    }

    /// Once the source has told all there is: before, what is missing may only not have been heard yet.
    pub fn run_once(self, complete: &InitialSync) -> anyhow::Result<()> {
        let go_on = || {
            self.health.beat();
            !self.inbox.stop.load(Ordering::Acquire)
        };
        match complete.wait(go_on)? {
            true => self.run().context("control links"),
            false => Ok(()),
        }
    }

    /// Until somebody says stop. Links stay as they are.
    fn run(mut self) -> io::Result<()> {
        self.start()?;
        while !self.inbox.stop.load(Ordering::Acquire) {
            self.wait()?;
            self.take_changes();
            self.hear()?;
            self.hear_of_filter();
            self.take_due();
            self.passes()?;
            self.announce_due();
            // Behind the passes: a wish never waits for it.
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
        self.look_at_networks();
        self.pods.restore();
        self.pods.read_all();
        self.sweep_records();
        self.seek_all();
        self.seek();
        self.dirty.clear();
        let half_made = self.machine.half_made();
        if !half_made.is_empty() {
            tracing::info!(
                links = half_made.len(),
                "removing what a crash left half made"
            );
            self.machine.remove(&half_made).map_err(io::Error::other)?;
            self.hear()?;
        }
        for (segment, owner) in self.machine.segment_owners() {
            self.segments.recall(segment, owner);
        }
        self.hold_what_stands();
        self.recall_addresses();
        self.dirty.extend(self.machine.pods_with_links());
        self.passes()?;
        self.touch_all();
        self.passes()?;
        self.has_seen_all = true;
        let waiting = self.segments.forget_unclaimed();
        self.dirty.extend(waiting);
        self.passes()?;
        self.sweep_namespaces();
        // With no pod at all there has been no pass that would have done it.
        self.sweep();
        self.passes()?;
        self.health.first_pass_done();
        let _ = self.telling.send(Telling::Started);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let next = self.settled.values().filter_map(Settled::next).min();
        let sleep = next.map_or(HOUSEKEEPING, |due| {
            due.saturating_duration_since(now).min(HOUSEKEEPING)
        });
        let timeout = match self.has_work() {
            true => Duration::ZERO,
            false => sleep,
        };
        let fds = std::iter::once(self.inbox.bell.as_fd()).chain(self.machine.events());
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
        let _ = self.inbox.bell.read();
        self.health.beat();
        Ok(())
    }

    fn take_due(&mut self) {
        let now = Instant::now();
        for (uid, settled) in &mut self.settled {
            if settled.due.is_some_and(|due| due <= now) {
                settled.due = None;
                self.dirty.insert(uid.clone());
            }
        }
    }
}
