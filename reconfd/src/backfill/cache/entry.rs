//! Parses an entry of libcni's result cache to a hint. Pure. An entry is valid only under its own file name, and
//! only if it is of a pod.

use std::{path::PathBuf, time::SystemTime};

use crds::report::RecordSource;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::backfill::SandboxHint;

/// The only layout with the pod's name; older libcni kept the bare result.
const KIND: &str = "cniCacheV1";

/// The fields that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    container_id: Option<String>,
    #[serde(default)]
    if_name: Option<String>,
    #[serde(default)]
    network_name: Option<String>,
    /// Since libcni 1.2.
    #[serde(default)]
    netns: Option<String>,
    #[serde(default)]
    cni_args: Option<Vec<(String, String)>>,
    /// Parsed only if `netns` has no path, so that an invalid result does not matter otherwise.
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CniResult {
    #[serde(default)]
    interfaces: Option<Vec<Interface>>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    sandbox: Option<String>,
}

/// Parses the file of this name; `None` if it is not of a pod.
pub fn read(name: &str, text: &[u8], since: SystemTime) -> Result<Option<SandboxHint>, String> {
    let entry: Entry<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if entry.kind.as_deref() != Some(KIND) {
        return Ok(None);
    }
    let (Some(namespace), Some(pod)) = (
        entry.argument("K8S_POD_NAMESPACE"),
        entry.argument("K8S_POD_NAME"),
    ) else {
        return Ok(None);
    };
    let hint = SandboxHint {
        source: RecordSource::Cache,
        uid: entry.argument("K8S_POD_UID"),
        namespace,
        pod,
        netns: entry.netns()?,
        container: need(entry.container_id, "containerId")?,
        ifname: need(entry.if_name, "ifName")?,
        network: need(entry.network_name, "networkName")?,
        since,
    };
    match hint.invalid_field() {
        Some(invalid_field) => Err(invalid_field),
        None if name != file_name(&hint) => Err(format!(
            "its content belongs under the name {:?}",
            file_name(&hint)
        )),
        None => Ok(Some(hint)),
    }
}

/// The name that libcni gives the entry.
fn file_name(hint: &SandboxHint) -> String {
    format!("{}-{}-{}", hint.network, hint.container, hint.ifname)
}

fn need(value: Option<String>, field: &str) -> Result<String, String> {
    value.ok_or_else(|| format!("{field} is missing"))
}

impl Entry<'_> {
    /// The first of a repeated argument counts, as in the plugin.
    fn argument(&self, key: &str) -> Option<String> {
        let mut pairs = self.cni_args.iter().flatten();
        let (_, value) = pairs.find(|(name, _)| name == key)?;
        Some(value.clone()).filter(|value| !value.is_empty())
    }

    fn netns(&self) -> Result<PathBuf, String> {
        if let Some(path) = self.netns.as_deref().filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let result = self.result.map_or("{}", RawValue::get);
        let outcome: CniResult =
            serde_json::from_str(result).map_err(|error| format!("result: {error}"))?;
        let interfaces = outcome.interfaces.unwrap_or_default();
        let inside = |one: &Interface| one.sandbox.clone().filter(|path| !path.is_empty());
        let named = interfaces.iter().filter(|one| one.name == self.if_name);
        let mut paths: Vec<String> = named.filter_map(inside).collect();
        if paths.is_empty() {
            paths = interfaces.iter().filter_map(inside).collect();
        }
        paths.sort_unstable();
        paths.dedup();
        match &paths[..] {
            [path] => Ok(path.into()),
            [] => Err("neither netns nor result.interfaces has a path".into()),
            _ => Err("result.interfaces has several paths".into()),
        }
    }
}

#[cfg(test)]
mod tests;
