//! Pure: pods, and nodes that appear, disappear or become unreachable.

use super::ClusterIndex;
use crate::{
    objects::{NodeInfo, PodInfo},
    reconcile_key::Requeue,
};

impl ClusterIndex {
    pub(super) fn pod(
        &mut self,
        namespace: &str,
        name: &str,
        pod: Option<PodInfo>,
    ) -> Vec<Requeue> {
        let pod = pod.map(|pod| {
            let node = pod.node.as_ref();
            let unreachable_since = node.and_then(|node| self.unreachable.get(node)).cloned();
            PodInfo {
                unreachable_since,
                ..pod
            }
        });
        self.within(namespace, |state| state.pod(name, pod))
    }

    pub(super) fn node(&mut self, name: String, node: Option<NodeInfo>) -> Vec<Requeue> {
        let mut requeues = Vec::new();
        let since = node
            .as_ref()
            .and_then(|node| node.unreachable_since.clone());
        if self.unreachable.get(&name) != since.as_ref() {
            let namespaces = self.namespaces.values_mut();
            requeues.extend(namespaces.flat_map(|state| state.node(&name, since.as_ref())));
            match since {
                Some(since) => drop(self.unreachable.insert(name.clone(), since)),
                None => drop(self.unreachable.remove(&name)),
            }
        }
        if node.is_some() {
            self.nodes.insert(name);
            return requeues;
        }
        self.nodes.remove(&name);
        let namespaces = self.namespaces.values();
        requeues.extend(namespaces.flat_map(|state| {
            let unreported = state.unreported_peers(Some(&name));
            state.reports_of(&name).into_iter().chain(unreported)
        }));
        requeues.extend(self.claims.of_node(&name));
        requeues
    }
}
