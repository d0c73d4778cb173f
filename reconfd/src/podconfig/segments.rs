//! Who has which segment of this node: the namespace that used it first, and of several PodConfigs
//! that want it in different ways the oldest. The kernel remembers the first over a restart, in the
//! alias of the segment's bridge.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crds::Reason;
use ipnetwork::IpNetwork;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{plan::Cause, vtep_peers::is_of};
use crate::node::links::{
    Segment,
    device::{Data, Remotes},
};

/// A PodConfig, the older before the younger: one without a time of creation is the youngest, for it
/// cannot prove otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub is_ageless: bool,
    pub created: Option<Time>,
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

/// One pod's wish for a segment.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    pub pod: &'a str,
    pub member: &'a Member,
    pub segment: &'a Segment,
    /// The device itself is to be in the pod.
    pub exclusive: bool,
    /// A rule allows the link on a segment that other namespaces use.
    pub across: bool,
    /// Where peers of a tunnel may be, as a rule of this link says.
    pub sources: &'a [IpNetwork],
}

#[derive(Debug, Default)]
pub struct Segments {
    /// By the name of the segment.
    held: BTreeMap<String, OwnerState>,
    by_pod: HashMap<String, BTreeSet<String>>,
    /// Pods that were refused one.
    waiting: BTreeSet<String>,
}

#[derive(Debug)]
struct OwnerState {
    /// The namespace that used it first.
    owner: String,
    users: BTreeMap<String, User>,
}

#[derive(Debug)]
struct User {
    member: Member,
    segment: Segment,
    exclusive: bool,
    across: bool,
    sources: Vec<IpNetwork>,
}

impl Segments {
    /// What the kernel says of who had a segment, before anybody has claimed it.
    pub fn recall(&mut self, segment: String, owner: String) {
        let users = BTreeMap::new();
        self.held.insert(segment, OwnerState { owner, users });
    }

    /// Everybody who was there has claimed: what nobody did is free. The pods that waited.
    pub fn forget_unclaimed(&mut self) -> BTreeSet<String> {
        self.held.retain(|_, held| !held.users.is_empty());
        std::mem::take(&mut self.waiting)
    }

    /// The pods that have any.
    pub fn pods(&self) -> impl Iterator<Item = &String> {
        self.by_pod.keys()
    }

    /// The namespace that has the segment, for a pod that has just claimed it.
    pub fn owner(&self, segment: &str) -> Option<&str> {
        self.held.get(segment).map(|held| held.owner.as_str())
    }

    /// Whether any pod has a registration on a tunnel; or on its whole device alone.
    pub fn has_tunnel(&self, vni: u32, port: u16, whole: bool) -> bool {
        let users = self.held.values().flat_map(|held| held.users.values());
        let mut users = users.filter(|user| user.exclusive || !whole);
        users.any(|user| match &user.segment.data {
            Data::Vxlan(vxlan) => (vxlan.vni, vxlan.port) == (vni, port),
            Data::Vlan(_) => false,
        })
    }

    /// The pods that a slice of peers of this namespace concerns.
    pub fn users_of_found(&self, namespace: &str, vni: i32, port: i32) -> BTreeSet<String> {
        let is_concerned = |held: &&OwnerState| {
            let mut users = held.users.values();
            users.any(|user| {
                let tunnel = user.segment.data.found();
                user.member.namespace == namespace
                    && tunnel.is_some_and(|tunnel| is_of(tunnel, vni, port))
            })
        };
        let concerned = self.held.values().filter(is_concerned);
        concerned
            .flat_map(|held| held.users.keys().cloned())
            .collect()
    }

    /// The namespaces that have the segment: the ends of all of them are on it.
    pub fn namespaces(&self, segment: &str) -> BTreeSet<&str> {
        self.held
            .get(segment)
            .map_or(BTreeSet::new(), OwnerState::namespaces)
    }

    /// Every pod that has a tunnel.
    pub fn users_of_tunnels(&self) -> BTreeSet<String> {
        let users = self.held.values().flat_map(|held| &held.users);
        let of_tunnels = users.filter(|(_, user)| matches!(user.segment.data, Data::Vxlan(_)));
        of_tunnels.map(|(pod, _)| pod.clone()).collect()
    }

