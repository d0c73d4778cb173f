//! What Multus stores of an attachment: libcni's result cache. Written in place and not synced, so it may be torn; the
//! configuration in it is that of ADD, and DEL runs from it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cni::{AttachmentInput, CniResult, FrozenChain, NetworkConfig, Trust};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Slot, file::KIND, id};

/// The chain that Multus ran, and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct MultusFile {
    pub chain: FrozenChain,
    pub result: Option<Value>,
}

/// Why a file of Multus says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MultusFileError {
    #[error("is torn or not JSON: {0}")]
    Torn(String),
    #[error("is not libcni's: kind is {0:?}")]
    Kind(String),
    #[error("describes another attachment: {0}")]
    Other(String),
    #[error("has a configuration that cannot be run again: {0}")]
    Config(String),
    #[error("has a result that is not valid: {0}")]
    Result(String),
}

/// What libcni writes, as far as DEL needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    kind: String,
    container_id: String,
    config: String,
    if_name: String,
    network_name: String,
    #[serde(default)]
    netns: String,
    #[serde(default)]
    cni_args: Option<Vec<(String, String)>>,
    #[serde(default)]
    capability_args: Option<Map<String, Value>>,
    #[serde(default)]
    result: Option<Value>,
}

impl MultusFile {
    /// Reads a file of this name, which must be of this slot.
    pub fn decode(name: &str, text: &[u8], slot: &Slot) -> Result<Self, MultusFileError> {
        let cached: Cached = serde_json::from_slice(text)
            .map_err(|error| MultusFileError::Torn(error.to_string()))?;
        if cached.kind != KIND {
            return Err(MultusFileError::Kind(cached.kind));
        }
        if Slot::new(&cached.container_id, &cached.if_name) != *slot {
            let of = format!("{} {}", cached.container_id, cached.if_name);
            return Err(MultusFileError::Other(of));
        }
        let result = cached.result.clone().filter(|result| !result.is_null());
        let chain = chain(cached)?;
        if id(&chain) != name {
            return Err(MultusFileError::Other(id(&chain)));
        }
        if let Some(result) = &result {
            let valid = CniResult::from_value(result.clone());
            valid.map_err(|error| MultusFileError::Result(error.to_string()))?;
        }
        Ok(Self { chain, result })
    }
}

/// Its arguments are those of ADD already, so none are merged.
fn chain(cached: Cached) -> Result<FrozenChain, MultusFileError> {
    let invalid = |what: String| MultusFileError::Config(what);
    let config = STANDARD.decode(&cached.config);
    let config = config.map_err(|error| invalid(error.to_string()))?;
    let config = String::from_utf8(config).map_err(|error| invalid(error.to_string()))?;
    let config = NetworkConfig::parse(&config, &cached.network_name, Trust::Trusted)
        .map_err(|error| invalid(error.to_string()))?;
    if config.network != cached.network_name {
        return Err(invalid(format!("it is of the network {}", config.network)));
    }
    let input = AttachmentInput {
        container_id: cached.container_id,
        ifname: cached.if_name,
        netns: cached.netns,
        args: cached.cni_args.unwrap_or_default(),
        runtime_config: cached.capability_args.unwrap_or_default(),
        cni_args: Map::new(),
    };
    let frozen = config.freeze(input);
    frozen.map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "fast-c1-net1";

    fn cached() -> Value {
        let config =
            json!({"cniVersion": "0.3.0", "name": "fast", "type": "macvlan", "master": "eth0"});
        json!({
            "kind": "cniCacheV1", "containerId": "c1", "config": STANDARD.encode(config.to_string()),
            "ifName": "net1", "networkName": "fast", "netns": "/var/run/netns/c1",
            "cniArgs": [["IgnoreUnknown", "true"], ["MAC", "02:00:00:00:00:01"]],
            "capabilityArgs": {"mac": "02:00:00:00:00:01"},
            "result": {"cniVersion": "0.3.0", "interfaces": [{"name": "net1", "sandbox": "/var/run/netns/c1"}]},
        })
    }

    fn decode(value: &Value) -> Result<MultusFile, MultusFileError> {
        MultusFile::decode(NAME, value.to_string().as_bytes(), &Slot::new("c1", "net1"))
    }

    #[test]
    fn the_chain_is_that_of_add() {
        let file = decode(&cached()).unwrap();
        assert_eq!(file.chain.network, "fast");
        assert_eq!(file.chain.plugins[0].object["master"], "eth0");
        assert_eq!(
            file.chain.cni_args(),
            "IgnoreUnknown=true;MAC=02:00:00:00:00:01"
        );
        assert_eq!(file.chain.runtime_config["mac"], "02:00:00:00:00:01");
        assert_eq!(file.result.unwrap()["interfaces"][0]["name"], "net1");
    }

    #[test]
    fn what_libcni_leaves_out_is_empty() {
        let mut least = cached();
        for member in ["cniArgs", "capabilityArgs", "result"] {
            least.as_object_mut().unwrap().remove(member);
        }
        let file = decode(&least).unwrap();
        assert!(file.result.is_none() && file.chain.args.is_empty());
    }

    #[test]
    fn a_list_is_read_as_a_list() {
        let list = json!({"cniVersion": "1.0.0", "name": "fast", "plugins": [{"type": "macvlan"}, {"type": "tuning"}]});
        let mut file = cached();
        file["config"] = STANDARD.encode(list.to_string()).into();
        assert_eq!(decode(&file).unwrap().chain.plugins.len(), 2);
    }

    #[test]
    fn a_file_of_another_attachment_or_a_torn_one_says_nothing() {
        let with = |member: &str, value: Value| {
            let mut file = cached();
            file[member] = value;
            decode(&file).unwrap_err()
        };
        let other = [("containerId", "c2"), ("ifName", "net2")];
        for (member, value) in other {
            assert!(matches!(
                with(member, value.into()),
                MultusFileError::Other(_)
            ));
        }
        assert!(matches!(with("kind", "x".into()), MultusFileError::Kind(_)));
        assert!(matches!(
            with("networkName", "slow".into()),
            MultusFileError::Config(_)
        ));
        assert!(matches!(
            with("config", "%".into()),
            MultusFileError::Config(_)
        ));
        assert!(matches!(
            with("netns", "x".into()),
            MultusFileError::Config(_)
        ));
        assert!(matches!(
            with("result", "x".into()),
            MultusFileError::Result(_)
        ));
        let forged = json!({"name": "fast", "cniVersion": "0.3.0", "type": "../x"});
        let forged = with("config", STANDARD.encode(forged.to_string()).into());
        assert!(matches!(forged, MultusFileError::Config(_)));
        let text = cached().to_string();
        let torn = MultusFile::decode(NAME, &text.as_bytes()[..40], &Slot::new("c1", "net1"));
        assert!(matches!(torn, Err(MultusFileError::Torn(_))));
        let named = MultusFile::decode("x-c1-net1", text.as_bytes(), &Slot::new("c1", "net1"));
        assert!(matches!(named, Err(MultusFileError::Other(_))));
    }
}
