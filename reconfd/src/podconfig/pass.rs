//! One pass over the pods that something happened to: fetch and decide for each, take away in one
//! set what must go, then make and change, then see what the kernel said, then tell.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use crds::{PodConfig, PodConfigPolicy};

use super::{Controller, Telling, plan::Surroundings, pods::Known};
use crate::node::{
    Machine,
    filter::{PeerFilter, Tunnel},
    link_info::{LinkData, LinkInfo},
    links::{Segment, device::shared},
};

/// Addresses: claimed before the link is there, and released when it is gone.
mod addresses;
/// Addresses announced to those around.
mod announcing;
/// Steps done: links taken away in one set, made, changed, and what they are now.
mod apply;
/// What only one can have.
mod claims;
/// Pods that have ended while their network namespace stays.
mod ended;
/// The ends of tunnels whose ends are found.
pub mod found;
/// Fetch and decide.
mod look;
/// Whether a pod may administer the node's network.
mod net_admin;
/// Namespaces that another installation serves.
mod others;
/// Addresses that are asked for on the wire.
mod probing;
/// Pods whose namespace somebody else than the plugin told of.
mod seek;
pub(super) use seek::Seeking;
/// Links without a record, and pods without one.
mod unrecorded;
/// What a pass knows of one pod, and what it does to it.
mod work;
use work::Work;

/// In one pass so many sandboxes are kept open between looking and acting; of more, each is opened
/// anew, so that the descriptors of a large burst do not add up.
const KEPT_OPEN: usize = 256;
/// A pod that changes as fast as it is looked at must not keep the others waiting.
const ROUNDS: usize = 8;

/// A link that waits for its address is told of when it has waited for so long.
const CLAIMED_WITHIN: Duration = Duration::from_secs(1);

/// The objects as they were when the pass began, read once for all of its pods.
struct Picture {
    policies: Vec<Arc<PodConfigPolicy>>,
    configs: HashMap<String, Vec<Arc<PodConfig>>>,
    uids: OnceCell<ended::Uids>,
}

impl Surroundings for Machine {
    fn installation(&self) -> &str {
        &self.installation
    }

    fn of_switch(&self, name: &str) -> Option<u32> {
        self.bridge_index(name)
    }

    fn of_node(&self, name: &str) -> Option<&LinkInfo> {
        self.node.link_called(name)
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        self.has_moved(name)
    }

    fn conflicting(&self, parent: u32, data: &LinkData) -> Option<&LinkInfo> {
        self.conflicting_device(parent, data)
    }

    fn shared(&self, segment: &Segment) -> shared::Present<'_> {
        self.shared_device(segment)
    }

    fn has_filter(&self) -> bool {
        self.filter.is_available()
    }

    fn peer_filter(&self, tunnel: Tunnel) -> Option<&PeerFilter> {
        self.filter.tunnels().get(&tunnel)
    }
}

impl Controller {
    /// Passes until nothing is left to look at.
    pub(super) fn passes(&mut self) -> io::Result<()> {
        for _ in 0..ROUNDS {
            self.count_pods();
            if !self.has_work() {
                break;
            }
            self.pass()?;
            self.to_tell.push(Telling::Done);
        }
        for telling in self.to_tell.drain(..) {
            // A teller that has ended has told why.
            let _ = self.telling.send(telling);
        }
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        self.metrics.set_claims(self.claims.counts());
        // Some have links from the time when they had a record, some never had either.
        let with_links = self.machine.pods_with_links();
        let orphans = with_links.iter().filter(|uid| !self.pods.has(uid));
        let without = self
            .unrecorded
            .iter()
            .filter(|(_, untold)| untold.is_missed);
        let unrecorded: HashSet<_> = orphans.chain(without.map(|(uid, _)| uid)).collect();
        self.metrics.set_unrecorded(unrecorded.len());
        for (source, pods) in self.pods.counts() {
            self.metrics.set_recorded(source, pods);
        }
        let conflicts = self.settled.values().map(|settled| settled.conflicts);
        self.metrics.set_address_conflicts(conflicts.sum());
        let sent = self.machine.changes.load(Ordering::Relaxed);
        self.metrics
            .netlink_changes((sent - self.changes_told) as usize);
        self.changes_told = sent;
        let oldest = self
            .settled
            .values()
            .filter_map(|settled| settled.unapplied_since)
            .min();
        self.metrics
            .set_oldest_unapplied(oldest.map_or(Duration::ZERO, |since| since.elapsed()));
    }

