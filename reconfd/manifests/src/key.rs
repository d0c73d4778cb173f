//! The key of an object in a manifest: kind, namespace and name, each checked, so that a key is safe as a part of
//! a path.

use std::fmt;

use serde_json::{Map, Value};

use store::kinds::ObjectKind;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestKey {
    pub kind: ObjectKind,
    /// Empty for a cluster-scoped kind.
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ManifestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind.as_str(), self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind.as_str(), self.name),
        }
    }
}

/// Why a value has no valid key of a supported kind.
pub struct KeyError {
    pub field: &'static str,
    pub message: String,
    /// It may be an object of a supported kind, misspelt.
    pub may_be_supported: bool,
}

pub fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// The key of an object; a missing namespace is filled in.
pub fn key_of(value: &mut Value) -> Result<ManifestKey, KeyError> {
    let invalid = |field, message| KeyError {
        field,
        message,
        may_be_supported: true,
    };
    if !value.is_object() {
        return Err(invalid(
            "",
            "is not an object with apiVersion, kind and metadata".into(),
        ));
    }
    let kind = kind_of(value)?;
    let Some(Value::Object(metadata)) = value.get_mut("metadata") else {
        return Err(invalid(
            "metadata",
            "is missing, or is not an object".into(),
        ));
    };
    if kind.row().has_namespace
        && metadata
            .get("namespace")
            .is_none_or(|n| n.is_null() || n == "")
    {
        metadata.insert("namespace".into(), "default".into());
    }
    let name = name_of(metadata, "name").map_err(|message| invalid("metadata.name", message))?;
    let namespace = match (kind.row().has_namespace, metadata.get("namespace")) {
        (true, _) => name_of(metadata, "namespace")
            .map_err(|message| invalid("metadata.namespace", message))?,
        (false, None | Some(Value::Null)) => String::new(),
        (false, Some(_)) => {
            let message = format!("a {} is not namespaced", kind.as_str());
            return Err(invalid("metadata.namespace", message));
        }
    };
    Ok(ManifestKey {
        kind,
        namespace,
        name,
    })
}

fn kind_of(value: &Value) -> Result<ObjectKind, KeyError> {
    let absent = |field| KeyError {
        field,
        message: "is missing, or is not a string".into(),
        may_be_supported: true,
    };
    let api_version = text(value, "apiVersion").ok_or_else(|| absent("apiVersion"))?;
    let kind = text(value, "kind").ok_or_else(|| absent("kind"))?;
    ObjectKind::of_manifest(api_version, kind).ok_or_else(|| KeyError {
        field: "kind",
        message: format!(
            "{kind:?} of {api_version:?} is not supported here; supported are {}, and List of v1",
            supported()
        ),
        // Objects of other kinds may stay beside ours, and hide none of ours.
        may_be_supported: api_version.starts_with(crds::GROUP)
            || ObjectKind::of_manifest("v1", kind).is_some(),
    })
}

/// The kinds that a folder may contain, as text.
fn supported() -> String {
    let kinds = ObjectKind::manifests();
    let names = kinds.map(|kind| format!("{} of {}", kind.as_str(), kind.row().api_version));
    names.collect::<Vec<_>>().join(", ")
}

/// A name that Kubernetes accepts, and so is safe in a path.
fn name_of(metadata: &Map<String, Value>, field: &str) -> Result<String, String> {
    let name = match metadata.get(field) {
        None | Some(Value::Null) => return Err("is missing".into()),
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("{other} is not a string (quote it)")),
    };
    let longest = if field == "namespace" { 63 } else { 253 };
    let dotted = field != "namespace";
    if is_name(name, longest, dotted) {
        Ok(name.clone())
    } else {
        Err(format!(
            "{:?} is not a valid name: lower-case letters, digits and '-'{}, at most {longest}",
            name.chars().take(80).collect::<String>(),
            if dotted { " and '.'" } else { "" }
        ))
    }
}

pub fn is_name(name: &str, longest: usize, dotted: bool) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|b| plain(*b) || *b == b'-')
            && bytes.first().is_some_and(|b| plain(*b))
            && bytes.last().is_some_and(|b| plain(*b))
    };
    name.len() <= longest
        && if dotted {
            name.split('.').all(label)
        } else {
            label(name)
        }
}
