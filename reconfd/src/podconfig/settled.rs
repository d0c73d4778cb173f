//! What a pod looked like after its last pass, so that the kernel's echo of our own doing is told
//! from somebody's undoing of it; and how often it was undone.

/// Pure: what the kernel refused, and when it is tried again.
pub mod refusals;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use ipnetwork::IpNetwork;

use super::{pace::Pace, plan::Aim};
use crate::address::collision::Reach;
use crate::node::{NetnsEvent, link_info::LinkInfo, links::Place, sandbox::Extent};
use refusals::Refusals;

/// So many repairs follow at once; then each waits twice as long as the one before.
const FREE_REPAIRS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// So long after something else changed in a pod that lacks a link, it is looked at; twice as long
/// each time, or a pod that plays with its own links would keep the node busy.
const FIRST_CHANCE: Duration = Duration::from_millis(20);
const LONGEST_CHANCE: Duration = Duration::from_secs(5);
/// A pod that was left in peace for so long starts afresh.
const PEACE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Settled {
    /// The sandbox that it had.
    pub sandbox: String,
    /// Pod ends by number.
    pub pod_ends: HashMap<u32, PodEnd>,
    pub host_ends: HashMap<(Place, u32), HostEnd>,
    /// Links of the node, bridges and parents, that its links name.
    pub node_links: BTreeSet<String>,
    /// What was last applied to each link that stands, by name: the specification's hash, and the aim. It
    /// is older than what is asked for while a link waits for something, or the kernel refuses a change.
    pub hashes: HashMap<String, (String, Aim)>,
    /// The numbers of all devices of ours that were in this sandbox as a whole: that one has left may be
    /// heard behind the look that missed it.
    pub devices: HashSet<u32>,
    /// The numbers that pod ends of its veths had in this sandbox and may still have: what is left of a link
    /// that a pass took for gone is known by it.
    pub veth_ends: HashSet<u32>,
    /// Devices of ours that the pod has taken to namespaces of its own: where, and their numbers there.
    pub escaped: Vec<(i32, u32)>,
    /// Links of the pod that others of its links are on, by number.
    pub carriers: HashMap<u32, Carrier>,
    /// The segments of the links that stand, by their names.
    pub segments: BTreeMap<String, String>,
    /// When each was last changed.
    pub changed: HashMap<String, SystemTime>,
    /// Whether links are missing that could be there if the pod changed.
    pub lacks: bool,
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
    pace: Pace,
    chances: u32,
    last_chance: Option<Instant>,
    repairs: u32,
    failures: u32,
    last_repair: Option<Instant>,
    not_before: Option<Instant>,
    /// What the kernel refused, by link.
    pub refusals: Refusals,
    wait_is_told: bool,
    /// An address or a route of ours seemed gone.
    pub alarmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Of what we did ourselves, or nothing to us.
    Echo,
    /// A link that is missing may be possible now.
    Chance,
    /// Something is not as it was left.
    Undone,
}

/// What a link that is on another one takes from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    name: String,
    mtu: u32,
    up: bool,
    mac: Option<[u8; 6]>,
}

