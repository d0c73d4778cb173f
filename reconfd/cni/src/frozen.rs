//! A chain of plugins as it was judged. It is stored before the first plugin runs, and everything that undoes the
//! attachment runs from it, whatever has become of the definition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Version,
    json::{self, JsonError},
    names::{self, NameError},
    plugin_types::{self, TypesError},
};

/// Of one configuration.
pub const MOST_PLUGINS: usize = 16;
const MOST_ARGS: usize = 64;
/// A rendering escapes more than what it was made from.
const LARGEST_RENDERING: usize = 8 * json::LARGEST_CONFIGURATION;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenChain {
    /// The name of the network, which each plugin gets.
    pub network: String,
    pub cni_version: Version,
    /// In the order of ADD.
    pub plugins: Vec<FrozenPlugin>,
    #[serde(default)]
    pub disable_check: bool,
    #[serde(default)]
    pub disable_gc: bool,
    /// The values of all capabilities that were asked for. A plugin gets those that it declares.
    #[serde(default)]
    pub runtime_config: Map<String, Value>,
    /// The pairs of `CNI_ARGS`, in order.
    #[serde(default)]
    pub args: Vec<(String, String)>,
    pub container_id: String,
    pub ifname: String,
    /// Where the network namespace was when the pod started: `CNI_NETNS`.
    pub netns: String,
    /// Digests of the binaries that are known, by the type of the plugin at any depth.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
}

/// One plugin of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenPlugin {
    #[serde(rename = "type")]
    pub plugin_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam_type: Option<String>,
    /// The configuration, as podconfig renders it.
    pub object: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrozenError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("a chain has 1 to {MOST_PLUGINS} plugins, and this one has {0}")]
    Plugins(usize),
    #[error("CNI_ARGS has at most {MOST_ARGS} pairs, and this one has {0}")]
    Args(usize),
    #[error("the path of the network namespace {0:?} is not absolute")]
    Netns(String),
    #[error(transparent)]
    Types(#[from] TypesError),
    #[error("the object of a plugin is no valid JSON: {0}")]
    Json(#[from] JsonError),
    #[error("the object of plugin {0} is of another type than it says")]
    Type(usize),
}

impl FrozenPlugin {
    /// The plugin of an object whose types are plain names: `type`, and `ipam.type` if it has one.
    pub fn of(object: Map<String, Value>) -> Result<Self, NameError> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let plugin_type = text(object.get("type")).unwrap_or_default();
        names::plugin_type(&plugin_type)?;
        let ipam = object.get("ipam").and_then(|ipam| ipam.get("type"));
        let ipam_type = text(ipam).filter(|name| !name.is_empty());
        ipam_type.as_deref().map_or(Ok(()), names::plugin_type)?;
        Ok(Self {
            plugin_type,
            ipam_type,
            object,
        })
    }

    fn check(&self) -> Result<(), FrozenError> {
        let rendering = Value::Object(self.object.clone()).to_string();
        json::parse_within(&rendering, LARGEST_RENDERING)?;
        plugin_types::of_plugin(&self.object)?;
        Ok(())
    }
}

impl FrozenChain {
    /// Whether all that becomes part of an environment or a file name is what it should be. What came from a file or
    /// a socket is checked again.
    pub fn check(&self) -> Result<(), FrozenError> {
        names::network(&self.network)?;
        names::container_id(&self.container_id)?;
        names::interface(&self.ifname)?;
        if !(1..=MOST_PLUGINS).contains(&self.plugins.len()) {
            return Err(FrozenError::Plugins(self.plugins.len()));
        }
        if self.args.len() > MOST_ARGS {
            return Err(FrozenError::Args(self.args.len()));
        }
        for word in self.args.iter().flat_map(|(key, value)| [key, value]) {
            names::cni_arg(word)?;
        }
        // A step upwards in the path would lead out of the folder under which a jail shows the namespace.
        let is_upwards = self.netns.split('/').any(|part| part == "..");
        if !self.netns.starts_with('/') || self.netns.contains('\0') || is_upwards {
            return Err(FrozenError::Netns(json::shown(&self.netns)));
        }
        for (index, plugin) in self.plugins.iter().enumerate() {
            plugin.check()?;
            if FrozenPlugin::of(plugin.object.clone())? != *plugin {
                return Err(FrozenError::Type(index));
            }
        }
        Ok(())
    }

    /// The value of `CNI_ARGS`.
    pub fn cni_args(&self) -> String {
        let pairs: Vec<_> = self
            .args
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(";")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
