//! Field errors with their paths. Messages are short and hold no terminal escapes, whatever the manifest
//! contains.

use std::fmt;

use serde_json::Value;

use super::FieldError;

/// Errors reported per object; a thousand wrong labels are one mistake.
const MAX_ERRORS: usize = 20;
/// Characters of a wrong string that are shown.
const SHOWN: usize = 60;

/// The path of a value in the object; formatted only when an error is reported.
#[derive(Clone, Copy)]
pub enum FieldPath<'a> {
    Root,
    Field(&'a FieldPath<'a>, &'a str),
    Key(&'a FieldPath<'a>, &'a str),
    Index(&'a FieldPath<'a>, usize),
}

#[derive(Default)]
pub struct FieldErrors {
    reported: Vec<FieldError>,
    more: usize,
}

impl FieldPath<'_> {
    pub fn field<'a>(&'a self, name: &'a str) -> FieldPath<'a> {
        FieldPath::Field(self, name)
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldPath::Root => Ok(()),
            FieldPath::Field(FieldPath::Root, name) => f.write_str(name),
            FieldPath::Field(parent, name) => write!(f, "{parent}.{name}"),
            FieldPath::Key(parent, key) => write!(f, "{parent}[{}]", quoted(key)),
            FieldPath::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl FieldErrors {
    pub fn add(&mut self, path: &FieldPath<'_>, message: impl Into<String>) {
        match self.reported.len() < MAX_ERRORS {
            true => self.reported.push(FieldError {
                field: path.to_string(),
                message: message.into(),
            }),
            false => self.more += 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.reported.is_empty()
    }

    pub fn into_result(mut self, value: Value) -> Result<Value, Vec<FieldError>> {
        if self.more > 0 {
            let message = format!("and {} more errors", self.more);
            self.reported.push(FieldError {
                field: String::new(),
                message,
            });
        }
        match self.reported.is_empty() {
            true => Ok(value),
            false => Err(self.reported),
        }
    }
}

/// The path of an unknown field. A name that is not alphanumeric may be hostile, and is quoted.
pub fn unknown<'a>(path: &'a FieldPath<'a>, name: &'a str) -> FieldPath<'a> {
    match name.bytes().all(|b| b.is_ascii_alphanumeric()) && name.len() <= SHOWN {
        true => FieldPath::Field(path, name),
        false => FieldPath::Key(path, name),
    }
}

pub fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let near = (name.len() <= SHOWN)
        .then(|| known.map(|k| (distance(name, k), k)).min())
        .flatten();
    match near {
        Some((distance, known)) if distance <= 2 && distance < known.len() => {
            format!("unknown field; did you mean {known}?")
        }
        _ => "unknown field".to_owned(),
    }
}

/// The edit distance of two words, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let swapped = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = swapped.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A value as shown in a message: short, and without terminal escapes.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(map) if map.is_empty() => "an empty object".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
