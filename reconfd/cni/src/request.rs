//! The input of one execution of a plugin: its standard input and its whole environment.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{CniResult, FrozenChain, Version, frozen::FrozenError};

/// Where plugins find iptables, ip and the like.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const RESERVED_PREFIX: &str = "cni.dev/";

/// What a plugin is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Command {
    Add,
    Del,
    Check,
    Status,
    Version,
    Gc,
}

/// The standard input and the environment of a plugin. The environment is complete: nothing is inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRequest {
    pub stdin: Vec<u8>,
    pub environment: Vec<(&'static str, String)>,
}

/// What a request depends on beside the chain.
#[derive(Clone, Copy, Debug)]
pub struct PluginInput<'a> {
    /// Of ADD the result of the plugin before, of DEL and CHECK the final one.
    pub prev_result: Option<&'a CniResult>,
    /// Whether the network namespace is still there. `CNI_NETNS` is empty without it.
    pub has_netns: bool,
    /// `CNI_PATH`: the folders of binaries, with colons between them.
    pub cni_path: &'a str,
    /// Of GC: everything that is attached to this network.
    pub valid_attachments: &'a [ValidAttachment],
}

/// An attachment that GC must keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValidAttachment {
    #[serde(rename = "containerID")]
    pub container_id: String,
    pub ifname: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Chain(#[from] FrozenError),
    #[error("the chain has no plugin {0}")]
    NoPlugin(usize),
    #[error("{0} does not exist in version {1}")]
    NotInVersion(Command, Version),
    #[error("VERSION is no command of a chain")]
    NotOfChain,
}

impl Command {
    /// The value of `CNI_COMMAND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
            Self::Gc => "GC",
        }
    }

    fn exists_in(self, version: Version) -> bool {
        match self {
            Self::Add | Self::Del | Self::Version => true,
            Self::Check => version.has_check(),
            Self::Status => version.has_status(),
            Self::Gc => version.has_gc(),
        }
    }

    /// Whether the command is about one attachment, and not about a network or a binary.
    pub fn is_of_attachment(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The request for VERSION, which needs no chain.
pub fn version_request(cni_path: &str) -> PluginRequest {
    PluginRequest {
        stdin: json!({"cniVersion": Version::LATEST}).to_string().into(),
        environment: environment(Command::Version, cni_path, None, false),
    }
}

impl FrozenChain {
    /// The request of a command for the plugin at this place of the chain.
    pub fn request(
        &self,
        index: usize,
        command: Command,
        input: PluginInput<'_>,
    ) -> Result<PluginRequest, RequestError> {
        self.check()?;
        if command == Command::Version {
            return Err(RequestError::NotOfChain);
        }
        if !command.exists_in(self.cni_version) {
            return Err(RequestError::NotInVersion(command, self.cni_version));
        }
        let plugin = self
            .plugins
            .get(index)
            .ok_or(RequestError::NoPlugin(index))?;
        let stdin = self.stdin(&plugin.object, command, input);
        let attached = command.is_of_attachment().then_some(self);
        Ok(PluginRequest {
            stdin: Value::Object(stdin).to_string().into(),
            environment: environment(command, input.cni_path, attached, input.has_netns),
        })
    }

    /// As libcni's, except that nothing of it comes from the configuration: a `prevResult` in there would be believed
    /// by the first plugin.
    fn stdin(
        &self,
        object: &Map<String, Value>,
        command: Command,
        input: PluginInput<'_>,
    ) -> Map<String, Value> {
        let mut stdin: Map<_, _> = object
            .iter()
            .filter(|(key, _)| !is_of_runtime(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        stdin.insert("name".into(), self.network.as_str().into());
        stdin.insert("cniVersion".into(), json!(self.cni_version));
        if command == Command::Gc {
            let valid = json!(input.valid_attachments);
            // The specification's first text has the second name, and plugins exist that read it.
            stdin.insert("cni.dev/valid-attachments".into(), valid.clone());
            stdin.insert("cni.dev/attachments".into(), valid);
        }
        if command.is_of_attachment() {
            let gets_result = command != Command::Del || self.cni_version.del_has_prev_result();
            if let Some(result) = input.prev_result.filter(|_| gets_result) {
                stdin.insert("prevResult".into(), result.render(self.cni_version));
            }
            let runtime_config = self.declared(object);
            if !runtime_config.is_empty() {
                stdin.insert("runtimeConfig".into(), runtime_config.into());
            }
        }
        stdin
    }

    /// The values of the capabilities that a plugin declares.
    fn declared(&self, object: &Map<String, Value>) -> Map<String, Value> {
        let declares = |capability: &str| {
            let capabilities = object.get("capabilities");
            capabilities.and_then(|declared| declared.get(capability)) == Some(&Value::Bool(true))
        };
        self.runtime_config
            .iter()
            .filter(|(capability, _)| declares(capability))
            .map(|(capability, value)| (capability.clone(), value.clone()))
            .collect()
    }
}

/// Whether a key belongs to the runtime, in whatever case it is written.
pub(crate) fn is_of_runtime(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["prevresult", "runtimeconfig", "name", "cniversion"].contains(&key.as_str())
        || key.starts_with(RESERVED_PREFIX)
}

/// As libcni, which sets all of them with each command.
fn environment(
    command: Command,
    cni_path: &str,
    attached: Option<&FrozenChain>,
    has_netns: bool,
) -> Vec<(&'static str, String)> {
    let of = |field: fn(&FrozenChain) -> String| attached.map(field).unwrap_or_default();
    let netns = attached.filter(|_| has_netns);
    vec![
        ("CNI_COMMAND", command.to_string()),
        ("CNI_CONTAINERID", of(|chain| chain.container_id.clone())),
        (
            "CNI_NETNS",
            netns.map(|chain| chain.netns.clone()).unwrap_or_default(),
        ),
        ("CNI_IFNAME", of(|chain| chain.ifname.clone())),
        ("CNI_ARGS", of(FrozenChain::cni_args)),
        ("CNI_PATH", cni_path.to_owned()),
        ("PATH", PATH.to_owned()),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
