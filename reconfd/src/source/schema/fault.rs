//! What a fault says: where it is and what is wrong, short, and with nothing in it that a terminal
//! would obey, whatever the manifest holds.

use std::fmt;

use serde_json::Value;

use super::Fault;

/// How many faults of one object are told; a thousand wrong labels are one mistake.
const TOLD: usize = 20;
/// How much of a wrong string is shown.
const SHOWN: usize = 60;

/// Where in the object a value is; costs nothing until a fault is told.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

#[derive(Default)]
pub struct Faults {
    told: Vec<Fault>,
    more: usize,
}

impl Path<'_> {
    pub fn field<'a>(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Key(parent, key) => write!(f, "{parent}[{}]", quoted(key)),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Faults {
    pub fn add(&mut self, path: &Path<'_>, message: impl Into<String>) {
        match self.told.len() < TOLD {
            true => self.told.push(Fault {
                field: path.to_string(),
                message: message.into(),
            }),
            false => self.more += 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub fn into_result(mut self, value: Value) -> Result<Value, Vec<Fault>> {
        if self.more > 0 {
            let message = format!("and {} more faults", self.more);
            self.told.push(Fault {
                field: String::new(),
                message,
            });
        }
        match self.told.is_empty() {
            true => Ok(value),
            false => Err(self.told),
        }
    }
}

/// Where an unknown field is; a name that is no plain word is shown as the hostile text it may be.
pub fn unknown<'a>(path: &'a Path<'a>, name: &'a str) -> Path<'a> {
    match name.bytes().all(|b| b.is_ascii_alphanumeric()) && name.len() <= SHOWN {
        true => Path::Field(path, name),
        false => Path::Key(path, name),
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

/// How many letters apart two words are, the case of letters apart.
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

/// A value as a message may show it: short, and with nothing that a terminal would obey.
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
