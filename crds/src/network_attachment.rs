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
#[serde(from = "Option<WrittenSpec>")]
pub struct NetworkAttachmentDefinitionSpec {
    /// A network configuration or configuration list as JSON text. Empty: the node has it in a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config: String,
}

/// A definition that only names a file of the node is written without a spec, too.
#[derive(Deserialize, JsonSchema)]
struct WrittenSpec {
    config: Option<String>,
}

impl From<Option<WrittenSpec>> for NetworkAttachmentDefinitionSpec {
    fn from(written: Option<WrittenSpec>) -> Self {
        let config = written.and_then(|spec| spec.config);
        Self {
            config: config.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_may_have_no_spec() {
        for spec in [
            json!(null),
            json!({}),
            json!({"config": null}),
            json!({"config": ""}),
        ] {
            let mut object = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": "fast"}, "spec": spec});
            let parse = |object| serde_json::from_value::<NetworkAttachmentDefinition>(object);
            assert_eq!(parse(object.clone()).unwrap().spec.config, "", "{spec}");
            object.as_object_mut().unwrap().remove("spec");
            assert_eq!(parse(object).unwrap().spec.config, "");
        }
    }
}
