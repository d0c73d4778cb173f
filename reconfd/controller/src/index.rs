//! Pure: incrementally maintained index of all watched objects, and the actions derived from it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::SystemTime,
};

use crds::{
    PeerSliceSpec, PodConfig, PodConfigAllowanceSpec, PodConfigPolicy, ReservedNetworksSpec,
};
use kube::core::error_boundary::InvalidObject;
use store::{
    kinds::ObjectKind,
    scope::{
        Scope,
        precedence::{Earlier, ServedScopes},
    },
};

use super::{
    action::Action,
    objects::{ClaimInfo, NodeInfo, PodInfo, ReportInfo},
    reconcile_key::{Delay, ReconcileKey, Requeue},
};

/// Node-local bridges.
mod bridges;
/// AddressClaims.
mod claims;
/// State of a PodConfig and of its selected pods.
mod config;
/// State of one namespace.
mod namespace;
/// Published reserved networks.
mod networks;
/// Pods and nodes.
mod nodes;
/// Policies and their use.
mod policies;
/// Usage of address ranges.
mod ranges;
use claims::ClaimIndex;
use namespace::NamespaceState;
use networks::ReservedIndex;
use ranges::ClaimedAddresses;

/// An object, or why it cannot be parsed.
pub type Read<K> = Result<K, Box<InvalidObject>>;

/// A change of one object.
#[derive(Debug)]
pub struct IndexEvent {
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    pub name: String,
    pub change: ObjectChange,
}

/// The new object; `None`: it was deleted.
#[derive(Debug)]
pub enum ObjectChange {
    /// The labels. `None` also for a terminating namespace: no object can be created in it.
    Namespace(Option<BTreeMap<String, String>>),
    Node(Option<NodeInfo>),
    Policy(Option<Box<Read<PodConfigPolicy>>>),
    Pod(Option<PodInfo>),
    PodConfig(Option<Box<Read<PodConfig>>>),
    /// `None` also for one that cannot be parsed.
    PodReport(Option<ReportInfo>),
    Allowance(Option<Box<Read<PodConfigAllowanceSpec>>>),
    PeerSlice(Option<Read<PeerSliceSpec>>),
    Claim(Option<ClaimInfo>),
    Networks(Option<Box<ReservedNetworksSpec>>),
}

/// Index of all watched objects.
pub struct ClusterIndex {
    scope: Scope,
    namespaces: HashMap<String, NamespaceState>,
    policies: BTreeMap<String, PodConfigPolicy>,
    nodes: HashSet<String>,
    /// Unreachable nodes, and since when.
    unreachable: HashMap<String, String>,
    claims: ClaimIndex,
    claimed: ClaimedAddresses,
    installation: String,
    reserved: ReservedIndex,
    /// The scope of each installation.
    served: ServedScopes,
    earlier: Earlier,
}

impl ClusterIndex {
    pub fn new(scope: Scope, installation: &str) -> Self {
        Self {
            scope,
            installation: installation.to_owned(),
            reserved: ReservedIndex::default(),
            served: ServedScopes::new(),
            earlier: Earlier::default(),
            namespaces: HashMap::new(),
            policies: BTreeMap::new(),
            nodes: HashSet::new(),
            unreachable: HashMap::new(),
            claims: ClaimIndex::default(),
            claimed: ClaimedAddresses::default(),
        }
    }

    /// Applies a change and returns the keys that it affects.
    pub fn update(&mut self, event: IndexEvent) -> Vec<Requeue> {
        let IndexEvent {
            namespace,
            name,
            change,
        } = event;
        match change {
            ObjectChange::Node(node) => self.node(name, node),
            ObjectChange::Policy(policy) => self.policy(name, policy),
            ObjectChange::Namespace(labels) => self.namespace(&name, labels),
            ObjectChange::Pod(pod) => self.pod(&namespace, &name, pod),
            ObjectChange::PodConfig(read) => self.config(&namespace, &name, read),
            ObjectChange::PodReport(report) => self.report(&namespace, &name, report),
            ObjectChange::Allowance(read) => {
                self.within(&namespace, |state| state.allowance(&name, read))
            }
            ObjectChange::Claim(claim) => self.claim(&name, claim),
            ObjectChange::Networks(spec) => self.networks(&name, spec.map(|spec| *spec)),
            ObjectChange::PeerSlice(read) => {
                self.within(&namespace, |state| state.slice(&name, read))
            }
        }
    }

    /// All keys, to be enqueued when a watch has synced.
    pub fn all(&self) -> Vec<Requeue> {
        let namespaces = self.namespaces.values();
        let requeues = namespaces.flat_map(|state| state.all(self.policies.values(), &self.nodes));
        let requeues = requeues.chain(self.uses());
        requeues.chain(self.claims.all(&self.nodes)).collect()
    }

    /// The action for a key, if one is needed. `nodes_synced`: whether an unknown node is a deleted one.
    pub fn decide(
        &self,
        key: &ReconcileKey,
        nodes_synced: bool,
        now: SystemTime,
    ) -> Option<Action> {
        if key
            .namespace()
            .is_some_and(|namespace| self.earlier.server_of(namespace).is_some())
        {
            return None;
        }
        match key {
            ReconcileKey::Status { namespace, name } => {
                let state = self.namespaces.get(namespace)?;
                let conflicts = |config: &PodConfig| {
                    let policies = self.policies.values();
                    self.reserved.conflicts(config, &state.selected(policies))
                };
                state.status_action(name, conflicts, &self.claimed, now)
            }
            ReconcileKey::Allowance { namespace } => {
                let policies = self.policies.values();
                let state = self.namespaces.get(namespace)?;
                state.allowed(policies, &self.installation)
            }
            ReconcileKey::Peers { namespace, segment } => {
                let nodes = Some(&self.nodes).filter(|_| nodes_synced);
                let state = self.namespaces.get(namespace)?;
                state.packed(*segment, self.policies.values(), nodes)
            }
            ReconcileKey::PolicyUse { name } => self.policy_use(name),
            ReconcileKey::OrphanReport { namespace, pod } => {
                let nodes = Some(&self.nodes).filter(|_| nodes_synced);
                self.namespaces.get(namespace)?.orphan(pod, nodes)
            }
            ReconcileKey::OrphanClaim { name } => self.claims.orphan(name, &self.nodes),
        }
    }

