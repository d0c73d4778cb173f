//! The published CustomResourceDefinitions: the derived ones plus what the derive cannot express. The YAML files,
//! the cluster and the offline validation use them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::derived;

/// The published definition of one kind.
pub fn of<K: CustomResourceExt>() -> CustomResourceDefinition {
    published(K::crd())
}

/// All definitions with their file names.
pub fn all() -> Vec<(String, CustomResourceDefinition)> {
    let named = |crd: CustomResourceDefinition| {
        let file = format!("{}.yaml", crd.spec.names.plural);
        (file, published(crd))
    };
    derived().into_iter().map(named).collect()
}

fn published(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for_every_schema(&mut crd, &mut tidy);
    match crd.spec.names.kind.as_str() {
        // One request writes all of it.
        "PodReport" => {
            for version in &mut crd.spec.versions {
                version.subresources = None;
            }
        }
        // The rules were already validated in their policies, and validating 256 of them at once exceeds the cost
        // budget of the API server.
        "PodConfigAllowance" => for_every_schema(&mut crd, &mut |schema| {
            schema.x_kubernetes_validations = None;
        }),
        _ => (),
    }
    crd
}

fn for_every_schema(
    crd: &mut CustomResourceDefinition,
    change: &mut dyn FnMut(&mut JSONSchemaProps),
) {
    fn descend(schema: &mut JSONSchemaProps, change: &mut dyn FnMut(&mut JSONSchemaProps)) {
        change(schema);
        for (_, property) in schema.properties.iter_mut().flatten() {
            descend(property, change);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
            descend(items, change);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
            descend(values, change);
        }
    }
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) {
            descend(schema, change);
        }
    }
}

/// The derive makes every optional field nullable, but `null` is a mistake (`podSelector:` without a value) and must
/// not count as a value. It also keeps the line breaks of the source, which `kubectl explain` would show.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(choices) = &mut schema.enum_ {
        choices.retain(|choice| !choice.0.is_null());
    }
    if let Some(text) = &mut schema.description {
        *text = text.replace('\n', " ");
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
                &name,
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
                "string" if schema["format"] == "date-time" => &schema["format"],
                "string" => &schema["maxLength"],
                "integer" => &schema["maximum"],
                "object" if schema["additionalProperties"].is_object() => &schema["maxProperties"],
                _ => return,
            };
            assert!(!bound.is_null(), "{at} has no bound");
        });
    }

    /// A category of a kind's own name would win: `kubectl get podconfig NAME` would ask for all kinds.
    #[test]
    fn no_category_is_a_word_for_one_kind() {
        for (name, crd) in all() {
            let names = &crd.spec.names;
            let short = names.short_names.iter().flatten();
            let words: Vec<&String> = short
                .chain(&names.singular)
                .chain([&names.plural])
                .collect();
            for category in names.categories.iter().flatten() {
                assert!(!words.contains(&category), "{name}: {category}");
            }
            assert_ne!(names.categories.iter().flatten().count(), 0, "{name}");
        }
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
    fn only_kinds_that_users_write_have_a_status_subresource() {
        for (name, crd) in all() {
            let status = crd.spec.versions[0]
                .subresources
                .as_ref()
                .and_then(|s| s.status.as_ref());
            let has_one = ["podconfigs.yaml", "podconfigpolicies.yaml"].contains(&name.as_str());
            assert_eq!(status.is_some(), has_one, "{name}");
        }
    }
}
