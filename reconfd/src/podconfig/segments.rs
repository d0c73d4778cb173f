//! Who has which segment of this node: the namespace that used it first, and of several PodConfigs
//! that want it in different ways the oldest. The kernel remembers the first over a restart, in the
//! alias of the segment's bridge.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crds::Reason;
use ipnetwork::IpNetwork;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ends::is_of;
use crate::node::links::{
    Segment,
    device::{Data, Ends},
};

/// A PodConfig, the older before the younger: one without a time of creation is the youngest, for it
/// cannot prove otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    pub is_ageless: bool,
    pub created: Option<Time>,
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

/// One pod's wish for a segment.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    pub pod: &'a str,
    pub asker: &'a Asker,
    pub segment: &'a Segment,
    /// The device itself is to be in the pod.
    pub exclusive: bool,
    /// A rule allows the link on a segment that other namespaces use.
    pub across: bool,
    /// Where peers of a tunnel may be, as a rule of this link says.
    pub sources: &'a [IpNetwork],
}

/// Why a pod can not have a segment.
pub type Refusal = (Reason, String);

#[derive(Debug, Default)]
pub struct Segments {
    /// By the name of the segment.
    held: BTreeMap<String, Held>,
    by_pod: HashMap<String, BTreeSet<String>>,
    /// Pods that were refused one.
    waiting: BTreeSet<String>,
}

#[derive(Debug)]
struct Held {
    /// The namespace that used it first.
    owner: String,
    users: BTreeMap<String, User>,
}

#[derive(Debug)]
struct User {
    asker: Asker,
    segment: Segment,
    exclusive: bool,
    across: bool,
    sources: Vec<IpNetwork>,
}

