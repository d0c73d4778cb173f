//! Holds a value against a compiled schema. Costs no more than the value's size, however hostile it
//! is.

use std::{collections::HashSet, ops::RangeInclusive};

use serde_json::Value;

use super::{
    fault::{Faults, Path, quoted, shown, unknown, unknown_field},
    node::{Node, Shape, Unique},
};

impl Node {
    /// Types, bounds, choices, patterns, missing, unknown and doubled things.
    pub fn check(&self, value: &Value, path: &Path<'_>, faults: &mut Faults) {
        match (&self.shape, value) {
            (Shape::Object { fields, required }, Value::Object(object)) => {
                for name in required.iter().filter(|name| !object.contains_key(*name)) {
                    faults.add(&path.field(name), "is missing");
                }
                for (name, value) in object {
                    match fields.get(name) {
                        Some(node) => node.check(value, &path.field(name), faults),
                        None if is_head(path, name) => {}
                        None => {
                            faults.add(&unknown(path, name), unknown_field(name, fields.keys()))
                        }
                    }
                }
            }
            (Shape::Map { values, most }, Value::Object(map)) => {
                if has_size(map.len(), 0..=*most, ["entry", "entries"], path, faults) {
                    for (key, value) in map {
                        values.check(value, &Path::Key(path, key), faults);
                    }
                }
            }
            (
                Shape::List {
                    items,
                    least,
                    most,
                    unique,
                },
                Value::Array(list),
            ) => {
                if has_size(list.len(), *least..=*most, ["item", "items"], path, faults) {
                    for (index, item) in list.iter().enumerate() {
                        items.check(item, &Path::Index(path, index), faults);
                    }
                    check_unique(list, unique, path, faults);
                }
            }
            (Shape::Text { .. }, Value::String(text)) => self.check_text(text, path, faults),
            (Shape::Integer { least, most }, Value::Number(number)) => {
                if let Some(wrong) = check_integer(number, *least, *most) {
                    faults.add(path, wrong);
                }
            }
            (Shape::Boolean, Value::Bool(_)) => {}
            (_, Value::Null) => faults.add(path, "is null; give it a value or leave the field out"),
            (shape, value) => faults.add(path, wrong_type(shape, value)),
        }
    }

    fn check_text(&self, text: &str, path: &Path<'_>, faults: &mut Faults) {
        let Shape::Text {
            least,
            most,
            pattern,
            choices,
            date,
        } = &self.shape
        else {
            return;
        };
        let length = text.chars().take(most.saturating_add(1)).count();
        if text.is_empty() && *least > 0 {
            faults.add(path, "is empty");
        } else if length < *least {
            faults.add(
                path,
                format!("{} is shorter than {least} characters", quoted(text)),
            );
        } else if length > *most {
            faults.add(
                path,
                format!("{} is longer than {most} characters", quoted(text)),
            );
        } else if !choices.is_empty() && !choices.iter().any(|choice| choice == text) {
            faults.add(
                path,
                format!("{} is not one of {}", quoted(text), choices.join(", ")),
            );
        } else if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            faults.add(path, format!("{} does not match {pattern}", quoted(text)));
        } else if *date && text.parse::<k8s_openapi::jiff::Timestamp>().is_err() {
            faults.add(
                path,
                format!("{} is no time, such as 2026-01-31T12:00:00Z", quoted(text)),
            );
        }
    }
}

fn wrong_type(shape: &Shape, value: &Value) -> String {
    let hint = match (shape, value) {
        (Shape::Text { .. }, Value::Number(_) | Value::Bool(_)) => "; put it in quotes",
        (Shape::Integer { .. }, Value::String(text)) if text.parse::<i64>().is_ok() => {
            "; leave out the quotes"
        }
        _ => "",
    };
    format!("{} is no {}{hint}", shown(value), shape.noun())
}

impl Shape {
    fn noun(&self) -> &'static str {
        match self {
            Self::Object { .. } => "object",
            Self::Map { .. } => "map",
            Self::List { .. } => "list",
            Self::Text { .. } => "string",
            Self::Integer { .. } => "whole number",
            Self::Boolean => "boolean (true or false)",
        }
    }
}

/// The fields that every object has are checked by `metadata`.
fn is_head(path: &Path<'_>, name: &str) -> bool {
    matches!(path, Path::Root) && matches!(name, "apiVersion" | "kind" | "metadata")
}

/// A list or map of the wrong size is not looked into: its size is the mistake.
fn has_size(
    size: usize,
    right: RangeInclusive<usize>,
    [one, many]: [&str; 2],
    path: &Path<'_>,
    faults: &mut Faults,
) -> bool {
    if size > *right.end() {
        faults.add(path, format!("{size} {many} are more than {}", right.end()));
    } else if size < *right.start() {
        let noun = if *right.start() == 1 { one } else { many };
        faults.add(path, format!("needs at least {} {noun}", right.start()));
    }
    right.contains(&size)
}

fn check_integer(number: &serde_json::Number, least: i64, most: i64) -> Option<String> {
    match number.as_i64() {
        Some(n) if n < least => Some(format!("{n} is less than {least}")),
        Some(n) if n > most => Some(format!("{n} is more than {most}")),
        Some(_) => None,
        None if number.is_u64() => Some(format!("{number} is more than {most}")),
        None => Some(format!("{number} is no whole number")),
    }
}

fn check_unique(list: &[Value], unique: &Unique, path: &Path<'_>, faults: &mut Faults) {
    let key = |item: &Value| match unique {
        Unique::Nothing => None,
        Unique::Items => item.as_str().map(str::to_owned),
        Unique::Keys(keys) => match &keys[..] {
            [key] => item.get(key)?.as_str().map(str::to_owned),
            keys => Some(
                keys.iter()
                    .map(|key| item.get(key).map(Value::to_string).unwrap_or_default() + "\0")
                    .collect(),
            ),
        },
    };
    let mut seen = HashSet::new();
    for (index, item) in list.iter().enumerate() {
        let Some(key) = key(item) else { continue };
        if seen.contains(&key) {
            let here = Path::Index(path, index);
            let message = format!("{} is there twice", quoted(&key));
            match unique {
                Unique::Keys(keys) if keys.len() == 1 => faults.add(&here.field(&keys[0]), message),
                _ => faults.add(&here, message),
            }
        }
        seen.insert(key);
    }
}