    /// Where peers of a tunnel may be that are not written down one by one: what the oldest PodConfig's rules say holds for
    /// all, or each pod's pass would open and close the tunnel for the others.
    pub fn sources(&self, segment: &str) -> &[IpNetwork] {
        self.held.get(segment).map_or(&[], OwnerState::sources)
    }

    /// A pod that is gone waits for nothing.
    pub fn wait_no_more(&mut self, pod: &str) {
        self.waiting.remove(pod);
    }

    /// Whether another pod has the segment as well.
    pub fn has_others(&self, segment: &str, pod: &str) -> bool {
        let held = self.held.get(segment);
        held.is_some_and(|held| held.users.keys().any(|user| user != pod))
    }

    /// Takes a segment for a pod, or says why the pod can not have it; and the pods that this is news to.
    pub fn take(
        &mut self,
        registration: &Registration<'_>,
    ) -> (Result<(), Cause>, BTreeSet<String>) {
        let name = &registration.segment.name;
        let new = || OwnerState {
            owner: registration.member.namespace.clone(),
            users: BTreeMap::new(),
        };
        let held = self.held.entry(name.clone()).or_insert_with(new);
        if let Err(why) = held.check(registration) {
            let news = self.refuse(registration);
            return (Err(why), news);
        }
        let (mut news, is_otherwise) = held.register(registration);
        self.waiting.remove(registration.pod);
        if is_otherwise {
            // What stood in somebody's way may do so no longer.
            news.append(&mut self.waiting);
        }
        let segments = self.by_pod.entry(registration.pod.into()).or_default();
        segments.insert(name.clone());
        (Ok(()), news)
    }

    /// A pod that had it, and can not have it any more, no longer stands in anybody's way.
    fn refuse(&mut self, registration: &Registration<'_>) -> BTreeSet<String> {
        let mut kept = self
            .by_pod
            .get(registration.pod)
            .cloned()
            .unwrap_or_default();
        kept.remove(&registration.segment.name);
        let news = self.keep(registration.pod, &kept);
        self.waiting.insert(registration.pod.into());
        news
    }

    /// Keeps of a pod's segments only these. The pods that wait, if any came free.
    pub fn keep(&mut self, pod: &str, kept: &BTreeSet<String>) -> BTreeSet<String> {
        let Some(held) = self.by_pod.get_mut(pod) else {
            return BTreeSet::new();
        };
        let free: Vec<String> = held.difference(kept).cloned().collect();
        held.retain(|segment| kept.contains(segment));
        if held.is_empty() {
            self.by_pod.remove(pod);
        }
        let mut news = BTreeSet::new();
        for segment in &free {
            if let Some(held) = self.held.get_mut(segment) {
                news.extend(held.remove(pod));
            }
        }
        self.held
            .retain(|segment, held| !held.users.is_empty() || !free.contains(segment));
        if !free.is_empty() {
            news.extend(std::mem::take(&mut self.waiting));
        }
        news
    }
}

impl User {
    fn differs_from(&self, registration: &Registration<'_>) -> bool {
        let now = (
            self.exclusive,
            self.across,
            is_same_way(&self.segment, registration.segment),
        );
        now != (registration.exclusive, registration.across, true)
    }
}

