//! The CEL rules of a CRD: compiled once, then asked about each object. A rule that cannot be
//! evaluated is a fault: what cannot be judged is not let in.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use anyhow::anyhow;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use kube::core::cel::{
    KubeCelExt as _,
    cel::{
        Context, ExecutionError, Program, Value as Cel,
        extractors::This,
        objects::{Key, Map},
    },
};
use regex::Regex;
use serde_json::Value;

use super::{
    fault::{Faults, Path, shown},
    node::{Node, Shape, Unique},
};

pub struct Rule {
    program: Program,
    text: String,
    message: String,
    /// `.table`: the field that the message is about, if it is not the whole.
    field: String,
    /// Speaks of a change, and so only of an object that there was before.
    of_change: bool,
}

/// The functions that a rule may call.
pub struct Judge {
    base: Context<'static>,
}

impl Rule {
    pub fn compile_all(rules: &[ValidationRule]) -> anyhow::Result<Vec<Self>> {
        rules.iter().map(Self::compile).collect()
    }

    fn compile(rule: &ValidationRule) -> anyhow::Result<Self> {
        let program =
            Program::compile(&rule.rule).map_err(|e| anyhow!("rule {:?}: {e}", rule.rule))?;
        if rule.message_expression.is_some() || rule.optional_old_self.is_some() {
            return Err(anyhow!(
                "rule {:?}: only a fixed message and a plain oldSelf are known here",
                rule.rule
            ));
        }
        Ok(Self {
            of_change: program.references().has_variable("oldSelf"),
            program,
            text: rule.rule.clone(),
            message: rule
                .message
                .clone()
                .unwrap_or_else(|| format!("breaks the rule {}", rule.rule)),
            field: rule.field_path.clone().unwrap_or_default(),
        })
    }
}

impl Judge {
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

    /// Asks every rule of `node` and of what is below it.
    pub fn judge(
        &self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        faults: &mut Faults,
    ) {
        if !node.judged {
            return;
        }
        self.ask(node, value, old, path, faults);
        match (&node.shape, value) {
            (Shape::Object { fields, .. }, Value::Object(object)) => {
                for (name, value) in object {
                    if let Some(node) = fields.get(name) {
                        self.judge(
                            node,
                            value,
                            old.and_then(|old| old.get(name)),
                            &path.field(name),
                            faults,
                        );
                    }
                }
            }
            (Shape::Map { values, .. }, Value::Object(map)) => {
                for (key, value) in map {
                    self.judge(
                        values,
                        value,
                        old.and_then(|old| old.get(key)),
                        &Path::Key(path, key),
                        faults,
                    );
                }
            }
            (Shape::List { items, unique, .. }, Value::Array(list)) => {
                for (index, item) in list.iter().enumerate() {
                    let old = old.and_then(|old| same_item(old, item, unique));
                    self.judge(items, item, old, &Path::Index(path, index), faults);
                }
            }
            _ => {}
        }
    }

    fn ask(
        &self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        faults: &mut Faults,
    ) {
        if node.rules.is_empty() {
            return;
        }
        let mut scope = self.base.new_inner_scope();
        scope.add_variable_from_value("self", cel(value));
        if let Some(old) = old.filter(|_| node.rules.iter().any(|rule| rule.of_change)) {
            scope.add_variable_from_value("oldSelf", cel(old));
        }
        for rule in node
            .rules
            .iter()
            .filter(|rule| old.is_some() || !rule.of_change)
        {
            let message = match rule.program.execute(&scope) {
                Ok(Cel::Bool(true)) => continue,
                Ok(Cel::Bool(false)) => match value {
                    Value::Object(_) | Value::Array(_) => rule.message.clone(),
                    scalar => format!("{}: {}", shown(scalar), rule.message),
                },
                Ok(_) => format!("the rule {} gives no yes or no", rule.text),
                Err(error) => format!("the rule {} cannot be judged: {error}", rule.text),
            };
            match rule.field.strip_prefix('.') {
                Some(field) => faults.add(&path.field(field), message),
                None => faults.add(path, message),
            }
        }
    }
}

/// An apiserver compares the items of a list with old ones only where a key tells which is which.
fn same_item<'a>(old: &'a Value, item: &Value, unique: &Unique) -> Option<&'a Value> {
    let Unique::Keys(keys) = unique else {
        return None;
    };
    old.as_array()?
        .iter()
        .find(|old| keys.iter().all(|key| old.get(key) == item.get(key)))
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
