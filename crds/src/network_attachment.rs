//! `NetworkAttachmentDefinition`: a network configuration of the Container Network Interface as an object. The kind is
//! the Network Plumbing Working Group's; podconfig reads it and publishes no definition of it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network configuration.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "k8s.cni.cncf.io",
    version = "v1",
    kind = "NetworkAttachmentDefinition",
    plural = "network-attachment-definitions",
    shortname = "net-attach-def",
    namespaced
)]
pub struct NetworkAttachmentDefinitionSpec {
    /// A network configuration or configuration list as JSON text. Empty: the node has it in a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
}
