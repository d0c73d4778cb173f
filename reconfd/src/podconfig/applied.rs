//! Last applied state per pod, and its repair backoff. Distinguishes kernel notifications of own
//! changes from external drift.

/// Pure: changes that the kernel rejected, with their backoff.
pub mod rejections;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use address::overlap::LinkNetworks;
use ipnetwork::IpNetwork;
use node::{NetnsEvent, link_info::LinkInfo, links::HostNetns, sandbox::Extent};
use workqueue::{Attempts, Backoff};

use super::{plan::Target, rate_limit::TokenBucket};
use rejections::Rejections;

/// So many repairs are immediate.
const FREE_REPAIRS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Backoff is reset after this time without a change.
const RESET_AFTER: Duration = Duration::from_secs(60);
const REPAIR: Backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT)
    .with_free(FREE_REPAIRS)
    .with_reset_after(RESET_AFTER);
/// Of the observation after an unrelated change in a pod that lacks a link: a pod that keeps
/// changing its own links must not keep the node busy.
const RETRY: Backoff =
    Backoff::new(Duration::from_millis(20), LONGEST_RETRY).with_reset_after(RESET_AFTER);
/// The kernel has rejected a change, and will most likely reject it again soon.
const REJECTED: Backoff = Backoff::new(Duration::from_millis(800), LONGEST_WAIT);

#[derive(Debug, Default)]
pub struct AppliedState {
    /// The sandbox of this state.
    pub sandbox: String,
    /// Pod ends by index.
    pub pod_ends: HashMap<u32, AppliedPodEnd>,
    pub host_ends: HashMap<(HostNetns, u32), AppliedHostEnd>,
    /// Links of the node, bridges and parents, that its links refer to.
    pub node_links: BTreeSet<String>,
    /// What was last applied to each present link, by name: the specification's hash and the
    /// target. Older than the desired state while a link waits for something, or the kernel rejects
    /// a change.
    pub hashes: HashMap<String, (String, Target)>,
    /// Indexes of all own devices inside this sandbox: the event that one has left may come after
    /// the observation that missed it.
    pub devices: HashSet<u32>,
    /// Indexes that pod ends of its veths had in this sandbox and may still have: identifies the
    /// rest of a link that a pass considered gone.
    pub veth_ends: HashSet<u32>,
    /// Own devices that the pod has moved to namespaces of its own: the namespaces, and their
    /// indexes there.
    pub moved_out: Vec<(i32, u32)>,
    /// Links of the pod that its other links are based on, by index.
    pub carriers: HashMap<u32, CarrierState>,
    /// The segments of the present links, by link name.
    pub segments: BTreeMap<String, String>,
    /// When each link was last changed.
    pub changed: HashMap<String, SystemTime>,
    /// Whether links are missing that a change in the pod could unblock.
    pub is_incomplete: bool,
    pub has_routes: bool,
    pub has_rules: bool,
    /// Whether it has, or should have, vlans or vxlans inside the pod.
    pub has_devices: bool,
    /// Whether all of it was verified in the kernel, and every event since was handled.
    pub seen: bool,
    /// The networks, addresses and routes of its links, present or not.
    pub reach: LinkNetworks,
    /// How many of its links overlap a network.
    pub conflicts: usize,
    /// Whether a link is missing because the networks of the cluster are not fully known.
    pub networks_unknown: bool,
    /// The PodConfigs that request something for this pod.
    pub configs: BTreeSet<String>,
    /// When it is observed again without an event.
    pub due: Option<Instant>,
    /// Links whose addresses are to be announced, by name, and when.
    announcements: BTreeMap<String, Instant>,
    /// Since when a change has been pending.
    pub unapplied_since: Option<Instant>,
    /// Limits the creation of links.
    bucket: TokenBucket,
    retries: Attempts,
    repairs: Attempts,
    failures: Attempts,
    not_before: Option<Instant>,
    /// Changes that the kernel rejected, by link.
    pub rejections: Rejections,
    wait_reported: bool,
    /// Observations that found a link refused because of what else the pod has, and when the next one is due: nothing
    /// reports each address and route of a pod that goes, and those of another installation are its own to remove.
    overlaps: Attempts,
    overlap_due: Option<Instant>,
    /// An event suggested that an own address, route, rule or peer was deleted.
    pub drift_suspected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Caused by an own change, or irrelevant.
    OwnChange,
    /// A blocked link may be possible now.
    Unblocking,
    /// Differs from the applied state.
    Drift,
}

