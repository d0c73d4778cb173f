//! Pure: elements of the annotation `k8s.v1.cni.cncf.io/network-status`, as far as they say what is attached.

use cluster::is_own_network;
use serde_json::Value;

/// An interface that is not the pod's own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEntry {
    /// `namespace/name` of the definition.
    pub definition: String,
    pub interface: String,
}

impl StatusEntry {
    /// Those that podconfig has not written. What cannot be read lists nothing.
    pub fn list(text: &str) -> Vec<Self> {
        let Ok(Value::Array(entries)) = serde_json::from_str(text) else {
            return Vec::new();
        };
        let is_others = |entry: &&Value| entry["default"] != true && !is_own_network(entry);
        let entry = |entry: &Value| {
            Some(Self {
                definition: entry["name"].as_str()?.to_owned(),
                interface: entry["interface"].as_str()?.to_owned(),
            })
        };
        entries.iter().filter(is_others).filter_map(entry).collect()
    }
}
