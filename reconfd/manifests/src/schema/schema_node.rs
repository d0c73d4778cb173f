//! A CRD's OpenAPI schema, compiled to a tree. Compilation fails on a keyword that this code does not check, so
//! that no constraint is skipped silently.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use serde_json::Value;

use super::cel_rule::CelRule;

/// Schema of one value.
pub struct SchemaNode {
    pub shape: Shape,
    pub rules: Vec<CelRule>,
    /// Whether this node or a descendant has CEL rules; other branches are not walked for them.
    pub has_rules: bool,
    pub default: Option<Value>,
}

pub enum Shape {
    /// Named fields and no others.
    Object {
        fields: BTreeMap<String, SchemaNode>,
        required: Vec<String>,
    },
    /// Arbitrary keys.
    Map {
        values: Box<SchemaNode>,
        most: usize,
    },
    List {
        items: Box<SchemaNode>,
        least: usize,
        most: usize,
        unique: Unique,
    },
    Text {
        least: usize,
        most: usize,
        pattern: Option<Regex>,
        choices: Vec<String>,
        date: bool,
    },
    Integer {
        least: i64,
        most: i64,
    },
    Boolean,
}

/// Uniqueness constraint of a list.
pub enum Unique {
    Nothing,
    Items,
    /// The values of these fields, together.
    Keys(Vec<String>),
}

impl SchemaNode {
    pub fn compile(schema: &JSONSchemaProps, at: &str) -> anyhow::Result<Self> {
        reject_unsupported_keywords(schema).with_context(|| format!("schema of {at:?}"))?;
        let shape = match schema.type_.as_deref() {
            Some("object") => object(schema, at)?,
            Some("array") => list(schema, at)?,
            Some("string") => text(schema).with_context(|| format!("schema of {at:?}"))?,
            Some("integer") => integer(schema),
            Some("boolean") => Shape::Boolean,
            other => bail!("schema of {at:?}: the type {other:?} is not supported"),
        };
        let rules = CelRule::compile_all(
            schema
                .x_kubernetes_validations
                .as_deref()
                .unwrap_or_default(),
        )?;
        let has_rules = !rules.is_empty() || shape.children().any(|child| child.has_rules);
        let default = schema.default.as_ref().map(|json| json.0.clone());
        Ok(Self {
            shape,
            rules,
            has_rules,
            default,
        })
    }

    /// Fills in the defaults of missing fields, as an API server does before validation.
    pub fn fill(&self, value: &mut Value) {
        match (&self.shape, value) {
            (Shape::Object { fields, .. }, Value::Object(object)) => {
                for (name, node) in fields {
                    match (object.get_mut(name), &node.default) {
                        (Some(present), _) => node.fill(present),
                        (None, Some(default)) => drop(object.insert(name.clone(), default.clone())),
                        (None, None) => {}
                    }
                }
            }
            (Shape::Map { values, .. }, Value::Object(object)) => {
                object.values_mut().for_each(|v| values.fill(v))
            }
            (Shape::List { items, .. }, Value::Array(list)) => {
                list.iter_mut().for_each(|v| items.fill(v))
            }
            _ => {}
        }
    }
}

impl Shape {
    fn children(&self) -> Box<dyn Iterator<Item = &SchemaNode> + '_> {
        match self {
            Self::Object { fields, .. } => Box::new(fields.values()),
            Self::Map { values: child, .. } | Self::List { items: child, .. } => {
                Box::new(std::iter::once(&**child))
            }
            _ => Box::new(std::iter::empty()),
        }
    }
}

fn reject_unsupported_keywords(schema: &JSONSchemaProps) -> anyhow::Result<()> {
    let keywords = [
        ("allOf", schema.all_of.is_some()),
        ("anyOf", schema.any_of.is_some()),
        ("oneOf", schema.one_of.is_some()),
        ("not", schema.not.is_some()),
        ("nullable", schema.nullable == Some(true)),
        ("multipleOf", schema.multiple_of.is_some()),
        ("exclusiveMinimum", schema.exclusive_minimum == Some(true)),
        ("exclusiveMaximum", schema.exclusive_maximum == Some(true)),
        ("uniqueItems", schema.unique_items == Some(true)),
        ("minProperties", schema.min_properties.is_some()),
        ("patternProperties", schema.pattern_properties.is_some()),
        ("dependencies", schema.dependencies.is_some()),
        (
            "x-kubernetes-int-or-string",
            schema.x_kubernetes_int_or_string == Some(true),
        ),
        (
            "x-kubernetes-embedded-resource",
            schema.x_kubernetes_embedded_resource == Some(true),
        ),
        (
            "x-kubernetes-preserve-unknown-fields",
            schema.x_kubernetes_preserve_unknown_fields == Some(true),
        ),
    ];
    match keywords.into_iter().find(|(_, used)| *used) {
        Some((keyword, _)) => bail!("the keyword {keyword} is not supported"),
        None => Ok(()),
    }
}

fn object(schema: &JSONSchemaProps, at: &str) -> anyhow::Result<Shape> {
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        let values = Box::new(SchemaNode::compile(values, at)?);
        return Ok(Shape::Map {
            values,
            most: size(schema.max_properties),
        });
    }
    let mut fields = BTreeMap::new();
    for (name, property) in schema.properties.iter().flatten() {
        fields.insert(
            name.clone(),
            SchemaNode::compile(property, &format!("{at}.{name}"))?,
        );
    }
    Ok(Shape::Object {
        fields,
        required: schema.required.clone().unwrap_or_default(),
    })
}

fn list(schema: &JSONSchemaProps, at: &str) -> anyhow::Result<Shape> {
    let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else {
        bail!("schema of {at:?}: a list without one schema for its items");
    };
    let unique = match schema.x_kubernetes_list_type.as_deref() {
        Some("map") => Unique::Keys(
            schema
                .x_kubernetes_list_map_keys
                .clone()
                .unwrap_or_default(),
        ),
        Some("set") => Unique::Items,
        _ => Unique::Nothing,
    };
    let items = Box::new(SchemaNode::compile(items, &format!("{at}[]"))?);
    Ok(Shape::List {
        items,
        least: schema.min_items.map_or(0, |n| size(Some(n))),
        most: size(schema.max_items),
        unique,
    })
}

fn text(schema: &JSONSchemaProps) -> anyhow::Result<Shape> {
    let word = |json: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON| {
        json.0
            .as_str()
            .map(str::to_owned)
            .context("a choice that is not a string")
    };
    Ok(Shape::Text {
        least: schema.min_length.map_or(0, |n| size(Some(n))),
        most: size(schema.max_length),
        pattern: schema.pattern.as_deref().map(Regex::new).transpose()?,
        choices: schema
            .enum_
            .iter()
            .flatten()
            .map(word)
            .collect::<anyhow::Result<_>>()?,
        date: schema.format.as_deref() == Some("date-time"),
    })
}

/// Bounds are doubles in the schema; all of ours are integers.
fn integer(schema: &JSONSchemaProps) -> Shape {
    let (least, most) = match schema.format.as_deref() {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    Shape::Integer {
        least: schema
            .minimum
            .map_or(least, |bound| least.max(bound.ceil() as i64)),
        most: schema
            .maximum
            .map_or(most, |bound| most.min(bound.floor() as i64)),
    }
}

fn size(bound: Option<i64>) -> usize {
    bound.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0))
}
