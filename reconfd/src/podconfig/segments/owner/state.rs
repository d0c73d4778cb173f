//! Pure: one segment: its users, and which of their requests it can have.

use std::collections::{BTreeMap, BTreeSet};

use crds::Reason;
use ipnetwork::IpNetwork;
use node::links::{
    Segment,
    device::{Data, Remotes},
};
use policy::Grant;

use super::{Member, Registration};
use crate::podconfig::cause::Cause;

#[derive(Debug)]
pub struct OwnerState {
    /// The namespace that used it first.
    pub owner: String,
    pub users: BTreeMap<String, User>,
}

/// What the users of a segment make of its device.
#[derive(Debug, PartialEq, Eq)]
pub struct Configuration {
    owner: String,
    settings: Option<(Segment, Vec<IpNetwork>)>,
    /// How many there are: one user more or less changes no more than that.
    namespaces: usize,
}

#[derive(Debug)]
pub struct User {
    pub member: Member,
    pub segment: Segment,
    pub exclusive: bool,
    pub across: bool,
    pub sources: Vec<IpNetwork>,
    pub grants: Vec<Grant>,
}

impl User {
    /// Whether the registration states what is known of the user.
    pub fn is(&self, registration: &Registration<'_>) -> bool {
        (&self.member, &self.segment) == (registration.member, registration.segment)
            && (self.exclusive, self.across) == (registration.exclusive, registration.across)
            && self.sources == registration.sources
            && self.grants == registration.grants
    }

    pub fn differs_from(&self, registration: &Registration<'_>) -> bool {
        let now = (
            self.exclusive,
            self.across,
            is_same_way(&self.segment, registration.segment),
        );
        now != (registration.exclusive, registration.across, true)
    }
}

impl OwnerState {
    pub fn check(&self, registration: &Registration<'_>) -> Result<(), Cause> {
        let segment = registration.segment;
        let namespace = &registration.member.namespace;
        let others = || {
            self.users
                .iter()
                .filter(|(pod, _)| *pod != registration.pod)
        };
        let is_new = !self.users.contains_key(registration.pod);
        let stranger = others().find(|(_, user)| user.member.namespace != *namespace);
        // A sole user that now shares with others keeps it; a later one does not displace others.
        let other = match stranger {
            _ if self.owner != *namespace => Some(&self.owner),
            Some((_, user)) if is_new => Some(&user.member.namespace),
            _ => None,
        };
        if let Some(other) = other
            && !(registration.across && others().all(|(_, user)| user.across))
        {
            let message = format!(
                "{segment} belongs to namespace {other}; sharing it takes a rule with sharing: AcrossNamespaces for both"
            );
            return Err((Reason::SegmentInUse, message));
        }
        if let Some((_, user)) = others().find(|(_, user)| registration.exclusive || user.exclusive)
        {
            let message = format!(
                "{segment} is used by podconfig {} already, and mode Exclusive allows no other user",
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
                    "the older podconfig {} has {}, and this one has {}",
                    user.member.name,
                    settings(&user.segment),
                    settings(registration.segment)
                ),
            )),
            None => Ok(()),
        }
    }

    /// Saves the registration. Returns the pods to enqueue because of it, and whether it differs
    /// from the pod's last.
    pub fn register(&mut self, registration: &Registration<'_>) -> (BTreeSet<String>, bool) {
        let sources = self.sources().to_vec();
        let user = User {
            sources: registration.sources.to_vec(),
            grants: registration.grants.to_vec(),
            member: registration.member.clone(),
            segment: registration.segment.clone(),
            exclusive: registration.exclusive,
            across: registration.across,
        };
        let before = self.users.insert(registration.pod.into(), user);
        let has_changed = before
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
        (concerned, has_changed)
    }

    pub fn configuration(&self) -> Configuration {
        let oldest = self.oldest();
        Configuration {
            owner: self.owner.clone(),
            settings: oldest.map(|user| (user.segment.clone(), user.sources.clone())),
            namespaces: self.namespaces().len(),
        }
    }

    pub fn oldest(&self) -> Option<&User> {
        self.users.values().min_by_key(|user| &user.member)
    }

    pub fn sources(&self) -> &[IpNetwork] {
        self.oldest().map_or(&[], |user| &user.sources)
    }

    /// Whether a rule of any user permits the device what it needs.
    pub fn permits(&self, on_port: bool, unfiltered: bool) -> bool {
        self.users.values().any(|user| {
            let is_shared = self.owner != user.member.namespace;
            let mut fit = user.grants.iter().filter(|g| g.across || !is_shared);
            fit.any(|g| (g.on_port || !on_port) && (g.unfiltered || !unfiltered))
        })
    }

    pub fn namespaces(&self) -> BTreeSet<&str> {
        let members = self.users.values().map(|user| &user.member);
        members.map(|member| member.namespace.as_str()).collect()
    }

    /// Removes a user. Returns the remaining users if the segment has another owner, other sources
    /// or fewer namespaces: the kernel state must follow.
    pub fn remove(&mut self, pod: &str) -> BTreeSet<String> {
        let (sources, namespaces) = (self.sources().to_vec(), self.namespaces().len());
        self.users.remove(pod);
        let has_successor = self.pass_on();
        let leads_elsewhere = namespaces != self.namespaces().len();
        match has_successor || leads_elsewhere || sources != self.sources() {
            true => self.users.keys().cloned().collect(),
            false => BTreeSet::new(),
        }
    }

    /// Passes the segment to the oldest remaining user, if the owner has none.
    pub fn pass_on(&mut self) -> bool {
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

/// A segment with the settings in which two requests for it can differ.
fn settings(segment: &Segment) -> String {
    match &segment.data {
        Data::Vlan(_) => segment.to_string(),
        Data::Vxlan(vxlan) => match &vxlan.remotes {
            Remotes::Group(group) => format!("{segment} with the group {group}"),
            Remotes::Peers(peers) => {
                let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
                format!("{segment} with the peers {}", peers.join(", "))
            }
            Remotes::Discovered(_) => format!("{segment} with discovered peers"),
        },
    }
}
