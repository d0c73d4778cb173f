//! The controller: fetch, decide, act, tell. The one place where Kubernetes and the machine meet.
//!
//! One thread, one pass at a time, over all pods that something happened to: what the kernel is told
//! is never a race with itself.

/// All links taken away.
mod clear;
/// Pure: the ends of a tunnel whose ends are found.
pub mod ends;
/// What the kernel told: whom it concerns.
mod hear;
/// Who holds a static address on a segment.
pub mod holders;
/// What no event tells, looked at once a second.
mod housekeeping;
/// What became of each link of one pod.
pub mod outcome;
/// How many links a pod and a namespace may be given in a while.
mod pace;
/// One pass over the pods that something happened to.
pub mod pass;
/// Pure: wanted and present → steps.
pub mod plan;
/// The pods of this node: records and objects brought together.
pub mod pods;
/// Pure: may this namespace have this link?
pub mod policy;
/// Pure: outcomes → PodReport and PodConfig status.
pub mod report;
/// Who has which segment.
pub mod segments;
/// What a pod looked like after its last pass, and how often it was undone.
pub mod settled;
/// Outcomes told to people: reports, status, log.
pub mod tell;
/// The controller's bell.
mod wake;
/// Pure: which links a pod shall have.
pub mod wanted;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kube::core::SelectorExt;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use wake::{Inbox, Waker, inbox};

use self::{
    holders::Holders, pace::Paces, pass::Seeking, pass::found::Errand, pods::Pods,
    segments::Segments, settled::Settled, tell::Telling,
};
use crate::{
    backfill::Backfill,
    http::Health,
    metrics::Metrics,
    node::{Machine, links::Place},
    source::{Change, Complete, Objects},
};

/// How often the switch's pin is looked at, and the heart beats.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// A pod that was told to have no record.
struct Untold {
    namespace: String,
    /// And that should have one.
    is_missed: bool,
}

