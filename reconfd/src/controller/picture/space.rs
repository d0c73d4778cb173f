//! Pure: one namespace, with all that is in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    time::SystemTime,
};

use crds::{
    PeerSliceSpec, PodConfig, PodConfigAllowanceSpec, PodConfigPolicy, PodConfigStatus,
    allowance::EFFECTIVE, report::Tunnel,
};

use super::{Read, config::Config, ranges::Taken};
use crate::{
    controller::{
        allowance::effective,
        deed::{Deed, Orphan},
        job::{Job, Kind, Mark, Segment, Wait},
        peers::Ends,
        seen::{Seen, Told},
        sweep::is_orphan,
    },
    podconfig::policy,
};

/// Where tunnels end.
mod ends;
/// What is worth knowing although nothing is lacking.
mod remarks;
use ends::segment;

pub struct Space {
    name: String,
    /// `None`: the namespace is not there, or not for long.
    labels: Option<BTreeMap<String, String>>,
    pods: HashMap<String, Seen>,
    reports: HashMap<String, Told>,
    configs: BTreeMap<String, Config>,
    /// `None`: there is none. `Some(None)`: it cannot be read.
    allowance: Option<Option<PodConfigAllowanceSpec>>,
    slices: BTreeMap<String, Option<PeerSliceSpec>>,
    ends: Ends,
    /// What each pod adds to them: its node and its tunnels.
    adds: HashMap<String, (String, Vec<Tunnel>)>,
}