impl Segments {
    /// What the kernel says of who had a segment, before anybody has claimed it.
    pub fn recall(&mut self, segment: String, owner: String) {
        let users = BTreeMap::new();
        self.held.insert(segment, Held { owner, users });
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

    /// Whether any pod has a claim on a tunnel; or on its whole device alone.
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
        let is_concerned = |held: &&Held| {
            let mut users = held.users.values();
            users.any(|user| {
                let tunnel = user.segment.data.found();
                user.asker.namespace == namespace
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
            .map_or(BTreeSet::new(), Held::namespaces)
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
        self.held.get(segment).map_or(&[], Held::sources)
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
    pub fn take(&mut self, claim: &Claim<'_>) -> (Result<(), Refusal>, BTreeSet<String>) {
        let name = &claim.segment.name;
        let new = || Held {
            owner: claim.asker.namespace.clone(),
            users: BTreeMap::new(),
        };
        let held = self.held.entry(name.clone()).or_insert_with(new);
        if let Err(why) = held.may_have(claim) {
            let news = self.refuse(claim);
            return (Err(why), news);
        }
        let (mut news, is_otherwise) = held.takes(claim);
        self.waiting.remove(claim.pod);
        if is_otherwise {
            // What stood in somebody's way may do so no longer.
            news.append(&mut self.waiting);
        }
        let segments = self.by_pod.entry(claim.pod.into()).or_default();
        segments.insert(name.clone());
        (Ok(()), news)
    }

    /// A pod that had it, and can not have it any more, no longer stands in anybody's way.
    fn refuse(&mut self, claim: &Claim<'_>) -> BTreeSet<String> {
        let mut kept = self.by_pod.get(claim.pod).cloned().unwrap_or_default();
        kept.remove(&claim.segment.name);
        let news = self.keep(claim.pod, &kept);
        self.waiting.insert(claim.pod.into());
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
                news.extend(held.lets_go(pod));
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
    fn differs_from(&self, claim: &Claim<'_>) -> bool {
        let now = (
            self.exclusive,
            self.across,
            is_same_way(&self.segment, claim.segment),
        );
        now != (claim.exclusive, claim.across, true)
    }
}

impl Held {
    fn may_have(&self, claim: &Claim<'_>) -> Result<(), Refusal> {
        let segment = claim.segment;
        let namespace = &claim.asker.namespace;
        let others = || self.users.iter().filter(|(pod, _)| *pod != claim.pod);
        let is_new = !self.users.contains_key(claim.pod);
        let stranger = others().find(|(_, user)| user.asker.namespace != *namespace);
        // Who was there alone and now shares with nobody keeps it; who comes later does not drive others out.
        let other = match stranger {
            _ if self.owner != *namespace => Some(&self.owner),
            Some((_, user)) if is_new => Some(&user.asker.namespace),
            _ => None,
        };
        if let Some(other) = other
            && !(claim.across && others().all(|(_, user)| user.across))
        {
            let message = format!(
                "{segment} is namespace {other}'s; sharing it takes a rule with sharing: AcrossNamespaces for both"
            );
            return Err((Reason::SegmentInUse, message));
        }
        if let Some((_, user)) = others().find(|(_, user)| claim.exclusive || user.exclusive) {
            let message = format!(
                "{segment} is used by podconfig {} already, and mode Exclusive shares with nobody",
                user.asker.name
            );
            return Err((Reason::SegmentInUse, message));
        }
        let elder = others().find(|(_, user)| {
            user.asker < *claim.asker && !is_same_way(&user.segment, claim.segment)
        });
        match elder {
            Some((_, user)) => Err((
                Reason::SegmentDiffers,
                format!(
                    "the older podconfig {} uses {} {}, and this one says {}",
                    user.asker.name,
                    user.segment,
                    way(&user.segment),
                    way(claim.segment)
                ),
            )),
            None => Ok(()),
        }
    }

    /// Writes the claim down. The pods that must be looked at because of it, and whether it is another
    /// than the pod's last.
    fn takes(&mut self, claim: &Claim<'_>) -> (BTreeSet<String>, bool) {
        let sources = self.sources().to_vec();
        let user = User {
            sources: claim.sources.to_vec(),
            asker: claim.asker.clone(),
            segment: claim.segment.clone(),
            exclusive: claim.exclusive,
            across: claim.across,
        };
        let before = self.users.insert(claim.pod.into(), user);
        let is_otherwise = before
            .as_ref()
            .is_some_and(|before| before.differs_from(claim));
        let shares_less = before.is_some_and(|before| before.across && !claim.across);
        let opens_otherwise = sources != self.sources();
        let concerned = self.users.iter().filter(|(pod, user)| {
            let differs = !is_same_way(&user.segment, claim.segment);
            let is_stranger = user.asker.namespace != claim.asker.namespace;
            *pod != claim.pod && (differs || opens_otherwise || shares_less && is_stranger)
        });
        let concerned = concerned.map(|(pod, _)| pod.clone()).collect();
        (concerned, is_otherwise)
    }

    fn sources(&self) -> &[IpNetwork] {
        let oldest = self.users.values().min_by_key(|user| &user.asker);
        oldest.map_or(&[], |user| &user.sources)
    }

    fn namespaces(&self) -> BTreeSet<&str> {
        let askers = self.users.values().map(|user| &user.asker);
        askers.map(|asker| asker.namespace.as_str()).collect()
    }

    /// Who is left, if the segment now has another owner, is open to others or leads to fewer of them:
    /// what is there must say so.
    fn lets_go(&mut self, pod: &str) -> BTreeSet<String> {
        let (sources, namespaces) = (self.sources().to_vec(), self.namespaces().len());
        self.users.remove(pod);
        let has_heir = self.passes_on();
        let leads_elsewhere = namespaces != self.namespaces().len();
        match has_heir || leads_elsewhere || sources != self.sources() {
            true => self.users.keys().cloned().collect(),
            false => BTreeSet::new(),
        }
    }

    /// Gives the segment to the oldest who is left, where none of the owner's is.
    fn passes_on(&mut self) -> bool {
        let is_owners = |user: &User| user.asker.namespace == self.owner;
        if self.users.values().any(is_owners) {
            return false;
        }
        let heir = self.users.values().min_by_key(|user| &user.asker);
        let Some(heir) = heir.map(|user| user.asker.namespace.clone()) else {
            return false;
        };
        self.owner = heir;
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
        Data::Vxlan(vxlan) => match &vxlan.ends {
            Ends::Group(group) => format!("on {} with the group {group}", segment.parent),
            Ends::Peers(peers) => {
                let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
                format!("on {} with the peers {}", segment.parent, peers.join(", "))
            }
            Ends::Found(_) => format!("on {} with the peers that are found", segment.parent),
        },
    }
}

#[cfg(test)]
mod tests;
