//! Pure: index of AddressClaims; finds those of deleted nodes.

use std::collections::{BTreeMap, HashSet};

use crate::{
    action::Action,
    objects::ClaimInfo,
    reconcile_key::{Delay, ReconcileKey, Requeue},
};

/// AddressClaims by name.
#[derive(Default)]
pub struct ClaimIndex(BTreeMap<String, ClaimInfo>);

impl ClaimIndex {
    /// Inserts or removes a claim.
    pub fn update(
        &mut self,
        name: &str,
        claim: Option<ClaimInfo>,
        nodes: &HashSet<String>,
    ) -> Vec<Requeue> {
        let Some(claim) = claim else {
            self.0.remove(name);
            return Vec::new();
        };
        let is_orphan = !nodes.contains(&claim.node);
        self.0.insert(name.to_owned(), claim);
        is_orphan.then(|| requeue(name)).into_iter().collect()
    }

    /// The node was deleted.
    pub fn of_node(&self, node: &str) -> Vec<Requeue> {
        let claims = self.0.iter().filter(|(_, claim)| claim.node == node);
        claims.map(|(name, _)| requeue(name)).collect()
    }

    /// All claims of unknown nodes.
    pub fn all(&self, nodes: &HashSet<String>) -> Vec<Requeue> {
        let claims = self.0.iter();
        let orphans = claims.filter(|(_, claim)| !nodes.contains(&claim.node));
        orphans.map(|(name, _)| requeue(name)).collect()
    }

    /// The deletion of a claim of an unknown node. `apply` checks that its pod is gone, too.
    pub fn orphan(&self, name: &str, nodes: &HashSet<String>) -> Option<Action> {
        let claim = self.0.get(name)?;
        let is_orphan = !nodes.contains(&claim.node);
        is_orphan.then(|| Action::DeleteClaim {
            name: name.to_owned(),
            claim: claim.clone(),
        })
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn requeue(name: &str) -> Requeue {
    ReconcileKey::orphan_claim(name).after(Delay::OrphanGrace)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn claim(node: &str) -> ClaimInfo {
        ClaimInfo {
            domain: "cluster".into(),
            address: [10, 7, 0, 9].into(),
            uid: "claim".into(),
            version: "1".into(),
            installation: "default".into(),
            node: node.into(),
            namespace: "t".into(),
            pod: "a".into(),
            pod_uid: "pod".into(),
        }
    }

    #[test]
    fn a_claim_of_a_node_that_is_gone_is_looked_at_after_a_while() {
        let (mut claims, mut nodes) = (ClaimIndex::default(), HashSet::from(["n0".to_owned()]));
        let name = "cluster.10.99.0.1";
        assert!(claims.update(name, Some(claim("n0")), &nodes).is_empty());
        assert_eq!(claims.orphan(name, &nodes), None);
        nodes.clear();
        assert_eq!(claims.of_node("n0"), [requeue(name)]);
        assert_eq!(claims.all(&nodes), [requeue(name)]);
        assert!(claims.orphan(name, &nodes).is_some());
        claims.update(name, None, &nodes);
        assert_eq!((claims.orphan(name, &nodes), claims.len()), (None, 0));
    }
}
