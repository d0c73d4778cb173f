//! Pure: policies, and whether PodConfigs depend on them.

use crds::PodConfigPolicy;

use super::{Picture, Read};
use crate::controller::{
    deed::Deed,
    job::{Job, Kind, Mark, Wait},
};

impl Picture {
    /// A policy that cannot be read stays what it was.
    pub(super) fn policy(
        &mut self,
        name: String,
        read: Option<Box<Read<PodConfigPolicy>>>,
    ) -> Vec<Mark> {
        let own = Job::policy_use(&name).after(Wait::Soon);
        match read.map(|read| *read) {
            Some(Err(_)) => return Vec::new(),
            Some(Ok(policy)) => {
                let before = self.policies.insert(name, policy.clone());
                // Its status changes nothing of what it says.
                if before.is_some_and(|before| before.spec == policy.spec) {
                    return vec![own];
                }
            }
            None => drop(self.policies.remove(&name)),
        }
        let spaces = self.spaces.values();
        let marks = spaces.flat_map(|space| space.by_policy(self.policies.values()));
        marks.chain([own]).collect()
    }

    /// Which policies are in use may be another thing now.
    pub(super) fn uses(&self) -> impl Iterator<Item = Mark> {
        let names = self.policies.keys();
        names.map(|name| Job::policy_use(name).after(Wait::Soon))
    }

    pub(super) fn policy_use(&self, name: &str) -> Option<Deed> {
        let policy = self.policies.get(name)?;
        let mut spaces = self.spaces.values();
        let in_use = spaces.any(|space| {
            space.count(Kind::PodConfig) > 0 && !space.selected(std::iter::once(policy)).is_empty()
        });
        let users = policy.status.as_ref().map(|status| &status.in_use_by);
        let is_said = users.is_some_and(|users| users.contains(&self.installation));
        (in_use != is_said).then(|| Deed::PolicyUse {
            name: name.to_owned(),
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            installation: self.installation.clone(),
            in_use,
        })
    }
}