pub struct Controller {
    pub machine: Machine,
    pub objects: Objects,
    pub pods: Pods,
    pub metrics: Metrics,
    pub health: Health,
    pub telling: mpsc::Sender<Telling>,
    /// By pod uid.
    settled: HashMap<String, Settled>,
    /// Namespace numbers in the switch → pod uid.
    numbers: HashMap<i32, String>,
    /// Host ends → pod uid.
    host_ends: HashMap<(Place, u32), String>,
    holders: Holders,
    segments: Segments,
    paces: Paces,
    /// Pods that were told to have no record.
    unrecorded: HashMap<String, Untold>,
    seeking: Seeking,
    /// Namespaces where that may have changed.
    unsure: BTreeSet<String>,
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
        objects: Objects,
        pods: Pods,
        (metrics, health): (Metrics, Health),
        telling: mpsc::Sender<Telling>,
        inbox: Inbox,
        backfill: Backfill,
    ) -> Self {
        Self {
            machine,
            objects,
            pods,
            metrics,
            health,
            telling,
            settled: HashMap::new(),
            numbers: HashMap::new(),
            host_ends: HashMap::new(),
            holders: Holders::default(),
            segments: Segments::default(),
            paces: Paces::default(),
            unrecorded: HashMap::new(),
            seeking: Seeking::new(backfill),
            unsure: BTreeSet::new(),
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
    pub fn run_once(self, complete: &Complete) -> anyhow::Result<()> {
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
            self.take_due();
            self.passes()?;
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
        self.pods.read_all();
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
        self.dirty.extend(self.machine.pods_with_links());
        self.passes()?;
        self.touch_all();
        self.passes()?;
        self.has_seen_all = true;
        let waiting = self.segments.forget_unclaimed();
        self.dirty.extend(waiting);
        self.passes()?;
        self.health.first_pass_done();
        let _ = self.telling.send(Telling::Started);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let next = self
            .settled
            .values()
            .filter_map(|settled| settled.due)
            .min();
        let sleep = next.map_or(HOUSEKEEPING, |due| {
            due.saturating_duration_since(now).min(HOUSEKEEPING)
        });
        let timeout = if self.dirty.is_empty() && self.unsure.is_empty() {
            sleep
        } else {
            Duration::ZERO
        };
        let fds: [BorrowedFd<'_>; 3] = [
            self.inbox.bell.as_fd(),
            self.machine.switch.events.as_fd(),
            self.machine.node.events.as_fd(),
        ];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // Rounded up: a wait that ends a moment early would turn into a busy loop.
        let milliseconds =
            u16::try_from(timeout.as_millis() + u128::from(!timeout.is_zero())).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => (),
            Err(errno) => return Err(errno.into()),
        }
        let _ = self.inbox.bell.read();
        self.health.beat();
        Ok(())
    }

    /// What the sources said since the last look.
    fn take_changes(&mut self) {
        while let Ok(change) = self.inbox.changes.try_recv() {
            match change {
                Change::PodConfig { namespace, name } => {
                    self.touch_selected(&namespace, &name);
                    self.touch_orphans();
                    self.unsure.insert(namespace.clone());
                    self.to_tell.push(Telling::PodConfig { namespace, name });
                }
                Change::Pod { namespace, name } => {
                    self.touch(self.pods.uids_of(&namespace, &name));
                    self.touch_limited();
                    self.seek_in(&namespace);
                }
                Change::Hint { namespace, .. } => self.seek_in(&namespace),
                Change::Namespace(namespace) => {
                    self.touch_namespace(&namespace);
                    self.unsure.insert(namespace);
                }
                Change::Records(file) => {
                    let touched = match file {
                        Some(file) => self.read_record(&file),
                        None => self.read_records(),
                    };
                    self.touch(touched);
                    self.touch_limited();
                    self.doubt_all();
                }
                Change::PeerSlice {
                    namespace,
                    vni,
                    port,
                } => self.touch_found(&namespace, vni, port),
                Change::Policy => self.touch_all(),
                Change::All => {
                    self.read_records();
                    self.touch_all();
                    self.to_tell.push(Telling::AllPodConfigs);
                }
            }
        }
    }

    fn touch(&mut self, uids: impl IntoIterator<Item = String>) {
        self.dirty.extend(uids);
    }

    fn touch_namespace(&mut self, namespace: &str) {
        self.dirty.extend(self.pods.uids_in(namespace));
    }

    /// The pods that a PodConfig selects, and those where it asked for something before.
    fn touch_selected(&mut self, namespace: &str, name: &str) {
        let config = self.objects.podconfig(namespace, name);
        let selector = config
            .as_ref()
            .and_then(|config| policy::selector(&config.spec.pod_selector).ok());
        for uid in self.pods.uids_in(namespace) {
            let asked = self
                .settled
                .get(&uid)
                .is_none_or(|settled| settled.configs.contains(name));
            let labels = || self.pods.labels(&uid, &self.objects);
            if asked
                || selector
                    .as_ref()
                    .is_some_and(|selector| selector.matches(&labels()))
            {
                self.dirty.insert(uid);
            }
        }
    }

    /// Where pods are counted, one that comes or goes concerns the others.
    fn touch_limited(&mut self) {
        if pass::are_pods_counted(&self.objects.policies()) {
            self.dirty.extend(self.pods.uids());
        }
    }

    fn touch_all(&mut self) {
        self.dirty.extend(self.pods.uids());
        self.dirty.extend(self.settled.keys().cloned());
        self.dirty.extend(self.machine.pods_with_links());
        self.doubt_all();
    }

    fn doubt_all(&mut self) {
        let objects = self.objects.pods();
        let namespaces = objects
            .iter()
            .filter_map(|pod| pod.metadata.namespace.clone());
        let told = self.unrecorded.values().map(|pod| pod.namespace.clone());
        self.unsure.extend(namespaces.chain(told));
    }

    /// Pods whose links are there and whose record is not.
    fn touch_orphans(&mut self) {
        let orphans = self
            .machine
            .pods_with_links()
            .into_iter()
            .filter(|uid| !self.pods.has(uid));
        self.dirty.extend(orphans.collect::<Vec<_>>());
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
