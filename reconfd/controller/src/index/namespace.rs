//! Pure: state of one namespace and the objects in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    time::SystemTime,
};

use crds::{
    PeerSliceSpec, PodConfig, PodConfigAllowanceSpec, PodConfigPolicy, PodConfigStatus,
    allowance::EFFECTIVE, report::Tunnel,
};
use store::kinds::ObjectKind;

use super::{Read, config::ConfigState, ranges::ClaimedAddresses};
use crate::{
    action::Action,
    allowance::effective,
    objects::{PodInfo, ReportInfo},
    peers::TunnelEndpoints,
    reconcile_key::{Delay, ReconcileKey, Requeue, SegmentKey},
};

/// Orphaned reports.
mod orphans;
/// Messages of PodConfigs without trouble.
mod remarks;
/// Tunnel endpoints and PeerSlices.
mod tunnels;
use tunnels::segment_of;

/// A namespace and its objects.
pub struct NamespaceState {
    name: String,
    /// `None`: the namespace does not exist or is terminating.
    labels: Option<BTreeMap<String, String>>,
    pods: HashMap<String, PodInfo>,
    reports: HashMap<String, ReportInfo>,
    configs: BTreeMap<String, ConfigState>,
    /// `None`: missing. `Some(None)`: cannot be parsed.
    allowance: Option<Option<PodConfigAllowanceSpec>>,
    slices: BTreeMap<String, Option<PeerSliceSpec>>,
    endpoints: TunnelEndpoints,
    /// Node and tunnels that each pod contributes to `endpoints`.
    pod_tunnels: HashMap<String, (String, Vec<Tunnel>)>,
}

