//! The CustomResourceDefinitions as they are published: what the derive makes of the types, and what
//! it cannot say. The YAML files, the cluster and the offline check all come from here.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

use crate::{PodConfig, PodConfigPolicy, PodReport};

pub fn pod_config() -> CustomResourceDefinition {
    published(PodConfig::crd())
}

pub fn pod_config_policy() -> CustomResourceDefinition {
    published(PodConfigPolicy::crd())
}

/// One write tells everything, so a report's status is no subresource.
pub fn pod_report() -> CustomResourceDefinition {
    let mut crd = published(PodReport::crd());
    for version in &mut crd.spec.versions {
        version.subresources = None;
    }
    crd
}

/// Every definition with the name of its file.
pub fn all() -> [(&'static str, CustomResourceDefinition); 3] {
    [
        ("podconfigs.yaml", pod_config()),
        ("podconfigpolicies.yaml", pod_config_policy()),
        ("podreports.yaml", pod_report()),
    ]
}

fn published(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            tidy(schema);
        }
    }
    crd
}

/// The derive lets every optional field be `null`. A field that is not wanted is left out; `null` is
/// a slip (`podSelector:` with nothing behind it) and must not pass for a wish. And it keeps the line
/// breaks of the source, which `kubectl explain` would show.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(choices) = &mut schema.enum_ {
        choices.retain(|choice| !choice.0.is_null());
    }
    if let Some(text) = &mut schema.description {
        *text = text.replace('\n', " ");
    }
    schema
        .properties
        .iter_mut()
        .flatten()
        .for_each(|(_, property)| tidy(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Calls `see` with every schema of every definition and where it is.
    fn for_every_schema(see: &mut dyn FnMut(&str, &Value)) {
        fn descend(at: &str, schema: &Value, see: &mut dyn FnMut(&str, &Value)) {
            see(at, schema);
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                descend(&format!("{at}.{name}"), property, see);
            }
            for below in ["items", "additionalProperties"] {
                if schema[below].is_object() {
                    descend(&format!("{at}[]"), &schema[below], see);
                }
            }
        }
        for (name, crd) in all() {
            let crd = serde_json::to_value(crd).unwrap();
            descend(
                name,
                &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
                see,
            );
        }
    }

    #[test]
    fn every_field_explains_itself() {
        for_every_schema(&mut |at, schema| {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let text = property["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{at}.{name} has no text");
            }
        });
    }

    #[test]
    fn no_schema_says_what_an_apiserver_warns_about() {
        for_every_schema(&mut |at, schema| {
            assert!(schema["nullable"].is_null(), "{at} may be null");
            assert!(schema["type"].is_string(), "{at} has no type");
            let format = schema["format"].as_str().unwrap_or("date-time");
            assert!(
                ["int32", "int64", "date-time"].contains(&format),
                "{at} has the format {format}"
            );
        });
    }

    #[test]
    fn what_a_tenant_or_an_administrator_writes_is_bounded() {
        for_every_schema(&mut |at, schema| {
            if !at.contains(".spec") {
                return;
            }
            let bound = match schema["type"].as_str().unwrap() {
                "array" => &schema["maxItems"],
                "string" if schema["enum"].is_array() => &schema["enum"],
                "string" => &schema["maxLength"],
                "integer" => &schema["maximum"],
                "object" if schema["additionalProperties"].is_object() => &schema["maxProperties"],
                _ => return,
            };
            assert!(!bound.is_null(), "{at} has no bound");
        });
    }

    #[test]
    fn every_rule_has_words_for_people() {
        let mut rules = 0;
        for_every_schema(&mut |at, schema| {
            for rule in schema["x-kubernetes-validations"]
                .as_array()
                .into_iter()
                .flatten()
            {
                assert!(
                    rule["message"].as_str().is_some_and(|m| m.len() > 20),
                    "{at}: {rule}"
                );
                rules += 1;
            }
        });
        assert!(rules > 15, "only {rules} rules were seen");
    }

    #[test]
    fn only_a_report_has_no_status_subresource() {
        for (name, crd) in all() {
            let status = crd.spec.versions[0]
                .subresources
                .as_ref()
                .and_then(|s| s.status.as_ref());
            assert_eq!(status.is_some(), name == "podconfigs.yaml", "{name}");
        }
    }
}
