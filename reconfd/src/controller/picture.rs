//! Pure: everything that was heard, kept so that one more word costs little, and what is to be written
//! because of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::SystemTime,
};

use crds::{
    PeerSliceSpec, PodConfig, PodConfigAllowanceSpec, PodConfigPolicy, ReservedNetworksSpec,
};
use kube::core::error_boundary::InvalidObject;

use super::{
    deed::Deed,
    job::{Job, Kind, Mark, Wait},
    seen::{Claimed, NodeSeen, Seen, Told},
};
use crate::scope::{
    Scope,
    precedence::{self, Earlier},
};

/// Bridges that are of one node.
mod bridges;
/// The claims to addresses.
mod claims;
/// A PodConfig, and the pods that it selects.
mod config;
/// What links may not overlap.
mod networks;
/// Nodes, and what their pods have while they do not answer.
mod nodes;
/// Policies, and whether they are in use.
mod policies;
/// How full ranges are.
mod ranges;
/// One namespace.
mod space;
use claims::Claims;
use networks::Published;
use ranges::Taken;
use space::Space;

/// What an object says, or why nobody can tell.
pub type Read<K> = Result<K, Box<InvalidObject>>;

/// An object of this name, as it is now.
#[derive(Debug)]
pub struct Fact {
    /// Empty for an object of the cluster.
    pub namespace: String,
    pub name: String,
    pub what: What,
}

/// The object; `None`: it is gone.
#[derive(Debug)]
pub enum What {
    /// Its labels; gone is also one that is being deleted, for nothing can be made in it any more.
    Namespace(Option<BTreeMap<String, String>>),
    Node(Option<NodeSeen>),
    Policy(Option<Box<Read<PodConfigPolicy>>>),
    Pod(Option<Seen>),
    PodConfig(Option<Box<Read<PodConfig>>>),
    /// One that cannot be read says nothing.
    PodReport(Option<Told>),
    Allowance(Option<Box<Read<PodConfigAllowanceSpec>>>),
    PeerSlice(Option<Read<PeerSliceSpec>>),
    Claim(Option<Claimed>),
    Networks(Option<Box<ReservedNetworksSpec>>),
}

pub struct Picture {
    scope: Scope,
    spaces: HashMap<String, Space>,
    policies: BTreeMap<String, PodConfigPolicy>,
    nodes: HashSet<String>,
    /// Nodes that do not answer, and since when.
    unreachable: HashMap<String, String>,
    claims: Claims,
    taken: Taken,
    installation: String,
    published: Published,
    /// What each installation serves.
    served: precedence::Published,
    earlier: Earlier,
}

impl Picture {
    pub fn new(scope: Scope, installation: &str) -> Self {
        Self {
            scope,
            installation: installation.to_owned(),
            published: Published::default(),
            served: precedence::Published::new(),
            earlier: Earlier::default(),
            spaces: HashMap::new(),
            policies: BTreeMap::new(),
            nodes: HashSet::new(),
            unreachable: HashMap::new(),
            claims: Claims::default(),
            taken: Taken::default(),
        }
    }

    /// Takes in what was heard; what may have to be done because of it.
    pub fn take(&mut self, fact: Fact) -> Vec<Mark> {
        let Fact {
            namespace,
            name,
            what,
        } = fact;
        match what {
            What::Node(node) => self.node(name, node),
            What::Policy(policy) => self.policy(name, policy),
            What::Namespace(labels) => self.namespace(&name, labels),
            What::Pod(pod) => self.pod(&namespace, &name, pod),
            What::PodConfig(read) => self.config(&namespace, &name, read),
            What::PodReport(told) => self.report(&namespace, &name, told),
            What::Allowance(read) => self.within(&namespace, |space| space.allowance(&name, read)),
            What::Claim(claim) => self.claim(&name, claim),
            What::Networks(spec) => self.networks(&name, spec.map(|spec| *spec)),
            What::PeerSlice(read) => self.within(&namespace, |space| space.slice(&name, read)),
        }
    }

    /// Everything that there may be to do, at a time when a list has become whole.
    pub fn all(&self) -> Vec<Mark> {
        let spaces = self.spaces.values();
        let marks = spaces.flat_map(|space| space.all(self.policies.values(), &self.nodes));
        let marks = marks.chain(self.uses());
        marks.chain(self.claims.all(&self.nodes)).collect()
    }

    /// What the job comes to. `knows_nodes`: whether a node that was not heard of is gone.
    pub fn decide(&self, job: &Job, knows_nodes: bool, now: SystemTime) -> Option<Deed> {
        if job
            .namespace()
            .is_some_and(|namespace| self.earlier.server_of(namespace).is_some())
        {
            return None;
        }
        match job {
            Job::Status { namespace, name } => {
                let space = self.spaces.get(namespace)?;
                let conflicts = |config: &PodConfig| {
                    let policies = self.policies.values();
                    self.published.conflicts(config, &space.selected(policies))
                };
                space.told(name, conflicts, &self.taken, now)
            }
            Job::Allowance { namespace } => {
                let policies = self.policies.values();
                let space = self.spaces.get(namespace)?;
                space.allowed(policies, &self.installation)
            }
            Job::Peers { namespace, segment } => {
                let nodes = Some(&self.nodes).filter(|_| knows_nodes);
                let space = self.spaces.get(namespace)?;
                space.packed(*segment, self.policies.values(), nodes)
            }
            Job::PolicyUse { name } => self.policy_use(name),
            Job::Sweep { namespace, pod } => {
                let nodes = Some(&self.nodes).filter(|_| knows_nodes);
                self.spaces.get(namespace)?.orphan(pod, nodes)
            }
            Job::SweepClaim { name } => self.claims.orphan(name, &self.nodes),
        }
    }

