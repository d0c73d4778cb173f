//! Pure: policies, and whether PodConfigs use them.

use crds::PodConfigPolicy;
use store::kinds::ObjectKind;

use super::{ClusterIndex, Read};
use crate::{
    action::Action,
    reconcile_key::{Delay, ReconcileKey, Requeue},
};

impl ClusterIndex {
    /// A policy that cannot be parsed keeps its previous state.
    pub(super) fn policy(
        &mut self,
        name: String,
        read: Option<Box<Read<PodConfigPolicy>>>,
    ) -> Vec<Requeue> {
        let own = ReconcileKey::policy_use(&name).after(Delay::Batch);
        match read.map(|read| *read) {
            Some(Err(_)) => return Vec::new(),
            Some(Ok(policy)) => {
                let before = self.policies.insert(name, policy.clone());
                // A status update affects nothing else.
                if before.is_some_and(|before| before.spec == policy.spec) {
                    return vec![own];
                }
            }
            None => drop(self.policies.remove(&name)),
        }
        let namespaces = self.namespaces.values();
        let requeues = namespaces.flat_map(|state| state.by_policy(self.policies.values()));
        requeues.chain([own]).collect()
    }

    /// The use of all policies may have changed.
    pub(super) fn uses(&self) -> impl Iterator<Item = Requeue> {
        let names = self.policies.keys();
        names.map(|name| ReconcileKey::policy_use(name).after(Delay::Batch))
    }

    /// Adds this installation to `inUseBy`, or removes it.
    pub(super) fn policy_use(&self, name: &str) -> Option<Action> {
        let policy = self.policies.get(name)?;
        let mut namespaces = self.namespaces.values();
        let in_use = namespaces.any(|state| {
            state.count(ObjectKind::PodConfig) > 0
                && !state.selected(std::iter::once(policy)).is_empty()
        });
        let users = policy.status.as_ref().map(|status| &status.in_use_by);
        let is_recorded = users.is_some_and(|users| users.contains(&self.installation));
        (in_use != is_recorded).then(|| Action::UpdatePolicyUse {
            name: name.to_owned(),
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            installation: self.installation.clone(),
            in_use,
        })
    }
}