    fn picture(&self) -> Picture {
        Picture {
            policies: self.stores.policies(),
            configs: HashMap::new(),
            uids: OnceCell::new(),
        }
    }

    /// Whether there is anything to be looked at: a pod, a namespace of which something may be told, or
    /// one where a pod's network namespace may be found.
    pub(super) fn has_work(&self) -> bool {
        !(self.dirty.is_empty() && self.unsure.is_empty() && self.seeking.now.is_empty())
    }

    fn pass(&mut self) -> io::Result<()> {
        let (started, since) = (Instant::now(), SystemTime::now());
        self.seek();
        let uids = std::mem::take(&mut self.dirty);
        let mut picture = self.picture();
        let keep_open = uids.len() <= KEPT_OPEN;
        let mut works = Vec::with_capacity(uids.len());
        let (mut victims, mut orphans) = (Vec::new(), Vec::new());
        for uid in uids {
            match self.pods.known(&uid, &self.stores) {
                Some(known) if !self.is_deleted(&known) => {
                    self.orphans.remove(&uid);
                    works.push(self.look(known, &mut picture, keep_open));
                }
                _ => {
                    victims.extend(self.look_at_orphan(&uid, &picture));
                    orphans.push(uid);
                }
            }
        }
        self.take_away(&mut works, victims);
        for work in &mut works {
            self.act(work);
        }
        let unfinished = std::mem::take(&mut self.machine.unfinished);
        if let Err(error) = self.machine.remove(&unfinished) {
            tracing::error!("remove links that could not be finished: {error}");
        }
        // The echo of what was done, and what somebody else did meanwhile.
        for work in &works {
            self.settle(work);
            self.release(work);
        }
        self.announce_behind_ways_out();
        self.follow(&works);
        self.hear()?;
        self.release_addresses_of_orphans(&orphans);
        self.forget_ended(&orphans);
        self.expect_echo(&works);
        self.retain_peer_filters();
        for work in works {
            // A link that others are on has come: they follow at once, and then all of it is told.
            match work.has_made_a_carrier() {
                true => drop(self.dirty.insert(work.uid().into())),
                false => self.tell(work, started, since),
            }
        }
        self.tell_unrecorded(&mut picture);
        Ok(())
    }

    /// Whether the pod's object is gone before its sandbox: what it has it keeps, as far as it is asked
    /// for, until the sandbox ends as well.
    fn is_deleted(&self, known: &Known) -> bool {
        let pod = &known.pod;
        self.stores.knows_all_pods() && self.stores.pod(&pod.namespace, &pod.name).is_none()
    }

    /// The peer filter lets into the tunnels that are wanted, and goes with the last of them.
    pub(super) fn retain_peer_filters(&mut self) {
        if !self.has_seen_all {
            return;
        }
        let segments = &self.segments;
        let is_claimed = |vni, port| segments.has_tunnel(vni, port, false);
        let has_device = |vni, port| segments.has_tunnel(vni, port, true);
        if let Err(error) = self.machine.retain_peer_filters(is_claimed, has_device) {
            tracing::error!("keep the peer filter: {error}");
        }
    }

    /// What is gone because it was taken away raises no alarm.
    fn expect_echo(&mut self, works: &[Work]) {
        for work in works.iter().filter(|work| work.has_changed()) {
            if let Some(settled) = self.settled.get_mut(work.uid()) {
                settled.alarmed = false;
            }
        }
    }

    /// A claim is through in a moment, and then all of it is told.
    fn tell_later(&mut self, work: &Work) -> bool {
        let Some(settled) = self.settled.get_mut(work.uid()) else {
            return false;
        };
        let waits = settled
            .unapplied_since
            .unwrap_or_else(Instant::now)
            .elapsed();
        let is_later = waits < CLAIMED_WITHIN && work.does_nothing_but_claim();
        if is_later {
            settled.look_within(CLAIMED_WITHIN - waits);
        }
        is_later
    }

    fn tell(&mut self, work: Work, started: Instant, since: SystemTime) {
        if self.tell_later(&work) {
            return;
        }
        for error in work.errors() {
            self.metrics.netlink_refused(error.errno as i32);
        }
        let none = HashMap::new();
        let changed = self
            .settled
            .get(work.uid())
            .map_or(&none, |settled| &settled.changed);
        let outcome = work.outcome(changed, since);
        self.metrics.reconciled(outcome.worst(), started.elapsed());
        let _ = self.telling.send(Telling::Pod(Box::new(outcome)));
    }
}