    /// Remembers what was written, where that cannot be read back.
    pub fn written(&mut self, deed: &Deed) {
        if let Deed::Status {
            namespace,
            name,
            status,
            ..
        } = deed
            && let Some(space) = self.spaces.get_mut(namespace)
        {
            space.written(name, status);
        }
    }

    /// How many objects of each kind are known.
    pub fn counts(&self) -> [(Kind, usize); 10] {
        Kind::ALL.map(|kind| {
            let all = match kind {
                Kind::Node => self.nodes.len(),
                Kind::AddressClaim => self.claims.len(),
                Kind::ReservedNetworks => self.published.len(),
                Kind::PodConfigPolicy => self.policies.len(),
                kind => self.spaces.values().map(|space| space.count(kind)).sum(),
            };
            (kind, all)
        })
    }

    fn within(
        &mut self,
        namespace: &str,
        change: impl FnOnce(&mut Space) -> Vec<Mark>,
    ) -> Vec<Mark> {
        if !self.scope.serves(namespace) {
            return Vec::new();
        }
        let space = self
            .spaces
            .entry(namespace.to_owned())
            .or_insert_with(|| Space::new(namespace));
        let marks = change(space);
        if space.is_empty() {
            self.spaces.remove(namespace);
        }
        marks
    }

    fn namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> Vec<Mark> {
        let mut is_news = false;
        self.within(name, |space| {
            is_news = space.namespace(labels);
            Vec::new()
        });
        let uses = is_news.then(|| self.uses()).into_iter().flatten();
        let space = self.spaces.get(name).filter(|_| is_news);
        let marks = space.map(|space| space.by_policy(self.policies.values()));
        marks.unwrap_or_default().into_iter().chain(uses).collect()
    }

    fn config(
        &mut self,
        namespace: &str,
        name: &str,
        read: Option<Box<Read<PodConfig>>>,
    ) -> Vec<Mark> {
        let has_some = |picture: &Self| {
            let space = picture.spaces.get(namespace);
            space.is_some_and(|space| space.count(Kind::PodConfig) > 0)
        };
        let had_some = has_some(self);
        let mut marks = self.within(namespace, |space| space.config(name, read));
        if has_some(self) != had_some {
            marks.extend(self.uses());
        }
        marks
    }

    fn report(&mut self, namespace: &str, pod: &str, told: Option<Told>) -> Vec<Mark> {
        let node = told.as_ref().map(|told| told.node.clone());
        let mut marks = self.within(namespace, |space| space.report(pod, told));
        let is_strange = node.is_some_and(|node| !self.nodes.contains(&node));
        if is_strange && self.scope.serves(namespace) {
            marks.push(Job::sweep(namespace, pod).after(Wait::Grace));
        }
        marks
    }

    /// Those of another installation, and of pods that are not served, are another controller's to sweep, and take addresses all the same.
    fn claim(&mut self, name: &str, claim: Option<Claimed>) -> Vec<Mark> {
        let address = claim
            .as_ref()
            .map(|claim| (claim.domain.clone(), claim.address));
        let changed = self.taken.take(name, address);
        let spaces = self.spaces.values();
        let concerned = changed.iter().flat_map(|address| {
            let spaces = spaces.clone();
            spaces.flat_map(move |space| space.giving_out(address))
        });
        let mut marks: Vec<Mark> = concerned.collect();
        let is_own = |claim: &Claimed| {
            claim.installation == self.installation && self.scope.serves(&claim.namespace)
        };
        let claim = claim.filter(is_own);
        marks.extend(self.claims.take(name, claim, &self.nodes));
        marks
    }

    /// Those of another installation are told by its own controller.
    fn networks(&mut self, name: &str, spec: Option<ReservedNetworksSpec>) -> Vec<Mark> {
        let is_surer = self.serves(name, spec.as_ref());
        let own = spec.filter(|spec| spec.installation == self.installation);
        match (self.published.take(name, own), is_surer) {
            (_, true) => self.all(),
            (true, false) => self.spaces.values().flat_map(Space::statuses).collect(),
            (false, false) => Vec::new(),
        }
    }

    /// Takes in which namespaces an installation serves; whether this one serves others than before.
    fn serves(&mut self, name: &str, spec: Option<&ReservedNetworksSpec>) -> bool {
        if name.contains('.') {
            return false;
        }
        match spec.and_then(|spec| spec.serves.clone()) {
            Some(serves) => drop(self.served.insert(name.to_owned(), serves)),
            None => drop(self.served.remove(name)),
        }
        let earlier = Earlier::than(&self.installation, &self.scope, &self.served);
        let before = std::mem::replace(&mut self.earlier, earlier);
        before != self.earlier
    }

    /// Namespaces that an earlier installation serves as well, and why they are left to it.
    pub fn left_to_others(&self) -> BTreeMap<String, String> {
        let left = self.spaces.keys().filter_map(|namespace| {
            let server = self.earlier.server_of(namespace)?;
            let why = Earlier::why(&self.installation, server, namespace);
            Some((namespace.clone(), why))
        });
        left.collect()
    }
}

#[cfg(test)]
mod tests;
