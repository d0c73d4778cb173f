//! The CEL rules of a CRD, compiled once and evaluated for each object. A rule that cannot be evaluated counts as
//! violated.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use kube::core::cel::{
    KubeCelExt as _,
    cel::{
        Context, ExecutionError, Value as Cel,
        extractors::This,
        objects::{Key, Map},
    },
};
use regex::Regex;
use serde_json::Value;

use super::{
    field_error::{FieldErrors, FieldPath, shown},
    schema_node::{SchemaNode, Shape},
};

/// Evaluates rules; holds the functions that they may call.
pub struct CelRules {
    base: Context<'static>,
}

impl CelRules {
    pub fn new() -> Self {
        let mut base = Context::default().with_all();
        // The built-in compiles its pattern at each call; the patterns of a CRD are few and fixed.
        let known = Patterns::default();
        base.add_function(
            "matches",
            move |This(text): This<Arc<String>>, pattern: Arc<String>| {
                known.is_match(&text, &pattern)
            },
        );
        Self { base }
    }

    /// Evaluates the rules of `node` and of its descendants.
    pub fn check(
        &self,
        node: &SchemaNode,
        value: &Value,
        path: &FieldPath<'_>,
        errors: &mut FieldErrors,
    ) {
        if !node.has_rules {
            return;
        }
        self.check_node(node, value, path, errors);
        match (&node.shape, value) {
            (Shape::Object { fields, .. }, Value::Object(object)) => {
                for (name, value) in object {
                    if let Some(node) = fields.get(name) {
                        self.check(node, value, &path.field(name), errors);
                    }
                }
            }
            (Shape::Map { values, .. }, Value::Object(map)) => {
                for (key, value) in map {
                    self.check(values, value, &FieldPath::Key(path, key), errors);
                }
            }
            (Shape::List { items, .. }, Value::Array(list)) => {
                for (index, item) in list.iter().enumerate() {
                    self.check(items, item, &FieldPath::Index(path, index), errors);
                }
            }
            _ => {}
        }
    }

    fn check_node(
        &self,
        node: &SchemaNode,
        value: &Value,
        path: &FieldPath<'_>,
        errors: &mut FieldErrors,
    ) {
        if node.rules.is_empty() {
            return;
        }
        let mut scope = self.base.new_inner_scope();
        scope.add_variable_from_value("self", cel(value));
        for rule in &node.rules {
            let message = match rule.program.execute(&scope) {
                Ok(Cel::Bool(true)) => continue,
                Ok(Cel::Bool(false)) => match value {
                    Value::Object(_) | Value::Array(_) => rule.message.clone(),
                    scalar => format!("{}: {}", shown(scalar), rule.message),
                },
                Ok(_) => format!("the rule {} does not evaluate to a boolean", rule.text),
                Err(error) => format!("cannot evaluate the rule {}: {error}", rule.text),
            };
            match rule.field.strip_prefix('.') {
                Some(field) => errors.add(&path.field(field), message),
                None => errors.add(path, message),
            }
        }
    }
}

fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(bool) => Cel::Bool(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(list) => Cel::List(Arc::new(list.iter().map(cel).collect())),
        Value::Object(object) => {
            let entry = |(name, value): (&String, &Value)| {
                (Key::String(Arc::new(name.clone())), cel(value))
            };
            Cel::Map(Map {
                map: Arc::new(object.iter().map(entry).collect()),
            })
        }
    }
}

#[derive(Default)]
struct Patterns(RwLock<HashMap<String, Regex>>);

impl Patterns {
    fn is_match(&self, text: &str, pattern: &str) -> Result<bool, ExecutionError> {
        // Matched under the lock: a clone of a pattern has no scratch space and makes its own.
        if let Ok(known) = self.0.read()
            && let Some(known) = known.get(pattern)
        {
            return Ok(known.is_match(text));
        }
        let made = Regex::new(pattern)
            .map_err(|e| ExecutionError::function_error("matches", e.to_string()))?;
        let matches = made.is_match(text);
        if let Ok(mut known) = self.0.write() {
            known.insert(pattern.to_owned(), made);
        }
        Ok(matches)
    }
}