    /// Remembers a written status, where it cannot be read back.
    pub fn written(&mut self, action: &Action) {
        if let Action::UpdateStatus {
            namespace,
            name,
            status,
            ..
        } = action
            && let Some(state) = self.namespaces.get_mut(namespace)
        {
            state.written(name, status);
        }
    }

    /// Number of objects of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (ObjectKind, usize)> {
        ObjectKind::of_controller().map(|kind| {
            let all = match kind {
                ObjectKind::Node => self.nodes.len(),
                ObjectKind::AddressClaim => self.claims.len(),
                ObjectKind::ReservedNetworks => self.reserved.len(),
                ObjectKind::PodConfigPolicy => self.policies.len(),
                kind => self
                    .namespaces
                    .values()
                    .map(|state| state.count(kind))
                    .sum(),
            };
            (kind, all)
        })
    }

    fn within(
        &mut self,
        namespace: &str,
        change: impl FnOnce(&mut NamespaceState) -> Vec<Requeue>,
    ) -> Vec<Requeue> {
        if !self.scope.serves(namespace) {
            return Vec::new();
        }
        let state = self
            .namespaces
            .entry(namespace.to_owned())
            .or_insert_with(|| NamespaceState::new(namespace));
        let requeues = change(state);
        if state.is_empty() {
            self.namespaces.remove(namespace);
        }
        requeues
    }

    fn namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> Vec<Requeue> {
        let mut is_changed = false;
        self.within(name, |state| {
            is_changed = state.namespace(labels);
            Vec::new()
        });
        let uses = is_changed.then(|| self.uses()).into_iter().flatten();
        let state = self.namespaces.get(name).filter(|_| is_changed);
        let requeues = state.map(|state| state.by_policy(self.policies.values()));
        requeues
            .unwrap_or_default()
            .into_iter()
            .chain(uses)
            .collect()
    }

    fn config(
        &mut self,
        namespace: &str,
        name: &str,
        read: Option<Box<Read<PodConfig>>>,
    ) -> Vec<Requeue> {
        let has_some = |index: &Self| {
            let state = index.namespaces.get(namespace);
            state.is_some_and(|state| state.count(ObjectKind::PodConfig) > 0)
        };
        let had_some = has_some(self);
        let mut requeues = self.within(namespace, |state| state.config(name, read));
        if has_some(self) != had_some {
            requeues.extend(self.uses());
        }
        requeues
    }

    fn report(&mut self, namespace: &str, pod: &str, report: Option<ReportInfo>) -> Vec<Requeue> {
        let node = report.as_ref().map(|report| report.node.clone());
        let mut requeues = self.within(namespace, |state| state.report(pod, report));
        let is_unknown_node = node.is_some_and(|node| !self.nodes.contains(&node));
        if is_unknown_node && self.scope.serves(namespace) {
            requeues.push(ReconcileKey::orphan_report(namespace, pod).after(Delay::OrphanGrace));
        }
        requeues
    }

    /// Claims of other installations and scopes count as used addresses, but their own controller deletes them.
    fn claim(&mut self, name: &str, claim: Option<ClaimInfo>) -> Vec<Requeue> {
        let address = claim
            .as_ref()
            .map(|claim| (claim.domain.clone(), claim.address));
        let changed = self.claimed.update(name, address);
        let namespaces = self.namespaces.values();
        let affected = changed.iter().flat_map(|address| {
            let namespaces = namespaces.clone();
            namespaces.flat_map(move |state| state.giving_out(address))
        });
        let mut requeues: Vec<Requeue> = affected.collect();
        let is_own = |claim: &ClaimInfo| {
            claim.installation == self.installation && self.scope.serves(&claim.namespace)
        };
        let claim = claim.filter(is_own);
        requeues.extend(self.claims.update(name, claim, &self.nodes));
        requeues
    }

    /// Networks published by another installation are handled by its own controller.
    fn networks(&mut self, name: &str, spec: Option<ReservedNetworksSpec>) -> Vec<Requeue> {
        let precedence_changed = self.update_scope(name, spec.as_ref());
        let own = spec.filter(|spec| spec.installation == self.installation);
        match (self.reserved.update(name, own), precedence_changed) {
            (_, true) => self.all(),
            (true, false) => self
                .namespaces
                .values()
                .flat_map(NamespaceState::statuses)
                .collect(),
            (false, false) => Vec::new(),
        }
    }

    /// Updates the scope of an installation. Returns whether the precedence changed.
    fn update_scope(&mut self, name: &str, spec: Option<&ReservedNetworksSpec>) -> bool {
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

    /// Namespaces that an earlier installation serves, each with a message.
    pub fn served_elsewhere(&self) -> BTreeMap<String, String> {
        let left = self.namespaces.keys().filter_map(|namespace| {
            let server = self.earlier.server_of(namespace)?;
            let why = Earlier::why(&self.installation, server, namespace);
            Some((namespace.clone(), why))
        });
        left.collect()
    }
}

#[cfg(test)]
mod tests;
