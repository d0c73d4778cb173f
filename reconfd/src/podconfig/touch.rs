//! What the sources said: whom it concerns. The next pass looks at them.

use kube::core::SelectorExt as _;

use super::{Controller, policy, probes::Probes, tell::Telling};
use crate::source::Trigger;

impl Controller {
    /// What the sources said since the last look.
    pub(super) fn take_changes(&mut self) {
        while let Ok(change) = self.inbox.changes.try_recv() {
            match change {
                Trigger::PodConfig { namespace, name } => {
                    self.touch_selected(&namespace, &name);
                    self.touch_orphans();
                    self.unsure.insert(namespace.clone());
                    self.quota.count_again(&namespace);
                    self.to_tell.push(Telling::PodConfig { namespace, name });
                }
                Trigger::Pod { namespace, name } => {
                    self.touch(self.pods.uids_of(&namespace, &name));
                    // Its object was one of two that spoke of it.
                    self.dirty.extend(self.orphans.iter().cloned());
                    self.quota.count_again(&namespace);
                    self.seek_in(&namespace);
                }
                Trigger::Claims { uid } => self.touch([uid]),
                Trigger::Hint { namespace, .. } => self.seek_in(&namespace),
                Trigger::Namespace(namespace) => {
                    self.touch_namespace(&namespace);
                    self.quota.count_again(&namespace);
                    self.unsure.insert(namespace);
                }
                Trigger::Records(file) => {
                    let touched = match file {
                        Some(file) => self.read_record(&file),
                        None => self.read_records(),
                    };
                    self.touch(touched);
                }
                Trigger::PeerSlice {
                    namespace,
                    vni,
                    port,
                } => self.touch_found(&namespace, vni, port),
                Trigger::Policy => {
                    self.touch_all();
                    self.count_all_again();
                }
                Trigger::ReservedNetworks | Trigger::NodeNetworks => self.look_at_networks(),
                Trigger::Probed(uid) => {
                    self.probes.iter_mut().for_each(Probes::take);
                    self.dirty.insert(uid);
                }
                Trigger::All => {
                    self.read_records();
                    self.touch_all();
                    self.count_all_again();
                    self.to_tell.push(Telling::AllPodConfigs);
                }
            }
        }
    }

    pub(super) fn touch(&mut self, uids: impl IntoIterator<Item = String>) {
        self.dirty.extend(uids);
    }

    pub(super) fn touch_namespace(&mut self, namespace: &str) {
        self.dirty.extend(self.pods.uids_in(namespace));
    }

    /// The pods that a PodConfig selects, and those where it asked for something before.
    pub(super) fn touch_selected(&mut self, namespace: &str, name: &str) {
        let config = self.stores.podconfig(namespace, name);
        let selector = config
            .as_ref()
            .and_then(|config| policy::selector(&config.spec.pod_selector).ok());
        for uid in self.pods.uids_in(namespace) {
            let asked = self
                .settled
                .get(&uid)
                .is_none_or(|settled| settled.configs.contains(name));
            let labels = || self.pods.labels(&uid, &self.stores);
            if asked
                || selector
                    .as_ref()
                    .is_some_and(|selector| selector.matches(&labels()))
            {
                self.dirty.insert(uid);
            }
        }
    }

    pub(super) fn touch_all(&mut self) {
        self.dirty.extend(self.pods.uids());
        self.dirty.extend(self.settled.keys().cloned());
        self.dirty.extend(self.machine.pods_with_links());
        self.doubt_all();
    }

    pub(super) fn doubt_all(&mut self) {
        let objects = self.stores.pods();
        let namespaces = objects
            .iter()
            .filter_map(|pod| pod.metadata.namespace.clone());
        let told = self.unrecorded.values().map(|pod| pod.namespace.clone());
        self.unsure.extend(namespaces.chain(told));
    }

    /// Pods whose links are there and whose record is not.
    pub(super) fn touch_orphans(&mut self) {
        let orphans = self
            .machine
            .pods_with_links()
            .into_iter()
            .filter(|uid| !self.pods.has(uid));
        self.dirty.extend(orphans.collect::<Vec<_>>());
    }
}
