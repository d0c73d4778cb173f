//! What a pod looked like after its last pass, so that the kernel's echo of our own doing is told
//! from somebody's undoing of it; and how often it was undone.

/// Pure: what the kernel refused, and when it is tried again.
pub mod rejections;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use ipnetwork::IpNetwork;

use super::{plan::Target, rate_limit::TokenBucket};
use crate::address::collision::Reach;
use crate::node::{NetnsEvent, link_info::LinkInfo, links::HostNetns, sandbox::Extent};
use rejections::Rejections;

/// So many repairs follow at once; then each waits twice as long as the one before.
const FREE_REPAIRS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// So long after something else changed in a pod that is_incomplete a link, it is looked at; twice as long
/// each time, or a pod that plays with its own links would keep the node busy.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A pod that was left in peace for so long starts afresh.
const RESET_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct AppliedState {
    /// The sandbox that it had.
    pub sandbox: String,
    /// Pod ends by number.
    pub pod_ends: HashMap<u32, AppliedPodEnd>,
    pub host_ends: HashMap<(HostNetns, u32), AppliedHostEnd>,
    /// Links of the node, bridges and parents, that its links name.
    pub node_links: BTreeSet<String>,
    /// What was last applied to each link that stands, by name: the specification's hash, and the target. It
    /// is older than what is asked for while a link waits for something, or the kernel refuses a change.
    pub hashes: HashMap<String, (String, Target)>,
    /// The indexes of all devices of ours that were in this sandbox as a whole: that one has left may be
    /// heard behind the look that missed it.
    pub devices: HashSet<u32>,
    /// The indexes that pod ends of its veths had in this sandbox and may still have: what is left of a link
    /// that a pass took for gone is known by it.
    pub veth_ends: HashSet<u32>,
    /// Devices of ours that the pod has taken to namespaces of its own: where, and their indexes there.
    pub moved_out: Vec<(i32, u32)>,
    /// Links of the pod that others of its links are on, by number.
    pub carriers: HashMap<u32, CarrierState>,
    /// The segments of the links that stand, by their names.
    pub segments: BTreeMap<String, String>,
    /// When each was last changed.
    pub changed: HashMap<String, SystemTime>,
    /// Whether links are missing that could be there if the pod changed.
    pub is_incomplete: bool,
    pub has_routes: bool,
    pub has_rules: bool,
    /// Whether it has, or shall have, vlans or vxlans in it as a whole.
    pub has_devices: bool,
    /// Whether all that it says was seen in the kernel, and every event since was heard.
    pub seen: bool,
    /// Where its links reach, also those that may not be there.
    pub reach: Reach,
    /// How many of its links overlap something.
    pub conflicts: usize,
    /// Whether a link is missing because nobody is sure which networks there are.
    pub is_unsure: bool,
    /// The PodConfigs that ask for something in this pod.
    pub configs: BTreeSet<String>,
    /// When it is looked at again, though nothing happens.
    pub due: Option<Instant>,
    /// Links whose addresses are announced once more, by name, and when.
    announcements: BTreeMap<String, Instant>,
    /// Since when something is due.
    pub unapplied_since: Option<Instant>,
    /// How many links may be made now.
    bucket: TokenBucket,
    retries: u32,
    last_retry: Option<Instant>,
    repairs: u32,
    failures: u32,
    last_repair: Option<Instant>,
    not_before: Option<Instant>,
    /// What the kernel refused, by link.
    pub rejections: Rejections,
    wait_reported: bool,
    /// An address or a route of ours seemed gone.
    pub drift_suspected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Of what we did ourselves, or nothing to us.
    OwnChange,
    /// A link that is missing may be possible now.
    Unblocking,
    /// Something is not as it was left.
    Drift,
}

/// What a link that is on another one takes from it.
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
    /// Those that are ours.
    pub addresses: Vec<IpNetwork>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedHostEnd {
    pub name: String,
    pub mtu: u32,
    pub master: Option<u32>,
}

impl AppliedState {
    /// The indexes of the pod ends that it had, and of all that its veths ever had and the sandbox still has;
    /// if it still has that sandbox: in another they are somebody else's.
    pub fn indexes(
        &mut self,
        sandbox: &str,
        is_there: impl Fn(&u32) -> bool,
    ) -> (HashSet<u32>, HashSet<u32>) {
        if self.sandbox != sandbox {
            return Default::default();
        }
        self.veth_ends.retain(is_there);
        let own = self.pod_ends.keys().copied();
        (own.collect(), self.veth_ends.clone())
    }

