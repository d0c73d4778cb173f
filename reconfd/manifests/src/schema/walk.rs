//! Checks a value against a compiled schema, in time linear in the value's size, however hostile it is.

use std::{collections::HashSet, ops::RangeInclusive};

use serde_json::Value;

use super::{
    field_error::{FieldErrors, FieldPath, quoted, shown, unknown, unknown_field},
    schema_node::{SchemaNode, Shape, Unique},
};

impl SchemaNode {
    /// Checks types, bounds, enums, patterns, and missing, unknown and duplicate items.
    pub fn check(&self, value: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
        match (&self.shape, value) {
            (Shape::Object { fields, required }, Value::Object(object)) => {
                for name in required.iter().filter(|name| !object.contains_key(*name)) {
                    errors.add(&path.field(name), "is missing");
                }
                for (name, value) in object {
                    match fields.get(name) {
                        Some(node) => node.check(value, &path.field(name), errors),
                        None if is_head(path, name) => {}
                        None => {
                            errors.add(&unknown(path, name), unknown_field(name, fields.keys()))
                        }
                    }
                }
            }
            (Shape::Map { values, most }, Value::Object(map)) => {
                if has_size(map.len(), 0..=*most, ["entry", "entries"], path, errors) {
                    for (key, value) in map {
                        values.check(value, &FieldPath::Key(path, key), errors);
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
                if has_size(list.len(), *least..=*most, ["item", "items"], path, errors) {
                    for (index, item) in list.iter().enumerate() {
                        items.check(item, &FieldPath::Index(path, index), errors);
                    }
                    check_unique(list, unique, path, errors);
                }
            }
            (Shape::Text { .. }, Value::String(text)) => self.check_text(text, path, errors),
            (Shape::Integer { least, most }, Value::Number(number)) => {
                if let Some(wrong) = check_integer(number, *least, *most) {
                    errors.add(path, wrong);
                }
            }
            (Shape::Boolean, Value::Bool(_)) => {}
            (_, Value::Null) => errors.add(path, "is null; give it a value or leave the field out"),
            (shape, value) => errors.add(path, wrong_type(shape, value)),
        }
    }

    fn check_text(&self, text: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
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
            errors.add(path, "is empty");
        } else if length < *least {
            errors.add(
                path,
                format!("{} is shorter than {least} characters", quoted(text)),
            );
        } else if length > *most {
            errors.add(
                path,
                format!("{} is longer than {most} characters", quoted(text)),
            );
        } else if !choices.is_empty() && !choices.iter().any(|choice| choice == text) {
            errors.add(
                path,
                format!("{} is not one of {}", quoted(text), choices.join(", ")),
            );
        } else if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            errors.add(path, format!("{} does not match {pattern}", quoted(text)));
        } else if *date && text.parse::<k8s_openapi::jiff::Timestamp>().is_err() {
            errors.add(
                path,
                format!(
                    "{} is not a time, such as 2026-01-31T12:00:00Z",
                    quoted(text)
                ),
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
    format!("{} is not {}{hint}", shown(value), shape.noun())
}

impl Shape {
    fn noun(&self) -> &'static str {
        match self {
            Self::Object { .. } => "an object",
            Self::Map { .. } => "a map",
            Self::List { .. } => "a list",
            Self::Text { .. } => "a string",
            Self::Integer { .. } => "an integer",
            Self::Boolean => "a boolean (true or false)",
        }
    }
}

/// Whether this is a field that every object has; these are checked by `check_head`.
fn is_head(path: &FieldPath<'_>, name: &str) -> bool {
    matches!(path, FieldPath::Root) && matches!(name, "apiVersion" | "kind" | "metadata")
}

/// Checks the size. The items of a list or map of the wrong size are not checked.
fn has_size(
    size: usize,
    right: RangeInclusive<usize>,
    [one, many]: [&str; 2],
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> bool {
    if size > *right.end() {
        errors.add(path, format!("{size} {many} are more than {}", right.end()));
    } else if size < *right.start() {
        let noun = if *right.start() == 1 { one } else { many };
        errors.add(path, format!("needs at least {} {noun}", right.start()));
    }
    right.contains(&size)
}

fn check_integer(number: &serde_json::Number, least: i64, most: i64) -> Option<String> {
    match number.as_i64() {
        Some(n) if n < least => Some(format!("{n} is less than {least}")),
        Some(n) if n > most => Some(format!("{n} is more than {most}")),
        Some(_) => None,
        None if number.is_u64() => Some(format!("{number} is more than {most}")),
        None => Some(format!("{number} is not an integer")),
    }
}

fn check_unique(list: &[Value], unique: &Unique, path: &FieldPath<'_>, errors: &mut FieldErrors) {
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
            let here = FieldPath::Index(path, index);
            let message = format!("duplicate value {}", quoted(&key));
            match unique {
                Unique::Keys(keys) if keys.len() == 1 => errors.add(&here.field(&keys[0]), message),
                _ => errors.add(&here, message),
            }
        }
        seen.insert(key);
    }
}
