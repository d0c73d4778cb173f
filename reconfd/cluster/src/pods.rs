//! Writes to a pod's own status: the condition of the readiness gate, and the annotation that Multus' tools read.
//! Everything else of a pod belongs to others.

use k8s_openapi::{
    api::core::v1::Pod as ApiPod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use kubeio::write_error::WriteError;
use serde_json::{Value, json};

use store::{
    Pod,
    pod::{NETWORK_STATUS, READINESS_GATE},
};

/// Prefix of the names of own entries in the annotation.
const OWN: &str = "podconfig.dev/";
/// A member of own entries that are named after their definition. Readers ignore it.
const MARK: &str = "podconfig.dev/attached";

/// Desired status of a pod. `None`: not managed here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodStatusWrite {
    pub uid: String,
    pub gate: Option<Gate>,
    pub networks: Option<Vec<Network>>,
    /// Interfaces that others list in the annotation, and podconfig has detached.
    pub detached: Vec<String>,
}

/// The condition of the readiness gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    pub is_ready: bool,
    pub reason: String,
    pub message: String,
}

/// An interface in the network status annotation.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    Link(LinkNetwork),
    /// Of CNI plugins, as Multus writes it.
    Attachment(Value),
}

/// A link that podconfig has made itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNetwork {
    pub podconfig: String,
    pub interface: String,
    pub addresses: Vec<String>,
    pub mac: String,
    pub mtu: u32,
}

/// Whether podconfig has written this entry of the annotation.
pub fn is_own_network(entry: &Value) -> bool {
    let name = entry["name"].as_str();
    entry.get(MARK).is_some() || name.is_some_and(|name| name.starts_with(OWN))
}

/// Writes the status. Returns whether it had to be changed.
pub async fn write(
    client: &Client,
    object: Option<&Pod>,
    desired: &PodStatusWrite,
) -> Result<bool, WriteError> {
    let is_same = |pod: &&Pod| pod.metadata.uid.as_deref() == Some(&desired.uid);
    let Some(pod) = object.filter(is_same) else {
        return Err(WriteError::Gone("the pod is gone".to_owned()));
    };
    let now = Time(Timestamp::now());
    let Some(patch) = patch(pod, desired, &now) else {
        return Ok(false);
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let api: Api<ApiPod> = Api::namespaced(client.clone(), namespace);
    let patch: Patch<Value> = Patch::Strategic(patch);
    api.patch_status(name, &PatchParams::default(), &patch)
        .await?;
    Ok(true)
}

/// The patch for the pod's status; `None` if it is up to date. Pure.
fn patch(pod: &Pod, desired: &PodStatusWrite, now: &Time) -> Option<Value> {
    let mut patch = json!({"metadata": {"uid": desired.uid}});
    let condition = desired
        .gate
        .as_ref()
        .and_then(|gate| condition(pod, gate, now));
    let annotation = desired
        .networks
        .as_ref()
        .and_then(|own| annotation(pod, own, &desired.detached));
    if condition.is_none() && annotation.is_none() {
        return None;
    }
    if let Some(condition) = condition {
        patch["status"]["conditions"] = json!([condition]);
    }
    if let Some(annotation) = annotation {
        // A concurrent change by another writer must not be overwritten: the API rejects an old version.
        patch["metadata"]["resourceVersion"] = json!(pod.metadata.resource_version);
        patch["metadata"]["annotations"] = json!({NETWORK_STATUS: annotation});
    }
    Some(patch)
}

fn condition(pod: &Pod, gate: &Gate, now: &Time) -> Option<Value> {
    let status = if gate.is_ready { "True" } else { "False" };
    let current = pod.gate();
    let is_current = current.is_some_and(|current| {
        let reason = current.reason.as_deref().unwrap_or_default();
        let message = current.message.as_deref().unwrap_or_default();
        (current.status.as_str(), reason, message)
            == (status, gate.reason.as_str(), gate.message.as_str())
    });
    let mut condition = json!({
        "type": READINESS_GATE, "status": status, "reason": gate.reason, "message": gate.message,
    });
    if current.is_none_or(|current| current.status != status) {
        condition["lastTransitionTime"] = json!(now);
    }
    (!is_current).then_some(condition)
}

/// The annotation with our entries after those of others, which are kept unchanged but for what is detached. `null` if
/// nothing is left.
fn annotation(pod: &Pod, own: &[Network], detached: &[String]) -> Option<Value> {
    let annotations = pod.metadata.annotations.as_ref();
    let before = annotations.and_then(|all| all.get(NETWORK_STATUS));
    let entries: Vec<Value> = match before.map(|text| serde_json::from_str(text)) {
        None => Vec::new(),
        Some(Ok(Value::Array(entries))) => entries,
        // Not in the format of Multus: left alone.
        Some(_) => return None,
    };
    let (ours, mut entries): (Vec<Value>, Vec<Value>) =
        entries.into_iter().partition(is_own_network);
    let others = entries.len();
    entries.retain(|entry| !is_detached(entry, detached));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let now: Vec<Value> = own
        .iter()
        .map(|network| entry(network, namespace))
        .collect();
    if ours == now && entries.len() == others {
        return None;
    }
    entries.extend(now);
    match entries.is_empty() {
        true => Some(Value::Null),
        false => Some(Value::from(Value::Array(entries).to_string())),
    }
}

/// The pod's own network is never among what is detached.
fn is_detached(entry: &Value, detached: &[String]) -> bool {
    let is_it = |interface: &str| detached.iter().any(|other| other == interface);
    entry["default"] != true && entry["interface"].as_str().is_some_and(is_it)
}

fn entry(network: &Network, namespace: &str) -> Value {
    let network = match network {
        Network::Link(network) => network,
        Network::Attachment(entry) => {
            let mut entry = entry.clone();
            entry[MARK] = true.into();
            return entry;
        }
    };
    json!({
        "name": format!("{OWN}{namespace}/{}", network.podconfig),
        "interface": network.interface,
        "ips": network.addresses,
        "mac": network.mac,
        "mtu": network.mtu,
        "dns": {},
    })
}

#[cfg(test)]
mod tests;
