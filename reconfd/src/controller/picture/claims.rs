//! Pure: the claims to addresses, and those of nodes that are gone.

use std::collections::{BTreeMap, HashSet};

use crate::controller::{
    deed::Deed,
    job::{Job, Mark, Wait},
    seen::Claimed,
};

/// By the claim's name.
#[derive(Default)]
pub struct Claims(BTreeMap<String, Claimed>);

impl Claims {
    pub fn take(
        &mut self,
        name: &str,
        claim: Option<Claimed>,
        nodes: &HashSet<String>,
    ) -> Vec<Mark> {
        let Some(claim) = claim else {
            self.0.remove(name);
            return Vec::new();
        };
        let is_strange = !nodes.contains(&claim.node);
        self.0.insert(name.to_owned(), claim);
        is_strange.then(|| mark(name)).into_iter().collect()
    }

    /// A node is gone.
    pub fn of_node(&self, node: &str) -> Vec<Mark> {
        let claims = self.0.iter().filter(|(_, claim)| claim.node == node);
        claims.map(|(name, _)| mark(name)).collect()
    }

    /// Those of no node.
    pub fn all(&self, nodes: &HashSet<String>) -> Vec<Mark> {
        let claims = self.0.iter();
        let strange = claims.filter(|(_, claim)| !nodes.contains(&claim.node));
        strange.map(|(name, _)| mark(name)).collect()
    }

    /// Whether the pod that has it is gone as well is seen when it is looked at.
    pub fn orphan(&self, name: &str, nodes: &HashSet<String>) -> Option<Deed> {
        let claim = self.0.get(name)?;
        let is_strange = !nodes.contains(&claim.node);
        is_strange.then(|| Deed::SweepClaim {
            name: name.to_owned(),
            claim: claim.clone(),
        })
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn mark(name: &str) -> Mark {
    Job::sweep_claim(name).after(Wait::Grace)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn claim(node: &str) -> Claimed {
        Claimed {
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
        let (mut claims, mut nodes) = (Claims::default(), HashSet::from(["n0".to_owned()]));
        let name = "cluster.10.99.0.1";
        assert!(claims.take(name, Some(claim("n0")), &nodes).is_empty());
        assert_eq!(claims.orphan(name, &nodes), None);
        nodes.clear();
        assert_eq!(claims.of_node("n0"), [mark(name)]);
        assert_eq!(claims.all(&nodes), [mark(name)]);
        assert!(claims.orphan(name, &nodes).is_some());
        claims.take(name, None, &nodes);
        assert_eq!((claims.orphan(name, &nodes), claims.len()), (None, 0));
    }
}
