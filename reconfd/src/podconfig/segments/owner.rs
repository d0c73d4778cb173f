//! Ownership of this node's segments: the namespace that used a segment first owns it, and the
//! oldest PodConfig decides its settings. The owner survives a restart in the alias of the
//! segment's bridge.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnetwork::IpNetwork;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use node::links::{Segment, device::Data};
use policy::Grant;

use self::state::OwnerState;
use super::endpoints::is_tunnel;
use crate::podconfig::cause::Cause;

/// One segment.
mod state;

/// A PodConfig, ordered by age: one without a creation time is the youngest, for it cannot prove
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub is_ageless: bool,
    pub created: Option<Time>,
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

/// The request of one pod for a segment.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    pub pod: &'a str,
    pub member: &'a Member,
    pub segment: &'a Segment,
    /// Whether the device itself should be inside the pod.
    pub exclusive: bool,
    /// A rule allows the link on a segment that other namespaces use.
    pub across: bool,
    /// Networks of the allowed peers of a tunnel, by a rule of this link.
    pub sources: &'a [IpNetwork],
    /// What each rule that allows the link permits its device.
    pub grants: &'a [Grant],
}

#[derive(Debug, Default)]
pub struct SegmentOwners {
    /// By the name of the segment.
    states: BTreeMap<String, OwnerState>,
    by_pod: HashMap<String, BTreeSet<String>>,
    /// Pods that were refused a segment.
    waiting: BTreeSet<String>,
    /// Segments that are to be configured otherwise than before.
    changed: BTreeSet<String>,
}

impl SegmentOwners {
    /// Restores the owner of a segment from the kernel, before any pod has claimed it.
    pub fn restore(&mut self, segment: String, owner: String) {
        let users = BTreeMap::new();
        self.states.insert(segment, OwnerState { owner, users });
    }

    /// Called when every existing user has registered: unclaimed segments become free. Returns the
    /// waiting pods.
    pub fn forget_unclaimed(&mut self) -> BTreeSet<String> {
        self.states.retain(|_, held| !held.users.is_empty());
        std::mem::take(&mut self.waiting)
    }

