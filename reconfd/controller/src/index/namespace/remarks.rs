//! Pure: messages of PodConfigs without trouble.

use std::collections::BTreeSet;

use super::NamespaceState;
use crate::{
    index::{bridges, config::ConfigState},
    reconcile_key::{Delay, ReconcileKey, Requeue},
};

impl NamespaceState {
    /// Why no pod is selected, or which links do not reach other nodes.
    pub(super) fn remark(&self, config: &ConfigState) -> String {
        if config.summary.is_empty() {
            let pods = self.pods.values().filter(|pod| pod.is_active);
            return config.near_miss(pods.map(|pod| &pod.labels));
        }
        let warnings = config.bridges.iter().filter_map(|bridge| {
            let others = self.configs.values();
            let others = others.filter(|other| other.bridges.contains(bridge));
            bridges::warning(bridge, &others.flat_map(ConfigState::nodes).collect())
        });
        warnings.collect::<Vec<_>>().join("; ")
    }

    /// The PodConfigs with links on one of these bridges.
    pub(super) fn on_bridges(&self, bridges: &BTreeSet<String>) -> Vec<Requeue> {
        let configs = self.configs.iter();
        let affected = configs.filter(|(_, config)| !config.bridges.is_disjoint(bridges));
        affected
            .map(|(name, _)| ReconcileKey::status(&self.name, name).after(Delay::Batch))
            .collect()
    }
}
