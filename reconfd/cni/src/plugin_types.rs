//! The types of all plugins that the configuration of one plugin names, at any depth: a plugin executes others, and
//! with them whatever binary the configuration says.

use serde_json::{Map, Value};

use crate::names::{self, NameError};

/// Keys that lead to a type, each of which a plugin also takes in another case.
const LEADING: [&str; 5] = ["type", "ipam", "delegate", "delegates", "plugins"];
/// Flannel executes these without being asked to.
const OF_FLANNEL: [(&str, &str); 2] = [("delegate", "bridge"), ("ipam", "host-local")];

/// A type, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeAt {
    pub name: String,
    /// As `ipam.type`.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    #[error("{path}: {error}")]
    Name { path: String, error: NameError },
    #[error("{0} is missing")]
    Missing(String),
    #[error("{path} must be {kind}")]
    Kind { path: String, kind: &'static str },
    #[error("{path} must be written {key}")]
    Case { path: String, key: &'static str },
}

/// The types in the object of a plugin, its own first.
pub fn of_plugin(object: &Map<String, Value>) -> Result<Vec<TypeAt>, TypesError> {
    let mut types = vec![];
    walk(object, "", &mut types)?;
    match types.first().is_some_and(|first| first.path == "type") {
        true => Ok(types),
        false => Err(TypesError::Missing("type".to_owned())),
    }
}

fn walk(
    object: &Map<String, Value>,
    path: &str,
    types: &mut Vec<TypeAt>,
) -> Result<(), TypesError> {
    check_case(object, path)?;
    let own = type_of(object, path)?;
    types.extend(own.clone());
    for key in ["ipam", "delegate"] {
        let at = below(path, key);
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(inner)) => walk(inner, &at, types)?,
            Some(_) => return Err(kind(at, "an object")),
        }
    }
    for key in ["delegates", "plugins"] {
        let at = below(path, key);
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => walk_list(items, &at, types)?,
            Some(_) => return Err(kind(at, "a list")),
        }
    }
    if own.is_some_and(|own| own.name == "flannel") {
        types.extend(OF_FLANNEL.map(|(key, name)| TypeAt {
            name: name.to_owned(),
            path: below(path, &format!("{key}.type")),
        }));
    }
    Ok(())
}

fn walk_list(items: &[Value], path: &str, types: &mut Vec<TypeAt>) -> Result<(), TypesError> {
    for (index, item) in items.iter().enumerate() {
        let at = format!("{path}[{index}]");
        match item {
            Value::Object(inner) => walk(inner, &at, types)?,
            _ => return Err(kind(at, "an object")),
        }
    }
    Ok(())
}

fn check_case(object: &Map<String, Value>, path: &str) -> Result<(), TypesError> {
    for written in object.keys() {
        let meant = LEADING
            .into_iter()
            .find(|key| key.eq_ignore_ascii_case(written));
        if let Some(key) = meant.filter(|key| key != written) {
            let path = below(path, written);
            return Err(TypesError::Case { path, key });
        }
    }
    Ok(())
}

/// The type of an object. An empty one is none, as plugins read it.
fn type_of(object: &Map<String, Value>, path: &str) -> Result<Option<TypeAt>, TypesError> {
    let path = below(path, "type");
    match object.get("type") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) => match names::plugin_type(name) {
            Ok(()) => Ok(Some(TypeAt {
                name: name.clone(),
                path,
            })),
            Err(error) => Err(TypesError::Name { path, error }),
        },
        Some(_) => Err(kind(path, "a text")),
    }
}

fn below(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

fn kind(path: String, kind: &'static str) -> TypesError {
    TypesError::Kind { path, kind }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