impl OwnerState {
    fn check(&self, registration: &Registration<'_>) -> Result<(), Cause> {
        let segment = registration.segment;
        let namespace = &registration.member.namespace;
        let others = || {
            self.users
                .iter()
                .filter(|(pod, _)| *pod != registration.pod)
        };
        let is_new = !self.users.contains_key(registration.pod);
        let stranger = others().find(|(_, user)| user.member.namespace != *namespace);
        // Who was there alone and now shares with nobody keeps it; who comes later does not drive others out.
        let other = match stranger {
            _ if self.owner != *namespace => Some(&self.owner),
            Some((_, user)) if is_new => Some(&user.member.namespace),
            _ => None,
        };
        if let Some(other) = other
            && !(registration.across && others().all(|(_, user)| user.across))
        {
            let message = format!(
                "{segment} is namespace {other}'s; sharing it register a rule with sharing: AcrossNamespaces for both"
            );
            return Err((Reason::SegmentInUse, message));
        }
        if let Some((_, user)) = others().find(|(_, user)| registration.exclusive || user.exclusive)
        {
            let message = format!(
                "{segment} is used by podconfig {} already, and mode Exclusive shares with nobody",
                user.member.name
            );
            return Err((Reason::SegmentInUse, message));
        }
        let oldest_other = others().find(|(_, user)| {
            user.member < *registration.member && !is_same_way(&user.segment, registration.segment)
        });
        match oldest_other {
            Some((_, user)) => Err((
                Reason::SegmentDiffers,
                format!(
                    "the older podconfig {} uses {} {}, and this one says {}",
                    user.member.name,
                    user.segment,
                    way(&user.segment),
                    way(registration.segment)
                ),
            )),
            None => Ok(()),
        }
    }

    /// Writes the registration down. The pods that must be looked at because of it, and whether it is another
    /// than the pod's last.
    fn register(&mut self, registration: &Registration<'_>) -> (BTreeSet<String>, bool) {
        let sources = self.sources().to_vec();
        let user = User {
            sources: registration.sources.to_vec(),
            member: registration.member.clone(),
            segment: registration.segment.clone(),
            exclusive: registration.exclusive,
            across: registration.across,
        };
        let before = self.users.insert(registration.pod.into(), user);
        let is_otherwise = before
            .as_ref()
            .is_some_and(|before| before.differs_from(registration));
        let shares_less = before.is_some_and(|before| before.across && !registration.across);
        let opens_otherwise = sources != self.sources();
        let concerned = self.users.iter().filter(|(pod, user)| {
            let differs = !is_same_way(&user.segment, registration.segment);
            let is_stranger = user.member.namespace != registration.member.namespace;
            *pod != registration.pod && (differs || opens_otherwise || shares_less && is_stranger)
        });
        let concerned = concerned.map(|(pod, _)| pod.clone()).collect();
        (concerned, is_otherwise)
    }

    fn sources(&self) -> &[IpNetwork] {
        let oldest = self.users.values().min_by_key(|user| &user.member);
        oldest.map_or(&[], |user| &user.sources)
    }

    fn namespaces(&self) -> BTreeSet<&str> {
        let members = self.users.values().map(|user| &user.member);
        members.map(|member| member.namespace.as_str()).collect()
    }

    /// Who is left, if the segment now has another owner, is open to others or leads to fewer of them:
    /// what is there must say so.
    fn remove(&mut self, pod: &str) -> BTreeSet<String> {
        let (sources, namespaces) = (self.sources().to_vec(), self.namespaces().len());
        self.users.remove(pod);
        let has_successor = self.pass_on();
        let leads_elsewhere = namespaces != self.namespaces().len();
        match has_successor || leads_elsewhere || sources != self.sources() {
            true => self.users.keys().cloned().collect(),
            false => BTreeSet::new(),
        }
    }

    /// Gives the segment to the oldest who is left, where none of the owner's is.
    fn pass_on(&mut self) -> bool {
        let is_owners = |user: &User| user.member.namespace == self.owner;
        if self.users.values().any(is_owners) {
            return false;
        }
        let successor = self.users.values().min_by_key(|user| &user.member);
        let Some(successor) = successor.map(|user| user.member.namespace.clone()) else {
            return false;
        };
        self.owner = successor;
        true
    }
}

fn is_same_way(one: &Segment, other: &Segment) -> bool {
    one.parent == other.parent && one.data == other.data
}

/// What two wishes for one segment can differ in.
fn way(segment: &Segment) -> String {
    match &segment.data {
        Data::Vlan(_) => format!("on {}", segment.parent),
        Data::Vxlan(vxlan) => match &vxlan.remotes {
            Remotes::Group(group) => format!("on {} with the group {group}", segment.parent),
            Remotes::Peers(peers) => {
                let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
                format!("on {} with the peers {}", segment.parent, peers.join(", "))
            }
            Remotes::Discovered(_) => {
                format!("on {} with the peers that are found", segment.parent)
            }
        },
    }
}

#[cfg(test)]
mod tests;
