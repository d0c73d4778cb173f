//! Pure: which pod takes an address over from which. Both belong to one controller, which replaces its pods by new
//! ones of other names.

use crds::claim::ClaimSuccessor;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

/// Controllers that give their pods new names, so that no pod comes back. A StatefulSet's pods come back.
const ALWAYS_NEW: [&str; 4] = ["ReplicaSet", "DaemonSet", "Job", "ReplicationController"];
/// Label with the hash that a Deployment appends to the names of its ReplicaSets.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The properties of a pod that decide which pod it succeeds, and which succeeds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Its controller, such as `Deployment/web`; empty: it has no successor, and is none.
    pub controller: String,
    /// The owner, which differs before and after a rollout.
    pub revision: String,
    pub created: Option<Time>,
    pub is_ending: bool,
    /// Its containers are ready, and only the readiness gate keeps the pod from being ready.
    pub waits: bool,
}

impl Lineage {
    /// The lineage of a pod; `waits`: only its readiness gate keeps it from being ready.
    pub fn of(pod: &ObjectMeta, waits: bool) -> Self {
        let owners = pod.owner_references.iter().flatten();
        let mut controllers = owners.filter(|owner| owner.controller == Some(true));
        let Some(owner) = controllers.find(|owner| ALWAYS_NEW.contains(&owner.kind.as_str()))
        else {
            return Self::default();
        };
        let labels = pod.labels.as_ref();
        let hash = labels.and_then(|labels| labels.get(TEMPLATE_HASH));
        let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str()));
        let deployment = deployment.and_then(|name| name.strip_suffix('-'));
        Self {
            controller: match deployment {
                Some(name) if owner.kind == "ReplicaSet" => format!("Deployment/{name}"),
                _ => format!("{}/{}", owner.kind, owner.name),
            },
            revision: owner.name.clone(),
            created: pod.creation_timestamp.clone(),
            is_ending: pod.deletion_timestamp.is_some(),
            waits,
        }
    }

    /// Whether a pod of this name may have existed before.
    pub fn may_return(&self) -> bool {
        self.controller.is_empty()
    }

    /// Whether the address is to be handed over now, to a younger pod: the holder is terminating, or the younger pod
    /// has another revision and only lacks the address. The order by age prevents two pods from taking it from each
    /// other in turn, and a stale entry of an old pod that is gone takes nothing from its successor.
    pub fn yields_to(&self, successor: &ClaimSuccessor) -> bool {
        let born = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        let is_younger = self.created.is_some() && born(&successor.created) > born(&self.created);
        let is_rollout = successor.waits && successor.revision != self.revision;
        !self.controller.is_empty() && is_younger && (self.is_ending || is_rollout)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(kind: &str, owner: &str) -> Lineage {
        let metadata = json!({"name": "p", "namespace": "t", "uid": "u",
            "creationTimestamp": "2026-01-31T12:00:00Z", "labels": {"pod-template-hash": "5d9"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "o", "controller": true}]});
        Lineage::of(&serde_json::from_value(metadata).unwrap(), false)
    }

    #[test]
    fn the_replica_sets_of_a_deployment_are_one_controller_and_a_pod_that_comes_back_has_none() {
        let controller = |kind, owner| pod(kind, owner).controller;
        assert_eq!(controller("ReplicaSet", "web-5d9"), "Deployment/web");
        assert_eq!(controller("ReplicaSet", "web-6aa"), "ReplicaSet/web-6aa");
        assert_eq!(controller("DaemonSet", "web"), "DaemonSet/web");
        assert_eq!(controller("StatefulSet", "web"), "");
    }

    #[test]
    fn a_running_pod_yields_to_a_younger_one_of_another_revision_that_lacks_nothing_else() {
        let own = pod("ReplicaSet", "web-5d9");
        let ending = Lineage {
            is_ending: true,
            ..own.clone()
        };
        let successor = |revision: &str, created: &str, waits| {
            let pod = json!({"namespace": "t", "name": "n", "uid": "n"});
            let next = json!({"pod": pod, "link": "data0", "node": "n1", "revision": revision,
                "created": created, "waits": waits});
            serde_json::from_value::<ClaimSuccessor>(next).unwrap()
        };
        let (later, earlier) = ("2026-01-31T12:00:09Z", "2026-01-31T11:00:00Z");
        assert!(own.yields_to(&successor("web-6aa", later, true)));
        for other in [
            successor("web-6aa", later, false),
            successor("web-5d9", later, true),
        ] {
            assert!(!own.yields_to(&other), "{other:?}");
            assert!(ending.yields_to(&other), "{other:?}");
        }
        let older = successor("web-6aa", earlier, true);
        assert!(!own.yields_to(&older) && !ending.yields_to(&older));
    }
}
