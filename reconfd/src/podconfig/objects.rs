//! The pods of this node with the objects of the sources: which pods there are, and what limits the
//! links that the objects request for them.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crds::{PodConfig, PodConfigPolicy};
use store::{Stores, scope::precedence::Earlier};

use super::{
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
    pub configs: HashMap<String, Vec<Arc<PodConfig>>>,
    /// The uids of all pods in the source; `None`: one of them has no uid.
    pub uids: OnceCell<Option<HashSet<String>>>,
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