    /// What an event in the pod means for its links.
    pub fn classify(&self, what: &NetnsEvent) -> EventClass {
        let own = |undone: bool| {
            if undone {
                EventClass::Drift
            } else {
                EventClass::OwnChange
            }
        };
        match what {
            NetnsEvent::Link(row) if self.pod_ends.contains_key(&row.index) => {
                own(self.pod_end_differs(row))
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
            NetnsEvent::AddressGone { index, network } => own(self.has_address(*index, network)),
            NetnsEvent::RouteGone => own(self.has_routes),
            NetnsEvent::RuleGone => own(self.has_rules),
            NetnsEvent::PeerGone(index) => own(self.devices.contains(index)),
        }
    }

    /// A device that is in the pod as a whole has no host end to be pulled back by.
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

    /// A link that carries another is not what it was.
    fn is_otherwise(&self, row: &LinkInfo) -> bool {
        let carrier = self.carriers.get(&row.index);
        carrier.is_some_and(|carrier| *carrier != CarrierState::from(row))
    }

    /// Whether the link was left with this address. One that was taken away on purpose is not among them,
    /// nor is one that the pod gave itself.
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

    /// Whether a disturbed pod is to be looked at now. While its repairs wait, once, to tell so; the
    /// repair itself follows when its time has come.
    pub fn may_observe(&mut self, now: Instant) -> bool {
        !self.must_back_off(now) || !std::mem::replace(&mut self.wait_reported, true)
    }

    /// Looks again then, if not before.
    pub fn requeue_within(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Looks again as soon as repairs need not wait.
    pub fn requeue_when_allowed(&mut self, now: Instant) {
        if !self.must_back_off(now) {
            self.due = Some(now);
        }
    }

    /// Whether repairs have to wait. If so, the pod is looked at again when they need not.
    pub fn must_back_off(&mut self, now: Instant) -> bool {
        let Some(at) = self.not_before.filter(|at| *at > now) else {
            return false;
        };
        self.requeue_at(at);
        true
    }

    /// Whether one more link may be made, as far as the pod's namespace lets it. If not, the pod is looked
    /// at again when it may.
    pub fn may_make(
        &mut self,
        now: Instant,
        of_namespace: impl FnOnce() -> Result<(), Instant>,
    ) -> bool {
        let taken = self.bucket.take(now).and_then(|()| of_namespace());
        taken.map_err(|at| self.requeue_at(at)).is_ok()
    }

    /// Announces a link's addresses then, if that is not to happen anyway.
    pub fn announce_at(&mut self, link: &str, at: Instant) {
        self.announcements.entry(link.to_owned()).or_insert(at);
    }

    /// The indexes in the pod of links whose addresses are to be announced now, and how far.
    pub fn take_announcements(&mut self, now: Instant) -> Vec<(u32, Extent)> {
        let all = std::mem::take(&mut self.announcements);
        let (due, later): (BTreeMap<_, _>, _) = all.into_iter().partition(|(_, at)| *at <= now);
        self.announcements = later;
        let ends = self.pod_ends.iter();
        let ends = ends.filter(|(_, end)| due.contains_key(&end.name));
        ends.map(|(index, end)| (*index, Extent::of(&end.addresses, false)))
            .collect()
    }

    /// When something is to be done, though nothing happens.
    pub fn next(&self) -> Option<Instant> {
        let announced = self.announcements.values().copied();
        announced.chain(self.due).min()
    }

    pub fn requeue_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Looks again soon, once for all that happens until then.
    pub fn retry_soon(&mut self, now: Instant) {
        // What the kernel refused is tried again in its own time, or its echo would be a chance.
        let is_refused = self.failures > 0 || !self.rejections.is_empty();
        let is_retried = is_refused && self.due.is_some();
        if is_retried || self.due.is_some_and(|due| due <= now + LONGEST_RETRY) {
            return;
        }
        if self
            .last_retry
            .is_none_or(|last| now.saturating_duration_since(last) > RESET_AFTER)
        {
            self.retries = 0;
        }
        self.due = Some(
            now + FIRST_RETRY
                .saturating_mul(1 << self.retries.min(10))
                .min(LONGEST_RETRY),
        );
        self.retries += 1;
        self.last_retry = Some(now);
    }

    /// It was looked at because something seemed undone, and nothing was.
    pub fn false_alarm(&mut self, now: Instant) {
        if std::mem::take(&mut self.drift_suspected) {
            self.repaired(now);
        }
    }

    /// Something was undone and has been mended.
    pub fn repaired(&mut self, now: Instant) {
        if self
            .last_repair
            .is_some_and(|last| now.saturating_duration_since(last) > RESET_AFTER)
        {
            self.repairs = 0;
        }
        self.repairs += 1;
        self.last_repair = Some(now);
        self.drift_suspected = false;
        self.not_before =
            (self.repairs > FREE_REPAIRS).then(|| now + wait(self.repairs - FREE_REPAIRS));
        self.wait_reported = false;
    }

    /// Something of the pod as a whole went wrong; it is tried again, less and less often.
    pub fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.due = Some(now + wait(self.failures + 3));
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// How long before something that went wrong so often is tried again.
fn wait(times: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests;
