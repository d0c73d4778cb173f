//! The configuration of a network, one plugin or a list of them, as Multus reads it from a NetworkAttachmentDefinition,
//! and without anything that has a second reading or that only the runtime may say.

use serde_json::{Map, Value};

use crate::{
    Version,
    frozen::{FrozenChain, FrozenError, FrozenPlugin, MOST_PLUGINS},
    json::{self, JsonError},
    names::{self, NameError},
    plugin_types::{self, TypeAt, TypesError},
    version::VersionError,
};

mod keys;

/// Whose word a configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// An administrator's: believed as written.
    Trusted,
    /// A tenant's: it also carries no `args`, and `judge` decides on each of its keys.
    Tenant,
}

/// A configuration that may be judged.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    pub network: String,
    pub cni_version: Version,
    pub disable_check: bool,
    pub disable_gc: bool,
    /// In the order of ADD, without `name` and `cniVersion`, which the network has.
    pub plugins: Vec<Map<String, Value>>,
    /// Whether it was written as a list: then the paths of keys begin with `plugins[0]`.
    is_list: bool,
}

/// The attachment that a configuration is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttachmentInput {
    pub container_id: String,
    pub ifname: String,
    pub netns: String,
    /// The pairs of `CNI_ARGS`.
    pub args: Vec<(String, String)>,
    /// The values of capabilities.
    pub runtime_config: Map<String, Value>,
    /// Merged over `args.cni` of each plugin.
    pub cni_args: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetconfError {
    #[error("the configuration is no valid JSON: {0}")]
    Json(#[from] JsonError),
    #[error("{0} must be {1}")]
    Kind(String, &'static str),
    #[error("{0} must be written {1}")]
    Case(String, &'static str),
    #[error("{0} may not be in a configuration")]
    OfRuntime(String),
    #[error("{0} may not be in a configuration that is not trusted")]
    NotTrusted(String),
    #[error("the configuration has neither type nor plugins")]
    NoPlugin,
    #[error("the configuration has both type and plugins")]
    TwoReadings,
    #[error("the configuration has {0} plugins, and may have 1 to {MOST_PLUGINS}")]
    Plugins(usize),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0}{1}")]
    Types(String, TypesError),
}

impl NetworkConfig {
    /// Reads a configuration. Without a name it has that of its definition.
    pub fn parse(text: &str, default_name: &str, trust: Trust) -> Result<Self, NetconfError> {
        let Value::Object(mut top) = json::parse(text)? else {
            return Err(kind("the configuration", "an object"));
        };
        keys::check(&top, trust)?;
        let network = keys::text(&top, "name")?.unwrap_or(default_name).to_owned();
        names::network(&network)?;
        let cni_version = version(&top)?;
        let (disable_check, disable_gc) = (
            keys::switch(&top, "disableCheck")?,
            keys::switch(&top, "disableGC")?,
        );
        let is_list = top.contains_key("plugins");
        let has_type = keys::text(&top, "type")?.is_some();
        let plugins = match (has_type, top.remove("plugins")) {
            (true, Some(_)) => return Err(NetconfError::TwoReadings),
            (true, None) => vec![alone(top)],
            (false, Some(plugins)) => list(plugins)?,
            (false, None) => return Err(NetconfError::NoPlugin),
        };
        let mut config = Self {
            network,
            cni_version,
            disable_check,
            disable_gc,
            plugins,
            is_list,
        };
        config.check_plugins(trust)?;
        config.types()?;
        Ok(config)
    }

    /// All plugins that this configuration executes, at any depth.
    pub fn types(&self) -> Result<Vec<TypeAt>, NetconfError> {
        let mut types = vec![];
        for (index, plugin) in self.plugins.iter().enumerate() {
            let path = self.path(index);
            let found = plugin_types::of_plugin(plugin)
                .map_err(|error| NetconfError::Types(path.clone(), error))?;
            types.extend(found.into_iter().map(|found| TypeAt {
                path: format!("{path}{}", found.path),
                ..found
            }));
        }
        Ok(types)
    }

    /// The chain of this configuration for an attachment.
    pub fn freeze(&self, input: AttachmentInput) -> Result<FrozenChain, FrozenError> {
        let with_args = |plugin: &Map<String, Value>| merged(plugin.clone(), &input.cni_args);
        let plugins = self.plugins.iter().map(with_args).map(FrozenPlugin::of);
        let chain = FrozenChain {
            network: self.network.clone(),
            cni_version: self.cni_version,
            plugins: plugins.collect::<Result<_, _>>()?,
            disable_check: self.disable_check,
            disable_gc: self.disable_gc,
            runtime_config: input.runtime_config,
            args: input.args,
            container_id: input.container_id,
            ifname: input.ifname,
            netns: input.netns,
            digests: Default::default(),
        };
        chain.check()?;
        Ok(chain)
    }

    /// What the paths of a plugin's keys begin with.
    pub(crate) fn path(&self, index: usize) -> String {
        match self.is_list {
            true => format!("plugins[{index}]."),
            false => String::new(),
        }
    }

    fn check_plugins(&mut self, trust: Trust) -> Result<(), NetconfError> {
        if !(1..=MOST_PLUGINS).contains(&self.plugins.len()) {
            return Err(NetconfError::Plugins(self.plugins.len()));
        }
        for index in 0..self.plugins.len() {
            let path = self.path(index);
            keys::check_plugin(&self.plugins[index], &path, trust)?;
            // libcni replaces them with those of the list.
            self.plugins[index].retain(|key, _| key != "name" && key != "cniVersion");
        }
        Ok(())
    }
}

/// The plugin of a configuration that is no list.
fn alone(mut top: Map<String, Value>) -> Map<String, Value> {
    top.retain(|key, _| !keys::OF_LIST.contains(&key.as_str()));
    top
}

fn list(plugins: Value) -> Result<Vec<Map<String, Value>>, NetconfError> {
    let Value::Array(items) = plugins else {
        return Err(kind("plugins", "a list"));
    };
    let object = |(index, item)| match item {
        Value::Object(object) => Ok(object),
        _ => Err(kind(&format!("plugins[{index}]"), "an object")),
    };
    items.into_iter().enumerate().map(object).collect()
}

fn version(top: &Map<String, Value>) -> Result<Version, NetconfError> {
    let not_texts = || kind("cniVersions", "a list of texts");
    let versions = match top.get("cniVersions") {
        None => vec![],
        Some(listed) => listed
            .as_array()
            .ok_or_else(not_texts)?
            .iter()
            .map(|version| version.as_str().ok_or_else(not_texts))
            .collect::<Result<_, _>>()?,
    };
    Ok(Version::highest(keys::text(top, "cniVersion")?, &versions)?)
}

/// As Multus: each argument replaces that of the configuration.
fn merged(mut plugin: Map<String, Value>, cni_args: &Map<String, Value>) -> Map<String, Value> {
    if !cni_args.is_empty() {
        let mut args = taken(&mut plugin, "args");
        let mut cni = taken(&mut args, "cni");
        cni.extend(cni_args.clone());
        args.insert("cni".into(), cni.into());
        plugin.insert("args".into(), args.into());
    }
    plugin
}

fn taken(object: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match object.remove(key) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    }
}

fn kind(path: &str, kind: &'static str) -> NetconfError {
    NetconfError::Kind(path.to_owned(), kind)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