impl NamespaceState {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: None,
            pods: HashMap::new(),
            reports: HashMap::new(),
            configs: BTreeMap::new(),
            allowance: None,
            slices: BTreeMap::new(),
            endpoints: TunnelEndpoints::default(),
            pod_tunnels: HashMap::new(),
        }
    }

    /// Sets the labels of the namespace. Returns whether they changed.
    pub fn namespace(&mut self, labels: Option<BTreeMap<String, String>>) -> bool {
        let is_changed = self.labels != labels;
        self.labels = labels;
        is_changed
    }

    pub fn pod(&mut self, name: &str, pod: Option<PodInfo>) -> Vec<Requeue> {
        if self.pods.get(name) == pod.as_ref() {
            return Vec::new();
        }
        let node = |pod: Option<&PodInfo>| pod.and_then(|pod| pod.node.clone());
        let nodes = [node(self.pods.get(name)), node(pod.as_ref())];
        put(&mut self.pods, name, pod);
        let mut requeues = self.update_pod(name);
        // The near-miss message of PodConfigs without pods may change.
        let idle = self
            .configs
            .iter()
            .filter(|(_, config)| config.summary.is_empty());
        requeues.extend(
            idle.map(|(name, _)| ReconcileKey::status(&self.name, name).after(Delay::Batch)),
        );
        for node in nodes.into_iter().flatten().collect::<BTreeSet<_>>() {
            requeues.extend(self.unreported_peers(Some(&node)));
        }
        requeues
    }

    /// Sets whether a node is reachable.
    pub fn node(&mut self, node: &str, unreachable_since: Option<&String>) -> Vec<Requeue> {
        let mut names = Vec::new();
        for (name, pod) in &mut self.pods {
            if pod.node.as_deref() == Some(node) {
                pod.unreachable_since = unreachable_since.cloned();
                names.push(name.clone());
            }
        }
        names
            .iter()
            .flat_map(|name| self.update_pod(name))
            .collect()
    }

    pub fn report(&mut self, pod: &str, report: Option<ReportInfo>) -> Vec<Requeue> {
        put(&mut self.reports, pod, report);
        let mut requeues = self.update_pod(pod);
        if let Some(node) = self.pods.get(pod).and_then(|pod| pod.node.as_deref()) {
            requeues.extend(self.unreported_peers(Some(node)));
        }
        requeues
    }

    pub fn config(&mut self, name: &str, read: Option<Box<Read<PodConfig>>>) -> Vec<Requeue> {
        let before = self.configs.remove(name);
        let mut requeues = Vec::new();
        let mut bridges = before.as_ref().map(|config| config.bridges.clone());
        if let Some(read) = read {
            let mut config = ConfigState::new(*read);
            if !before.is_some_and(|before| config.take_over(before)) {
                for (name, pod) in &self.pods {
                    config.update_pod(name, Some(pod), self.reports.get(name));
                }
            }
            requeues.push(ReconcileKey::status(&self.name, name).after(config.summary.delay()));
            bridges
                .get_or_insert_default()
                .extend(config.bridges.iter().cloned());
            self.configs.insert(name.to_owned(), config);
        }
        requeues.extend(self.on_bridges(&bridges.unwrap_or_default()));
        requeues.extend(self.unreported_peers(None));
        requeues
    }

    pub fn allowance(
        &mut self,
        name: &str,
        read: Option<Box<Read<PodConfigAllowanceSpec>>>,
    ) -> Vec<Requeue> {
        if name != EFFECTIVE {
            return Vec::new();
        }
        self.allowance = read.map(|read| read.ok());
        // A deleted allowance is recreated at once.
        vec![ReconcileKey::allowance(&self.name).after(Delay::Now)]
    }

    pub fn slice(&mut self, name: &str, read: Option<Read<PeerSliceSpec>>) -> Vec<Requeue> {
        let of = |spec: Option<&PeerSliceSpec>| segment_of(name, spec);
        let before = self.slices.get(name).and_then(|spec| of(spec.as_ref()));
        let read = read.map(Read::ok);
        let after = read.as_ref().and_then(|spec| of(spec.as_ref()));
        put_sorted(&mut self.slices, name, read);
        let segments = BTreeSet::from_iter(before.into_iter().chain(after));
        let requeue = |segment| ReconcileKey::peers(&self.name, segment).after(Delay::Now);
        segments.into_iter().map(requeue).collect()
    }

    /// Keys that depend on the policies. In a new namespace that no policy selects, the allowance is delayed: the
    /// policy may follow.
    pub fn by_policy<'a>(
        &self,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
    ) -> Vec<Requeue> {
        let is_new = self.allowance.is_none() && self.selected(policies).is_empty();
        let delay = if is_new {
            Delay::PolicyGrace
        } else {
            Delay::Now
        };
        let allowance = ReconcileKey::allowance(&self.name).after(delay);
        let slices = self.slices.iter();
        let slices = slices.filter_map(|(name, spec)| segment_of(name, spec.as_ref()));
        let segments: BTreeSet<SegmentKey> = self.endpoints.segments().chain(slices).collect();
        let peers = segments.into_iter();
        let peers = peers.map(|segment| ReconcileKey::peers(&self.name, segment).after(Delay::Now));
        std::iter::once(allowance).chain(peers).collect()
    }

    pub fn all<'a>(
        &self,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
        nodes: &HashSet<String>,
    ) -> Vec<Requeue> {
        let statuses = self.statuses();
        let orphans = self.reports.keys();
        let orphans = orphans.filter(|pod| self.orphan(pod, Some(nodes)).is_some());
        let deletions = orphans
            .map(|pod| ReconcileKey::orphan_report(&self.name, pod).after(Delay::OrphanGrace));
        let requeues = self.by_policy(policies).into_iter();
        requeues.chain(statuses).chain(deletions).collect()
    }

    pub fn count(&self, kind: ObjectKind) -> usize {
        match kind {
            ObjectKind::Namespace => usize::from(self.labels.is_some()),
            ObjectKind::Pod => self.pods.len(),
            ObjectKind::PodConfig => self.configs.len(),
            ObjectKind::PodReport => self.reports.len(),
            ObjectKind::PodConfigAllowance => usize::from(self.allowance.is_some()),
            ObjectKind::PeerSlice => self.slices.len(),
            _ => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        ObjectKind::ALL.iter().all(|kind| self.count(*kind) == 0)
    }

    /// The PodConfigs with a range that contains this address.
    pub fn giving_out(&self, address: &(String, IpAddr)) -> impl Iterator<Item = Requeue> {
        let configs = self.configs.iter();
        let affected = configs.filter(|(_, config)| config.gives_out(address));
        affected.map(|(name, _)| ReconcileKey::status(&self.name, name).after(Delay::Batch))
    }

    /// The policies that select the namespace.
    pub fn selected<'a>(
        &self,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
    ) -> Vec<&'a PodConfigPolicy> {
        let labels = self.labels.as_ref();
        labels.map_or_else(Vec::new, |labels| {
            policy::selecting(policies, labels).policies
        })
    }

    pub fn statuses(&self) -> Vec<Requeue> {
        let configs = self.configs.iter();
        configs
            .map(|(name, config)| {
                ReconcileKey::status(&self.name, name).after(config.summary.delay())
            })
            .collect()
    }

    /// The status update of a PodConfig. `conflicts`: messages about networks that its links would overlap.
    pub fn status_action(
        &self,
        name: &str,
        conflicts: impl Fn(&PodConfig) -> Vec<String>,
        claimed: &ClaimedAddresses,
        now: SystemTime,
    ) -> Option<Action> {
        let config = self.configs.get(name)?;
        let troubles_of = |pod| {
            let info = self.pods.get(pod);
            let troubles = info.map(|info| config.troubles(pod, info, self.reports.get(pod)));
            troubles.unwrap_or_default()
        };
        let remark = self.remark(config);
        let status = config.status((troubles_of, conflicts), remark, claimed, now)?;
        Some(Action::UpdateStatus {
            namespace: self.name.clone(),
            name: name.to_owned(),
            uid: config.uid().to_owned(),
            status: status.into(),
        })
    }

    pub fn written(&mut self, name: &str, status: &PodConfigStatus) {
        if let Some(config) = self.configs.get_mut(name) {
            config.written(status);
        }
    }

    pub fn allowed<'a>(
        &self,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
        installation: &str,
    ) -> Option<Action> {
        let spec = PodConfigAllowanceSpec {
            installation: installation.to_owned(),
            ..effective(policies, self.labels.as_ref()?)
        };
        let is_up_to_date = matches!(&self.allowance, Some(Some(current)) if *current == spec);
        (!is_up_to_date).then(|| Action::ApplyAllowance {
            namespace: self.name.clone(),
            spec: spec.into(),
        })
    }

    /// Updates everything that depends on this pod or its report.
    fn update_pod(&mut self, name: &str) -> Vec<Requeue> {
        let (pod, report) = (self.pods.get(name), self.reports.get(name));
        let mut requeues = Vec::new();
        let mut bridges = BTreeSet::new();
        for (config_name, config) in &mut self.configs {
            let nodes = config.nodes().count();
            if config.update_pod(name, pod, report) {
                requeues.push(
                    ReconcileKey::status(&self.name, config_name).after(config.summary.delay()),
                );
            }
            if config.nodes().count() != nodes {
                bridges.extend(config.bridges.iter().cloned());
            }
        }
        requeues.extend(self.on_bridges(&bridges));
        if self.orphan(name, None).is_some() {
            requeues.push(ReconcileKey::orphan_report(&self.name, name).after(Delay::OrphanGrace));
        }
        requeues.extend(self.update_endpoints(name));
        requeues
    }
}

fn put<V>(map: &mut HashMap<String, V>, name: &str, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.remove(name)),
    }
}

fn put_sorted<V>(map: &mut BTreeMap<String, V>, name: &str, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.remove(name)),
    }
}