/// The properties that a link takes from the one it is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierState {
    name: String,
    mtu: u32,
    up: bool,
    mac: Option<[u8; 6]>,
}

impl From<&LinkInfo> for CarrierState {
    fn from(row: &LinkInfo) -> Self {
        Self {
            name: row.name.clone(),
            mtu: row.mtu,
            up: row.up,
            mac: row.mac,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedPodEnd {
    pub name: String,
    pub mtu: u32,
    pub mac: [u8; 6],
    /// Own addresses only.
    pub addresses: Vec<IpNetwork>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedHostEnd {
    pub name: String,
    pub mtu: u32,
    pub master: Option<u32>,
}

impl AppliedState {
    /// The pod-end indexes of all veths that it ever had in this sandbox. None in another sandbox,
    /// where the indexes belong to other links.
    pub fn veth_ends_of(&self, sandbox: &str) -> Option<&HashSet<u32>> {
        (self.sandbox == sandbox).then_some(&self.veth_ends)
    }

    /// Forgets pod ends that the sandbox no longer has: their indexes may be used again.
    pub fn retain_veth_ends(&mut self, sandbox: &str, is_there: impl Fn(&u32) -> bool) {
        if self.sandbox == sandbox {
            self.veth_ends.retain(is_there);
        }
    }

    /// Classifies an event in the pod.
    pub fn classify(&self, what: &NetnsEvent) -> EventClass {
        let classify = |drifted: bool| {
            if drifted {
                EventClass::Drift
            } else {
                EventClass::OwnChange
            }
        };
        match what {
            NetnsEvent::Link(row) if self.pod_ends.contains_key(&row.index) => {
                classify(self.pod_end_differs(row))
            }
            NetnsEvent::Link(row) if self.is_otherwise(row) => EventClass::Unblocking,
            NetnsEvent::LinkLeft { .. } if !self.moved_out.is_empty() => EventClass::Drift,
            NetnsEvent::LinkGone(index) | NetnsEvent::LinkLeft { index, .. }
                if self.pod_ends.contains_key(index) =>
            {
                EventClass::Drift
            }
            NetnsEvent::Link(_) | NetnsEvent::LinkGone(_) | NetnsEvent::LinkLeft { .. }
                if self.is_incomplete =>
            {
                EventClass::Unblocking
            }
            NetnsEvent::Link(_) | NetnsEvent::LinkGone(_) | NetnsEvent::LinkLeft { .. } => {
                EventClass::OwnChange
            }
            NetnsEvent::AddressGone { index, network } => {
                classify(self.has_address(*index, network))
            }
            NetnsEvent::RouteGone => classify(self.has_routes),
            NetnsEvent::RuleGone => classify(self.has_rules),
            NetnsEvent::PeerGone(index) => classify(self.devices.contains(index)),
        }
    }

    /// Records that an own device left the pod: it has no host end to delete it by.
    pub fn note_moved_out(&mut self, what: &NetnsEvent) {
        let NetnsEvent::LinkLeft {
            index,
            netns,
            there,
        } = what
        else {
            return;
        };
        if self.devices.remove(index) {
            self.moved_out.push((*netns, *there));
        }
    }

    /// Whether a link that carries another has changed.
    fn is_otherwise(&self, row: &LinkInfo) -> bool {
        let carrier = self.carriers.get(&row.index);
        carrier.is_some_and(|carrier| *carrier != CarrierState::from(row))
    }

    /// Whether the link has this address by its applied state. Addresses that were removed on
    /// purpose, or added by the pod, are not in it.
    fn has_address(&self, index: u32, network: &IpNetwork) -> bool {
        let end = self.pod_ends.get(&index);
        end.is_some_and(|end| end.addresses.contains(network))
    }

    fn pod_end_differs(&self, row: &LinkInfo) -> bool {
        let end = self.pod_ends.get(&row.index);
        end.is_none_or(|end| {
            !row.up || (&row.name, row.mtu, row.mac) != (&end.name, end.mtu, Some(end.mac))
        })
    }

    pub fn host_end_differs(&self, place: HostNetns, index: u32, now: Option<&LinkInfo>) -> bool {
        let Some(end) = self.host_ends.get(&(place, index)) else {
            return false;
        };
        let Some(row) = now else { return true };
        !row.up || (&row.name, row.mtu, row.master) != (&end.name, end.mtu, end.master)
    }

    /// Whether to observe a changed pod now. In repair backoff only once, to report it; the repair
    /// follows when it is due.
    pub fn may_observe(&mut self, now: Instant) -> bool {
        !self.must_back_off(now) || !std::mem::replace(&mut self.wait_reported, true)
    }

    /// Requeues after this time, or earlier.
    pub fn requeue_within(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Requeues at once, unless repairs are in backoff.
    pub fn requeue_when_allowed(&mut self, now: Instant) {
        if !self.must_back_off(now) {
            self.due = Some(now);
        }
    }

    /// Whether repairs are in backoff. If so, the pod is requeued for its end.
    pub fn must_back_off(&mut self, now: Instant) -> bool {
        let Some(at) = self.not_before.filter(|at| *at > now) else {
            return false;
        };
        self.requeue_at(at);
        true
    }

    /// Whether one more link may be created, by the limits of pod and namespace. If not, the pod is
    /// requeued for when it may.
    pub fn may_make(
        &mut self,
        now: Instant,
        of_namespace: impl FnOnce() -> Result<(), Instant>,
    ) -> bool {
        let taken = self.bucket.take(now).and_then(|()| of_namespace());
        taken.map_err(|at| self.requeue_at(at)).is_ok()
    }

    /// Schedules an announcement of a link's addresses, unless an earlier one is scheduled.
    pub fn announce_at(&mut self, link: &str, at: Instant) {
        self.announcements.entry(link.to_owned()).or_insert(at);
    }

    /// Pod-end indexes of the links whose announcements are due, with their extent.
    pub fn take_announcements(&mut self, now: Instant) -> Vec<(u32, Extent)> {
        let all = std::mem::take(&mut self.announcements);
        let (due, later): (BTreeMap<_, _>, _) = all.into_iter().partition(|(_, at)| *at <= now);
        self.announcements = later;
        let ends = self.pod_ends.iter();
        let ends = ends.filter(|(_, end)| due.contains_key(&end.name));
        ends.map(|(index, end)| (*index, Extent::of(&end.addresses, false)))
            .collect()
    }

    /// The next scheduled work without an event.
    pub fn next(&self) -> Option<Instant> {
        let announced = self.announcements.values().copied();
        announced.chain(self.due).chain(self.overlap_due).min()
    }

    /// Whether it is to be observed without an event; once for each time.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        is_due(&mut self.due) | is_due(&mut self.overlap_due)
    }

    /// Whether a link is refused because of another interface or route of the pod. It is tried again with backoff,
    /// however often the pod is observed meanwhile.
    pub fn overlaps_in_pod(&mut self, overlaps: bool, now: Instant) {
        if !overlaps {
            self.overlaps.reset();
            self.overlap_due = None;
        } else if self.overlap_due.is_none() {
            self.overlap_due = Some(now + self.overlaps.failed(&REJECTED, now));
        }
    }

    pub fn requeue_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Requeues soon, coalescing all that happens until then.
    pub fn retry_soon(&mut self, now: Instant) {
        // A rejected change has its own backoff; the events of its attempt must not shorten it.
        let is_refused = self.failures.has_failed() || !self.rejections.is_empty();
        let is_retried = is_refused && self.due.is_some();
        if is_retried || self.due.is_some_and(|due| due <= now + LONGEST_RETRY) {
            return;
        }
        self.due = Some(now + self.retries.failed(&RETRY, now));
    }

    /// An event suggested drift, and none was found: counts as a repair.
    pub fn false_alarm(&mut self, now: Instant) {
        if std::mem::take(&mut self.drift_suspected) {
            self.repaired(now);
        }
    }

    /// Drift was found and repaired.
    pub fn repaired(&mut self, now: Instant) {
        self.drift_suspected = false;
        let delay = self.repairs.failed(&REPAIR, now);
        self.not_before = (!delay.is_zero()).then(|| now + delay);
        self.wait_reported = false;
    }

    /// The pod as a whole failed; retried with exponential backoff.
    pub fn failed(&mut self, now: Instant) {
        self.due = Some(now + self.failures.failed(&REJECTED, now));
    }

    pub fn succeeded(&mut self) {
        self.failures.reset();
    }
}

#[cfg(test)]
mod tests;
