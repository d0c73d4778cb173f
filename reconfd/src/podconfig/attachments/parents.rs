//! Pure: links of the same pod that a chain makes its own on, as the plugins for VLANs, macvlan and ipvlan can.

use cni::{FrozenChain, FrozenPlugin};
use serde_json::Value;

/// Their names in the pod.
pub fn of(chain: &FrozenChain) -> Vec<String> {
    let masters = chain.plugins.iter().filter_map(master_in_pod);
    masters.map(str::to_owned).collect()
}

fn master_in_pod(plugin: &FrozenPlugin) -> Option<&str> {
    let is_in_pod = plugin.object.get("linkInContainer") == Some(&Value::Bool(true));
    let master = plugin.object.get("master").filter(|_| is_in_pod)?;
    master.as_str().filter(|master| !master.is_empty())
}
