//! Strict JSON. Plugins are programs in Go, whose decoder ignores the case of keys, takes the last of equal keys, and
//! folds `ſ` (U+017F) and `K` (U+212A) onto `s` and `k`. What is accepted here has one reading: no key equals another
//! one in any of these ways, so the rendering that a plugin gets means to it what it meant here.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Number, Value};

/// Of a configuration, in bytes.
pub const LARGEST_CONFIGURATION: usize = 64 << 10;
/// The outermost object is the first level.
pub const DEEPEST: usize = 16;
const LONGEST_KEY: usize = 256;
const SHOWN: usize = 60;
/// An object with such a key is something else to serde_json: it would not be read back as it was written.
const PRIVATE_TO_SERDE: &str = "$serde_json::private::";
/// From here on an integer does not fit in 64 bits, or only as unsigned, which is no float to serde_json.
const BEYOND_64_BITS: f64 = 9_223_372_036_854_775_808.0;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// Parses a configuration.
pub fn parse(text: &str) -> Result<Value, JsonError> {
    parse_within(text, LARGEST_CONFIGURATION)
}

/// Parses a text of at most so many bytes.
pub fn parse_within(text: &str, most_bytes: usize) -> Result<Value, JsonError> {
    if text.len() > most_bytes {
        return Err(JsonError(format!(
            "{} bytes are more than {most_bytes}",
            text.len()
        )));
    }
    let mut deserializer = Deserializer::from_str(text);
    Node { path: &Path::Root }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError(error.to_string()))
}

/// The member of an object as Go reads it, whatever the case of its key. There is at most one, because the object was
/// parsed here.
pub fn member<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let found = object
        .iter()
        .find(|(written, _)| written.eq_ignore_ascii_case(key));
    found.map(|(_, value)| value)
}

/// The beginning of a text, for a message.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Where a value is.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn level(&self) -> usize {
        match self {
            Self::Root => 1,
            Self::Key(parent, _) | Self::Index(parent, _) => parent.level() + 1,
        }
    }

    fn refused<E: serde::de::Error>(&self, problem: impl fmt::Display) -> E {
        E::custom(format_args!("{self}: {problem}"))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the object"),
            Self::Key(Path::Root, key) => write!(f, "{}", shown(key).escape_debug()),
            Self::Key(parent, key) => write!(f, "{parent}.{}", shown(key).escape_debug()),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The value at a path.
struct Node<'a> {
    path: &'a Path<'a>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Node<'_> {
    fn check_level<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.path.level() > DEEPEST {
            true => Err(self
                .path
                .refused(format_args!("nested deeper than {DEEPEST} levels"))),
            false => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match float(value) {
            Ok(number) => Ok(Value::Number(number)),
            Err(problem) => Err(self.path.refused(problem)),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.check_level()?;
        let mut items = vec![];
        loop {
            let path = Path::Index(self.path, items.len());
            match access.next_element_seed(Node { path: &path })? {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.check_level()?;
        let (mut members, mut folded) = (Map::new(), HashSet::new());
        while let Some(key) = access.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            check_key(&key).map_err(|problem| path.refused::<A::Error>(problem))?;
            if members.contains_key(&key) {
                return Err(path.refused("the key occurs twice"));
            }
            if !folded.insert(key.to_ascii_lowercase()) {
                return Err(path.refused("the key equals another one if case is ignored"));
            }
            let value = access.next_value_seed(Node { path: &path })?;
            members.insert(key, value);
        }
        Ok(members.into())
    }
}

/// ASCII alone: then Go's folding is that of ASCII.
fn check_key(key: &str) -> Result<(), &'static str> {
    if !key.is_ascii() {
        return Err("the key has a character outside of ASCII");
    }
    if key.len() > LONGEST_KEY {
        return Err("the key is too long");
    }
    if key.starts_with(PRIVATE_TO_SERDE) {
        return Err("the key is reserved");
    }
    Ok(())
}

/// A number that is no integer of 64 bits. It must come back the same after each rendering.
fn float(value: f64) -> Result<Number, &'static str> {
    if value.fract() == 0.0 && value.abs() >= BEYOND_64_BITS {
        return Err("the integer does not fit in 64 bits");
    }
    if value == 0.0 && value.is_sign_negative() {
        return Err("zero has no sign");
    }
    let number = Number::from_f64(value).ok_or("the number is not finite")?;
    let read_back = serde_json::from_str::<f64>(&number.to_string());
    match read_back.is_ok_and(|read| read.to_bits() == value.to_bits()) {
        true => Ok(number),
        false => Err("the number has too many digits"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
