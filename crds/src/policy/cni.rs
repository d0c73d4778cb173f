//! Rules for links that CNI plugins make.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// Allowed configurations of CNI plugins. The node's own list, `reinvoke.plugins` of the chart, must name each plugin as
/// well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[
    (
        "has(self.definitions) && size(self.definitions) > 0 || has(self.plugins) && size(self.plugins) > 0",
        "a cni rule without definitions and plugins allows nothing; add definitions, or plugins for configurations that \
         tenants write",
    ),
    (
        "!has(self.inline) || self.inline != 'Allowed' || has(self.plugins) && size(self.plugins) > 0",
        "inline: Allowed needs plugins, which say what an inline configuration may name",
    ),
])))]
pub struct CniRule {
    /// NetworkAttachmentDefinitions that are believed as they are written, at most 16 namespaces. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub definitions: Vec<DefinitionRule>,
    /// Plugins that a configuration of the tenant may name, with the settings that it may give them, at most 16; for
    /// definitions in the PodConfig's own namespace and for inline configurations. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub plugins: Vec<PluginRule>,
    /// Whether a PodConfig may contain a configuration: `Denied` or `Allowed`. Default: Denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<Inline>,
    /// Allowed keys of `args`, at most 16. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shape::cni_arg_names")]
    pub cni_args: Vec<String>,
    /// Allowed host ports of `portMappings`, at most 16 ranges. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub host_ports: Vec<super::PortRange>,
}

/// NetworkAttachmentDefinitions of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionRule {
    /// The namespace of the definitions.
    #[schemars(schema_with = "shape::dns_label")]
    pub namespace: String,
    /// The names of the definitions: 1 to 64.
    #[schemars(schema_with = "shape::definition_names")]
    pub names: Vec<String>,
}

/// A plugin, and what a tenant's configuration may set beyond the settings that reach nothing of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginRule {
    /// The plugin's `type`, the name of its file.
    #[serde(rename = "type")]
    #[schemars(schema_with = "shape::plugin_type")]
    pub plugin_type: String,
    /// Settings by name, such as `master`, with the values that each may have; at most 16. Those that name files,
    /// sockets, chains or other plugins can never be allowed. Default: only settings that reach nothing of the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "shape::plugin_keys")]
    pub keys: BTreeMap<String, Vec<String>>,
}

/// Whether a PodConfig may contain a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Inline {
    Denied,
    Allowed,
}

impl CniRule {
    /// Whether the definition is believed as it is written.
    pub fn trusts(&self, namespace: &str, name: &str) -> bool {
        let mut listed = self.definitions.iter();
        listed.any(|rule| rule.namespace == namespace && rule.names.iter().any(|n| n == name))
    }
}
