//! Pure: what is worth knowing of a PodConfig although nothing is lacking.

use std::collections::BTreeSet;

use super::Space;
use crate::controller::{
    job::{Job, Mark, Wait},
    picture::{bridges, config::Config},
};

impl Space {
    /// What is worth knowing of a PodConfig although nothing is lacking.
    pub(super) fn remark(&self, config: &Config) -> String {
        if config.roll.is_empty() {
            let pods = self.pods.values().filter(|pod| pod.is_active);
            return config.near_miss(pods.map(|pod| &pod.labels));
        }
        let warnings = config.bridges.iter().filter_map(|bridge| {
            let others = self.configs.values();
            let others = others.filter(|other| other.bridges.contains(bridge));
            bridges::warning(bridge, &others.flat_map(Config::nodes).collect())
        });
        warnings.collect::<Vec<_>>().join("; ")
    }

    /// The PodConfigs with links on one of these bridges.
    pub(super) fn on_bridges(&self, bridges: &BTreeSet<String>) -> Vec<Mark> {
        let configs = self.configs.iter();
        let concerned = configs.filter(|(_, config)| !config.bridges.is_disjoint(bridges));
        concerned
            .map(|(name, _)| Job::status(&self.name, name).after(Wait::Soon))
            .collect()
    }
}
