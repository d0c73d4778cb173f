//! The pods of this node with the objects of the sources: which pods there are, and what limits the
//! links that the objects request for them.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crds::{PodConfig, PodConfigPolicy};
use store::{Stores, scope::precedence::Earlier};

use super::{
    outcome::LocalPod,
    pod_quota::PodQuota,
    pods::{Pods, RecordedPod},
};

pub struct Objects {
    /// The name of this installation.
    pub installation: String,
    pub stores: Stores,
    pub pods: Pods,
    quota: PodQuota,
    /// Installations that have precedence in namespaces.
    earlier: Earlier,
}

/// The objects at the start of a pass, read once for all of its pods.
pub struct ObjectSnapshot {
    pub policies: Vec<Arc<PodConfigPolicy>>,
    configs: HashMap<String, NamespaceConfigs>,
    /// The uids of all pods in the source; `None`: one of them has no uid.
    pub uids: OnceCell<Option<HashSet<String>>>,
}

/// The PodConfigs of a namespace, by a label that they require: with a PodConfig for each pod, none
/// is matched with all the others.
#[derive(Default)]
pub struct NamespaceConfigs {
    /// By key, then by value: those that only require labels.
    requiring: HashMap<String, HashMap<String, Vec<Arc<PodConfig>>>>,
    others: Vec<Arc<PodConfig>>,
}

impl NamespaceConfigs {
    pub fn new(configs: Vec<Arc<PodConfig>>) -> Self {
        let mut found = Self::default();
        for config in configs {
            let selector = &config.spec.pod_selector;
            let has_expressions = selector.match_expressions.iter().any(|all| !all.is_empty());
            let labels = selector.match_labels.as_ref().filter(|_| !has_expressions);
            match labels.and_then(BTreeMap::first_key_value) {
                Some((key, value)) => {
                    let of_key = found.requiring.entry(key.clone()).or_default();
                    of_key.entry(value.clone()).or_default().push(config);
                }
                None => found.others.push(config),
            }
        }
        found
    }

    /// Those that may select a pod with these labels.
    pub fn of(&self, labels: &BTreeMap<String, String>) -> Vec<Arc<PodConfig>> {
        let requiring = labels
            .iter()
            .filter_map(|(key, value)| self.requiring.get(key)?.get(value));
        requiring.flatten().chain(&self.others).cloned().collect()
    }
}

impl ObjectSnapshot {
    /// The PodConfigs that may select this pod.
    pub fn configs_for(&mut self, pod: &LocalPod, stores: &Stores) -> Vec<Arc<PodConfig>> {
        let configs = self.configs.entry(pod.namespace.clone());
        let read = || NamespaceConfigs::new(stores.podconfigs_of(&pod.namespace));
        configs.or_insert_with(read).of(&pod.labels)
    }
}

impl Objects {
    pub fn new(installation: &str, stores: Stores, pods: Pods) -> Self {
        Self {
            installation: installation.to_owned(),
            stores,
            pods,
            quota: PodQuota::default(),
            earlier: Earlier::default(),
        }
    }

    pub fn snapshot(&self) -> ObjectSnapshot {
        ObjectSnapshot {
            policies: self.stores.policies(),
            configs: HashMap::new(),
            uids: OnceCell::new(),
        }
    }

    /// All pods that records or objects name.
    pub fn all_uids(&self) -> BTreeSet<String> {
        let objects = self.stores.pods();
        let of_objects = objects.iter().filter_map(|pod| pod.metadata.uid.clone());
        self.pods.uids().into_iter().chain(of_objects).collect()
    }

    /// A pod by its newest record, joined with its object.
    pub fn recorded(&self, uid: &str) -> Option<RecordedPod> {
        self.pods.recorded(uid, &self.stores)
    }

    /// Whether the pod's object is gone before its sandbox: it keeps its links while they are
    /// requested, until the sandbox ends as well.
    pub fn is_deleted(&self, known: &RecordedPod) -> bool {
        let pod = &known.pod;
        self.stores.knows_all_pods() && self.stores.pod(&pod.namespace, &pod.name).is_none()
    }

    /// Schedules a count of a namespace's pods against its limit.
    pub fn count_again(&mut self, namespace: &str) {
        self.quota.count_again(namespace);
    }

    pub fn count_all_again(&mut self) {
        self.quota.count_all_again(self.pods.namespaces());
    }

    /// Counts changed namespaces; returns the pods that this concerns.
    pub fn count(&mut self) -> Vec<String> {
        self.quota.count(&mut self.pods, &self.stores)
    }

    /// The position of a pod, if it is beyond the limit of its namespace; otherwise 0.
    pub fn place(&self, namespace: &str, uid: &str) -> usize {
        self.quota.place(namespace, uid)
    }

    /// Updates which installations have precedence; returns whether that has changed.
    pub fn refresh_precedence(&mut self) -> bool {
        let scope = self.pods.scope();
        let earlier = Earlier::than(&self.installation, scope, &self.stores.served());
        let has_changed = earlier != self.earlier;
        self.earlier = earlier;
        has_changed
    }

    /// The installation with precedence that serves the namespace, if any.
    pub fn earlier_server(&self, namespace: &str) -> Option<&str> {
        self.earlier.server_of(namespace)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
