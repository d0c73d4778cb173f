//! The format of a file: libcni's result cache, with a member of podconfig's. libcni and programs that read its cache
//! find what they know; podconfig reads its own member, and compares the rest with it.

use std::{collections::BTreeSet, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cni::FrozenChain;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::{Entry, Facts, NetnsId, Phase, PodRef, Requester, VERSION, id};

/// `kind` of libcni's files.
pub(super) const KIND: &str = "cniCacheV1";

/// Why a file is not one of ours. Such a file is reported and stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileError {
    #[error("is torn or not JSON: {0}")]
    Torn(String),
    #[error("was not written by podconfig: {0}")]
    Foreign(String),
    #[error("has version {0}; this program reads version {VERSION}: upgrade podconfig again")]
    Newer(u64),
}

/// A file in libcni's order of members.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    kind: String,
    container_id: String,
    config: String,
    if_name: String,
    network_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    netns: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cni_args: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    capability_args: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    podconfig: Own,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    version: u32,
    pod: PodRef,
    requester: Requester,
    spec_hash: String,
    #[serde(flatten)]
    netns: NetnsId,
    state: Phase,
    #[serde(default)]
    order: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
    #[serde(flatten)]
    facts: Facts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    baseline: Option<BTreeSet<usize>>,
    chain: FrozenChain,
}

/// The text of an entry's file.
pub fn encode(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    let chain = &entry.chain;
    let file = File {
        kind: KIND.into(),
        container_id: chain.container_id.clone(),
        config: STANDARD.encode(serde_json::to_vec(&list(chain))?),
        if_name: chain.ifname.clone(),
        network_name: chain.network.clone(),
        netns: chain.netns.clone(),
        cni_args: chain.args.clone(),
        capability_args: chain.runtime_config.clone(),
        result: entry.result.clone(),
        podconfig: Own {
            version: VERSION,
            pod: entry.pod.clone(),
            requester: entry.requester.clone(),
            spec_hash: entry.spec_hash.clone(),
            netns: entry.netns.clone(),
            state: entry.phase.clone(),
            order: entry.order,
            after: entry.after.clone(),
            facts: entry.facts.clone(),
            gateways: entry.gateways.clone(),
            before: entry.before.clone(),
            baseline: entry.baseline.clone(),
            chain: chain.clone(),
        },
    };
    serde_json::to_vec(&file)
}

/// The network configuration list as libcni caches it.
fn list(chain: &FrozenChain) -> Value {
    let plugins = chain.plugins.iter();
    let plugins: Vec<Value> = plugins
        .map(|plugin| Value::Object(plugin.object.clone()))
        .collect();
    json!({
        "cniVersion": chain.cni_version,
        "name": chain.network,
        "disableCheck": chain.disable_check,
        "disableGC": chain.disable_gc,
        "plugins": plugins,
    })
}

/// The entry of a file with this name.
pub fn decode(name: &str, text: &[u8]) -> Result<Entry, FileError> {
    let value: Value =
        serde_json::from_slice(text).map_err(|error| FileError::Torn(error.to_string()))?;
    let Some(own) = value.get("podconfig") else {
        return Err(FileError::Foreign("it has no member podconfig".into()));
    };
    match own.get("version").and_then(Value::as_u64) {
        Some(version) if version > u64::from(VERSION) => return Err(FileError::Newer(version)),
        Some(version) if version == u64::from(VERSION) => {}
        _ => return Err(FileError::Foreign("podconfig.version is not valid".into())),
    }
    let file: File =
        serde_json::from_value(value).map_err(|error| FileError::Foreign(error.to_string()))?;
    check(name, &file)?;
    let own = file.podconfig;
    Ok(Entry {
        chain: own.chain,
        result: file.result,
        pod: own.pod,
        requester: own.requester,
        spec_hash: own.spec_hash,
        netns: own.netns,
        phase: own.state,
        order: own.order,
        after: own.after,
        facts: own.facts,
        gateways: own.gateways,
        before: own.before,
        baseline: own.baseline,
    })
}

/// A file under another name, or of another attachment than its chain, was put there by others.
fn check(name: &str, file: &File) -> Result<(), FileError> {
    let chain = &file.podconfig.chain;
    chain
        .check()
        .map_err(|error| FileError::Foreign(error.to_string()))?;
    let outer = (&file.network_name, &file.container_id, &file.if_name);
    let inner = (&chain.network, &chain.container_id, &chain.ifname);
    if file.kind != KIND {
        return Err(FileError::Foreign(format!("kind is {:?}", file.kind)));
    }
    if outer != inner || name != id(chain) {
        let problem = format!("it describes {}", id(chain));
        return Err(FileError::Foreign(problem));
    }
    Ok(())
}