    /// Segments whose configuration has changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The names of all segments.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.states.keys()
    }

    /// The segments whose parent has one of these names.
    pub fn on_parent(&self, is_parent: impl Fn(&str) -> bool) -> Vec<String> {
        let is_on = |held: &OwnerState| {
            let mut users = held.users.values();
            users.any(|user| is_parent(&user.segment.parent))
        };
        let on = self.states.iter().filter(|(_, held)| is_on(held));
        on.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a rule of any user permits the device what it needs.
    pub fn permits(&self, segment: &str, on_port: bool, unfiltered: bool) -> bool {
        let held = self.states.get(segment);
        let is_permitted = |held: &OwnerState| held.permits(on_port, unfiltered);
        !on_port && !unfiltered || held.is_some_and(is_permitted)
    }

    /// The pods that have segments.
    pub fn pods(&self) -> impl Iterator<Item = &String> {
        self.by_pod.keys()
    }

    /// The owning namespace of the segment, for a pod that has just claimed it.
    pub fn owner(&self, segment: &str) -> Option<&str> {
        self.states.get(segment).map(|held| held.owner.as_str())
    }

    /// The segment with the settings that count, those of the oldest PodConfig, and the networks of
    /// its allowed peers.
    pub fn settings(&self, segment: &str) -> Option<(&Segment, &[IpNetwork])> {
        let oldest = self.states.get(segment)?.oldest()?;
        Some((&oldest.segment, &oldest.sources))
    }

    /// Whether any pod uses a tunnel; with `whole`, only as its exclusive device.
    pub fn has_tunnel(&self, vni: u32, port: u16, whole: bool) -> bool {
        let users = self.states.values().flat_map(|held| held.users.values());
        let mut users = users.filter(|user| user.exclusive || !whole);
        users.any(|user| match &user.segment.data {
            Data::Vxlan(vxlan) => (vxlan.vni, vxlan.port) == (vni, port),
            Data::Vlan(_) => false,
        })
    }

    /// The segments that a PeerSlice of this namespace concerns.
    pub fn discovering(&self, namespace: &str, vni: i32, port: i32) -> Vec<String> {
        let is_concerned = |held: &OwnerState| {
            let mut users = held.users.values();
            users.any(|user| {
                let tunnel = user.segment.data.found();
                user.member.namespace == namespace
                    && tunnel.is_some_and(|tunnel| is_tunnel(tunnel, vni, port))
            })
        };
        let concerned = self.states.iter().filter(|(_, held)| is_concerned(held));
        concerned.map(|(name, _)| name.clone()).collect()
    }

    pub fn is_used(&self, segment: &str) -> bool {
        let held = self.states.get(segment);
        held.is_some_and(|held| !held.users.is_empty())
    }

    /// All pods that use a segment.
    pub fn users(&self, segment: &str) -> BTreeSet<String> {
        let held = self.states.get(segment);
        held.map_or(BTreeSet::new(), |held| held.users.keys().cloned().collect())
    }

    /// The pods that have the segment's device inside.
    pub fn exclusive_users(&self, segment: &str) -> Vec<String> {
        let held = self.states.get(segment);
        let users = held.into_iter().flat_map(|held| &held.users);
        let exclusive = users.filter(|(_, user)| user.exclusive);
        exclusive.map(|(pod, _)| pod.clone()).collect()
    }

    /// The namespaces that use the segment: the endpoints of all of them are its peers.
    pub fn namespaces(&self, segment: &str) -> BTreeSet<&str> {
        self.states
            .get(segment)
            .map_or(BTreeSet::new(), OwnerState::namespaces)
    }

    /// All pods that use a tunnel.
    pub fn users_of_tunnels(&self) -> BTreeSet<String> {
        let users = self.states.values().flat_map(|held| &held.users);
        let of_tunnels = users.filter(|(_, user)| matches!(user.segment.data, Data::Vxlan(_)));
        of_tunnels.map(|(pod, _)| pod.clone()).collect()
    }

    /// Networks of the allowed peers where peers are not listed one by one. The rules of the oldest
    /// PodConfig hold for all, or each pod's pass would open and close the tunnel for the others.
    pub fn sources(&self, segment: &str) -> &[IpNetwork] {
        self.states.get(segment).map_or(&[], OwnerState::sources)
    }

    /// A pod that is gone waits for nothing.
    pub fn stop_waiting(&mut self, pod: &str) {
        self.waiting.remove(pod);
    }

    /// Whether another pod uses the segment as well.
    pub fn has_others(&self, segment: &str, pod: &str) -> bool {
        let held = self.states.get(segment);
        held.is_some_and(|held| held.users.keys().any(|user| user != pod))
    }

    /// Registers a pod for a segment, or returns why it is refused; with the pods to enqueue
    /// because of it.
    pub fn register(
        &mut self,
        registration: &Registration<'_>,
    ) -> (Result<(), Cause>, BTreeSet<String>) {
        let name = &registration.segment.name;
        let new = || OwnerState {
            owner: registration.member.namespace.clone(),
            users: BTreeMap::new(),
        };
        let held = self.states.entry(name.clone()).or_insert_with(new);
        if let Err(why) = held.check(registration) {
            let to_enqueue = self.refuse(registration);
            return (Err(why), to_enqueue);
        }
        self.waiting.remove(registration.pod);
        // Each pass registers its pods again, and hardly ever otherwise than before.
        let known = held.users.get(registration.pod);
        if known.is_some_and(|user| user.is(registration)) {
            return (Ok(()), BTreeSet::new());
        }
        let before = held.configuration();
        let (mut to_enqueue, has_changed) = held.register(registration);
        if before != held.configuration() {
            self.changed.insert(name.clone());
        }
        if has_changed {
            // It may unblock waiting pods.
            to_enqueue.append(&mut self.waiting);
        }
        let segments = self.by_pod.entry(registration.pod.into()).or_default();
        segments.insert(name.clone());
        (Ok(()), to_enqueue)
    }

    /// A pod that loses the segment may unblock others.
    fn refuse(&mut self, registration: &Registration<'_>) -> BTreeSet<String> {
        let mut kept = self
            .by_pod
            .get(registration.pod)
            .cloned()
            .unwrap_or_default();
        kept.remove(&registration.segment.name);
        let to_enqueue = self.retain(registration.pod, &kept);
        self.waiting.insert(registration.pod.into());
        to_enqueue
    }

    /// Drops a pod's other segments. Returns the pods to enqueue, including those that wait if any
    /// became free.
    pub fn retain(&mut self, pod: &str, kept: &BTreeSet<String>) -> BTreeSet<String> {
        let Some(held) = self.by_pod.get_mut(pod) else {
            return BTreeSet::new();
        };
        let free: Vec<String> = held.difference(kept).cloned().collect();
        held.retain(|segment| kept.contains(segment));
        if held.is_empty() {
            self.by_pod.remove(pod);
        }
        let mut to_enqueue = BTreeSet::new();
        for segment in &free {
            if let Some(held) = self.states.get_mut(segment) {
                let before = held.configuration();
                to_enqueue.extend(held.remove(pod));
                if !held.users.is_empty() && before != held.configuration() {
                    self.changed.insert(segment.clone());
                }
            }
        }
        self.states
            .retain(|segment, held| !held.users.is_empty() || !free.contains(segment));
        if !free.is_empty() {
            to_enqueue.extend(std::mem::take(&mut self.waiting));
        }
        to_enqueue
    }
}

#[cfg(test)]
mod tests;
