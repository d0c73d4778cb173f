//! The fields of a pod that podconfig reads. All others, most of a pod's bytes, are skipped when it is parsed, so
//! that a watch of many pods costs little.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Which containers may administer the network.
mod net_admin;
pub use net_admin::{Administrator, NetAdmin};

/// The readiness gate of pods that wait for their links.
pub const READINESS_GATE: &str = "podconfig.dev/ready";

/// The annotation by which a pod requests networks, as Multus reads it.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

/// The annotation in which Multus lists a pod's interfaces.
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, kube::Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
pub struct Pod {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(default)]
    pub host_network: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readiness_gates: Vec<ReadinessGate>,
    /// `false`: the pod has a user namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_users: Option<bool>,
    /// The containers with `NET_ADMIN`, of each list; `None` where the object has no list of containers.
    #[serde(
        default,
        skip_serializing,
        deserialize_with = "net_admin::named_administrators"
    )]
    pub containers: Option<Vec<Administrator>>,
    #[serde(
        default,
        skip_serializing,
        deserialize_with = "net_admin::administrators"
    )]
    pub init_containers: Vec<Administrator>,
    #[serde(
        default,
        skip_serializing,
        deserialize_with = "net_admin::administrators"
    )]
    pub ephemeral_containers: Vec<Administrator>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessGate {
    pub condition_type: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    #[serde(
        default,
        rename = "podIPs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "addresses"
    )]
    pub pod_ips: Vec<PodIp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<PodCondition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIp {
    pub ip: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCondition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Pod {
    /// Compares only used fields: the status of a running pod changes all the time.
    pub fn has_same_fields(old: &Self, new: &Self) -> bool {
        let annotations = |pod: &Self| {
            let networks = pod.annotation(NETWORKS).map(str::to_owned);
            // Before it runs, its networks are Multus' to attach.
            let is_running = networks.is_some() && pod.is_running();
            let status = pod.annotation(NETWORK_STATUS).map(str::to_owned);
            (networks, status, is_running)
        };
        let awaits_gate = |pod: &Self| pod.waits_for_links();
        let used_fields = |pod: &Self| {
            let gate = pod.gate().cloned();
            (gate, pod.has_ended(), annotations(pod), awaits_gate(pod))
        };
        let is_going = |pod: &Self| pod.metadata.deletion_timestamp.is_some();
        old.metadata.uid == new.metadata.uid
            && old.metadata.labels == new.metadata.labels
            && old.spec == new.spec
            && old.status.pod_ips == new.status.pod_ips
            && is_going(old) == is_going(new)
            && used_fields(old) == used_fields(new)
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    }

    /// Whether its containers run. A manifest that states no phase is that of a running pod.
    pub fn is_running(&self) -> bool {
        matches!(self.status.phase.as_deref(), None | Some("Running"))
    }

    /// Whether the pod becomes ready only with its links.
    pub fn has_gate(&self) -> bool {
        let mut gates = self.spec.readiness_gates.iter();
        gates.any(|gate| gate.condition_type == READINESS_GATE)
    }

    /// Whether only its links keep the pod from being ready.
    pub fn waits_for_links(&self) -> bool {
        self.has_gate() && self.has_ready_containers()
    }

    /// The pod's condition of the gate.
    pub fn gate(&self) -> Option<&PodCondition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|condition| condition.type_ == READINESS_GATE)
    }

    /// Whether only readiness gates keep the pod from being ready.
    pub fn has_ready_containers(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|one| one.type_ == "ContainersReady" && one.status == "True")
    }

    /// Whether the pod has `NET_ADMIN`, according to its object.
    pub fn net_admin(&self) -> NetAdmin {
        NetAdmin::of(&self.spec)
    }

    /// Whether its containers have ended for good; its links are no longer reconciled.
    pub fn has_ended(&self) -> bool {
        matches!(
            self.status.phase.as_deref(),
            Some("Succeeded") | Some("Failed")
        )
    }
}

/// A list that an API server leaves out or, in old versions, sends as `null`.
fn addresses<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<PodIp>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_read_from_what_an_api_server_says() -> Result<(), serde_json::Error> {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "t", "uid": "u"},
            "spec": {
                "containers": [{"name": "c", "image": "i"}], "nodeName": "n0", "hostNetwork": true,
                "readinessGates": [{"conditionType": READINESS_GATE}],
            },
            "status": {
                "phase": "Running", "podIPs": [{"ip": "10.0.0.1"}],
                "conditions": [{"type": READINESS_GATE, "status": "False", "lastProbeTime": null}],
            },
        }))?;
        assert_eq!(pod.spec.node_name.as_deref(), Some("n0"));
        assert!(pod.spec.host_network && pod.has_gate() && !pod.has_ended());
        assert_eq!(pod.status.pod_ips[0].ip, "10.0.0.1");
        assert_eq!(pod.gate().map(|gate| gate.status.as_str()), Some("False"));
        Ok(())
    }

    #[test]
    fn the_metadata_of_a_pod_is_enough() -> Result<(), serde_json::Error> {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a"}}))?;
        assert!(!pod.has_gate() && pod.gate().is_none() && !pod.spec.host_network);
        Ok(())
    }
}