impl From<&LinkInfo> for Carrier {
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
pub struct PodEnd {
    pub name: String,
    pub mtu: u32,
    pub mac: [u8; 6],
    /// Those that are ours.
    pub addresses: Vec<IpNetwork>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEnd {
    pub name: String,
    pub mtu: u32,
    pub master: Option<u32>,
}

impl Settled {
    /// The numbers of the pod ends that it had, and of all that its veths ever had and the sandbox still has;
    /// if it still has that sandbox: in another they are somebody else's.
    pub fn numbers(
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
    pub fn meaning_of(&self, what: &NetnsEvent) -> Meaning {
        let own = |undone: bool| {
            if undone {
                Meaning::Undone
            } else {
                Meaning::Echo
            }
        };
        match what {
            NetnsEvent::Link(row) if self.pod_ends.contains_key(&row.index) => {
                own(self.pod_end_differs(row))
            }
            NetnsEvent::Link(row) if self.is_otherwise(row) => Meaning::Chance,
            NetnsEvent::LinkLeft { .. } if !self.escaped.is_empty() => Meaning::Undone,
            NetnsEvent::LinkGone(index) | NetnsEvent::LinkLeft { index, .. }
                if self.pod_ends.contains_key(index) =>
            {
                Meaning::Undone
            }
            NetnsEvent::Link(_) | NetnsEvent::LinkGone(_) | NetnsEvent::LinkLeft { .. }
                if self.lacks =>
            {
                Meaning::Chance
            }
            NetnsEvent::Link(_) | NetnsEvent::LinkGone(_) | NetnsEvent::LinkLeft { .. } => {
                Meaning::Echo
            }
            NetnsEvent::AddressGone { index, network } => own(self.has_address(*index, network)),
            NetnsEvent::RouteGone => own(self.has_routes),
            NetnsEvent::RuleGone => own(self.has_rules),
            NetnsEvent::PeerGone(index) => own(self.devices.contains(index)),
        }
    }

    /// A device that is in the pod as a whole has no host end to be pulled back by.
    pub fn note_escape(&mut self, what: &NetnsEvent) {
        let NetnsEvent::LinkLeft {
            index,
            netns,
            there,
        } = what
        else {
            return;
        };
        if self.devices.remove(index) {
            self.escaped.push((*netns, *there));
        }
    }

    /// A link that carries another is not what it was.
    fn is_otherwise(&self, row: &LinkInfo) -> bool {
        let carrier = self.carriers.get(&row.index);
        carrier.is_some_and(|carrier| *carrier != Carrier::from(row))
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

    pub fn host_end_differs(&self, place: Place, index: u32, now: Option<&LinkInfo>) -> bool {
        let Some(end) = self.host_ends.get(&(place, index)) else {
            return false;
        };
        let Some(row) = now else { return true };
        !row.up || (&row.name, row.mtu, row.master) != (&end.name, end.mtu, end.master)
    }

    /// Whether a disturbed pod is to be looked at now. While its repairs wait, once, to tell so; the
    /// repair itself follows when its time has come.
    pub fn may_look_now(&mut self, now: Instant) -> bool {
        !self.must_wait(now) || !std::mem::replace(&mut self.wait_is_told, true)
    }

    /// Looks again then, if not before.
    pub fn look_within(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Looks again as soon as repairs need not wait.
    pub fn look_when_allowed(&mut self, now: Instant) {
        if !self.must_wait(now) {
            self.due = Some(now);
        }
    }

    /// Whether repairs have to wait. If so, the pod is looked at again when they need not.
    pub fn must_wait(&mut self, now: Instant) -> bool {
        let Some(at) = self.not_before.filter(|at| *at > now) else {
            return false;
        };
        self.look_at(at);
        true
    }

    /// Whether one more link may be made, as far as the pod's namespace lets it. If not, the pod is looked
    /// at again when it may.
    pub fn may_make(
        &mut self,
        now: Instant,
        of_namespace: impl FnOnce() -> Result<(), Instant>,
    ) -> bool {
        let taken = self.pace.take(now).and_then(|()| of_namespace());
        taken.map_err(|at| self.look_at(at)).is_ok()
    }

    /// Announces a link's addresses then, if that is not to happen anyway.
    pub fn announce_at(&mut self, link: &str, at: Instant) {
        self.announcements.entry(link.to_owned()).or_insert(at);
    }

    /// The numbers in the pod of links whose addresses are to be announced now, and how far.
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

    pub fn look_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Looks again soon, once for all that happens until then.
    pub fn look_soon(&mut self, now: Instant) {
        // What the kernel refused is tried again in its own time, or its echo would be a chance.
        let is_refused = self.failures > 0 || !self.refusals.is_empty();
        let is_retried = is_refused && self.due.is_some();
        if is_retried || self.due.is_some_and(|due| due <= now + LONGEST_CHANCE) {
            return;
        }
        if self
            .last_chance
            .is_none_or(|last| now.saturating_duration_since(last) > PEACE)
        {
            self.chances = 0;
        }
        self.due = Some(
            now + FIRST_CHANCE
                .saturating_mul(1 << self.chances.min(10))
                .min(LONGEST_CHANCE),
        );
        self.chances += 1;
        self.last_chance = Some(now);
    }

    /// It was looked at because something seemed undone, and nothing was.
    pub fn false_alarm(&mut self, now: Instant) {
        if std::mem::take(&mut self.alarmed) {
            self.repaired(now);
        }
    }

    /// Something was undone and has been mended.
    pub fn repaired(&mut self, now: Instant) {
        if self
            .last_repair
            .is_some_and(|last| now.saturating_duration_since(last) > PEACE)
        {
            self.repairs = 0;
        }
        self.repairs += 1;
        self.last_repair = Some(now);
        self.alarmed = false;
        self.not_before =
            (self.repairs > FREE_REPAIRS).then(|| now + wait(self.repairs - FREE_REPAIRS));
        self.wait_is_told = false;
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