impl Space {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: None,
            pods: HashMap::new(),
            reports: HashMap::new(),
            configs: BTreeMap::new(),
            allowance: None,
            slices: BTreeMap::new(),
            ends: Ends::default(),
            adds: HashMap::new(),
        }
    }

    /// Takes in the namespace's labels; whether they are news.
    pub fn namespace(&mut self, labels: Option<BTreeMap<String, String>>) -> bool {
        let is_news = self.labels != labels;
        self.labels = labels;
        is_news
    }

    pub fn pod(&mut self, name: &str, pod: Option<Seen>) -> Vec<Mark> {
        if self.pods.get(name) == pod.as_ref() {
            return Vec::new();
        }
        let node = |pod: Option<&Seen>| pod.and_then(|pod| pod.node.clone());
        let nodes = [node(self.pods.get(name)), node(pod.as_ref())];
        put(&mut self.pods, name, pod);
        let mut marks = self.look_at(name);
        // Which labels come near them is another thing now.
        let idle = self
            .configs
            .iter()
            .filter(|(_, config)| config.roll.is_empty());
        marks.extend(idle.map(|(name, _)| Job::status(&self.name, name).after(Wait::Soon)));
        for node in nodes.into_iter().flatten().collect::<BTreeSet<_>>() {
            marks.extend(self.untold_ends(Some(&node)));
        }
        marks
    }

    /// Takes in whether a node answers.
    pub fn node(&mut self, node: &str, unreachable_since: Option<&String>) -> Vec<Mark> {
        let mut names = Vec::new();
        for (name, pod) in &mut self.pods {
            if pod.node.as_deref() == Some(node) {
                pod.unreachable_since = unreachable_since.cloned();
                names.push(name.clone());
            }
        }
        names.iter().flat_map(|name| self.look_at(name)).collect()
    }

    pub fn report(&mut self, pod: &str, told: Option<Told>) -> Vec<Mark> {
        put(&mut self.reports, pod, told);
        let mut marks = self.look_at(pod);
        if let Some(node) = self.pods.get(pod).and_then(|pod| pod.node.as_deref()) {
            marks.extend(self.untold_ends(Some(node)));
        }
        marks
    }

    pub fn config(&mut self, name: &str, read: Option<Box<Read<PodConfig>>>) -> Vec<Mark> {
        let before = self.configs.remove(name);
        let mut marks = Vec::new();
        let mut bridges = before.as_ref().map(|config| config.bridges.clone());
        if let Some(read) = read {
            let mut config = Config::new(*read);
            if !before.is_some_and(|before| config.succeed(before)) {
                for (name, pod) in &self.pods {
                    config.look_at(name, Some(pod), self.reports.get(name));
                }
            }
            marks.push(Job::status(&self.name, name).after(config.roll.wait()));
            bridges
                .get_or_insert_default()
                .extend(config.bridges.iter().cloned());
            self.configs.insert(name.to_owned(), config);
        }
        marks.extend(self.on_bridges(&bridges.unwrap_or_default()));
        marks.extend(self.untold_ends(None));
        marks
    }

    pub fn allowance(
        &mut self,
        name: &str,
        read: Option<Box<Read<PodConfigAllowanceSpec>>>,
    ) -> Vec<Mark> {
        if name != EFFECTIVE {
            return Vec::new();
        }
        self.allowance = read.map(|read| read.ok());
        // One that was deleted comes back at once.
        vec![Job::allowance(&self.name).after(Wait::Now)]
    }

    pub fn slice(&mut self, name: &str, read: Option<Read<PeerSliceSpec>>) -> Vec<Mark> {
        let of = |spec: Option<&PeerSliceSpec>| segment(name, spec);
        let before = self.slices.get(name).and_then(|spec| of(spec.as_ref()));
        let read = read.map(Read::ok);
        let after = read.as_ref().and_then(|spec| of(spec.as_ref()));
        put_sorted(&mut self.slices, name, read);
        let segments = BTreeSet::from_iter(before.into_iter().chain(after));
        let mark = |segment| Job::peers(&self.name, segment).after(Wait::Now);
        segments.into_iter().map(mark).collect()
    }

    /// What is to be looked at when the policies say otherwise. Of a namespace that was just made the policy
    /// may still be on its way: an allowance that allows nothing comes a while later.
    pub fn by_policy<'a>(&self, policies: impl Iterator<Item = &'a PodConfigPolicy>) -> Vec<Mark> {
        let is_new = self.allowance.is_none() && self.selected(policies).is_empty();
        let wait = if is_new { Wait::Settle } else { Wait::Now };
        let allowance = Job::allowance(&self.name).after(wait);
        let slices = self.slices.iter();
        let slices = slices.filter_map(|(name, spec)| segment(name, spec.as_ref()));
        let segments: BTreeSet<Segment> = self.ends.segments().chain(slices).collect();
        let peers = segments.into_iter();
        let peers = peers.map(|segment| Job::peers(&self.name, segment).after(Wait::Now));
        std::iter::once(allowance).chain(peers).collect()
    }

    pub fn all<'a>(
        &self,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
        nodes: &HashSet<String>,
    ) -> Vec<Mark> {
        let statuses = self.statuses();
        let orphans = self.reports.keys();
        let orphans = orphans.filter(|pod| self.orphan(pod, Some(nodes)).is_some());
        let sweeps = orphans.map(|pod| Job::sweep(&self.name, pod).after(Wait::Grace));
        let marks = self.by_policy(policies).into_iter();
        marks.chain(statuses).chain(sweeps).collect()
    }

    pub fn reports_of(&self, node: &str) -> Vec<Mark> {
        let reports = self.reports.iter().filter(|(_, told)| told.node == node);
        let mark = |(pod, _): (&String, _)| Job::sweep(&self.name, pod).after(Wait::Grace);
        reports.map(mark).collect()
    }

    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Namespace => usize::from(self.labels.is_some()),
            Kind::Pod => self.pods.len(),
            Kind::PodConfig => self.configs.len(),
            Kind::PodReport => self.reports.len(),
            Kind::PodConfigAllowance => usize::from(self.allowance.is_some()),
            Kind::PeerSlice => self.slices.len(),
            Kind::ReservedNetworks | Kind::Node | Kind::PodConfigPolicy | Kind::AddressClaim => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.count(*kind) == 0)
    }

    /// The PodConfigs of which a range may give out this address.
    pub fn giving_out(&self, address: &(String, IpAddr)) -> impl Iterator<Item = Mark> {
        let configs = self.configs.iter();
        let concerned = configs.filter(|(_, config)| config.gives_out(address));
        concerned.map(|(name, _)| Job::status(&self.name, name).after(Wait::Soon))
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

    pub fn statuses(&self) -> Vec<Mark> {
        let configs = self.configs.iter();
        configs
            .map(|(name, config)| Job::status(&self.name, name).after(config.roll.wait()))
            .collect()
    }

    /// `conflicts` says what the PodConfig's links would overlap.
    pub fn told(
        &self,
        name: &str,
        conflicts: impl Fn(&PodConfig) -> Vec<String>,
        taken: &Taken,
        now: SystemTime,
    ) -> Option<Deed> {
        let config = self.configs.get(name)?;
        let look = |pod| {
            let seen = self.pods.get(pod);
            let troubles = seen.map(|seen| config.troubles(pod, seen, self.reports.get(pod)));
            troubles.unwrap_or_default()
        };
        let remark = self.remark(config);
        let status = config.status((look, conflicts), remark, taken, now)?;
        Some(Deed::Status {
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
    ) -> Option<Deed> {
        let spec = PodConfigAllowanceSpec {
            installation: installation.to_owned(),
            ..effective(policies, self.labels.as_ref()?)
        };
        let is_there = matches!(&self.allowance, Some(Some(there)) if *there == spec);
        (!is_there).then(|| Deed::PutAllowance {
            namespace: self.name.clone(),
            spec: spec.into(),
        })
    }

    pub fn orphan(&self, pod: &str, nodes: Option<&HashSet<String>>) -> Option<Deed> {
        let told = self.reports.get(pod)?;
        is_orphan(told, self.pods.get(pod), nodes).then(|| {
            Deed::Sweep(Orphan {
                namespace: self.name.clone(),
                pod: pod.to_owned(),
                pod_uid: told.pod_uid.clone(),
                node: told.node.clone(),
                uid: told.uid.clone(),
                version: told.version.clone(),
            })
        })
    }

    /// Something about this pod or its report is new.
    fn look_at(&mut self, name: &str) -> Vec<Mark> {
        let (pod, told) = (self.pods.get(name), self.reports.get(name));
        let mut marks = Vec::new();
        let mut bridges = BTreeSet::new();
        for (config_name, config) in &mut self.configs {
            let nodes = config.nodes().count();
            if config.look_at(name, pod, told) {
                marks.push(Job::status(&self.name, config_name).after(config.roll.wait()));
            }
            if config.nodes().count() != nodes {
                bridges.extend(config.bridges.iter().cloned());
            }
        }
        marks.extend(self.on_bridges(&bridges));
        if self.orphan(name, None).is_some() {
            marks.push(Job::sweep(&self.name, name).after(Wait::Grace));
        }
        marks.extend(self.count_ends(name));
        marks
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
