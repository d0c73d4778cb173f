//! Strict validation of metadata: names and labels that an API server rejects are rejected here, because names
//! become file names, marks and messages.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::field_error::{FieldErrors, FieldPath, quoted, shown, unknown, unknown_field};

/// The API server's limit for annotations; applied to labels as well.
const MOST_BYTES: usize = 256 * 1024;
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks the metadata of `object`; a namespaced kind without a namespace gets `default`.
pub fn check(object: &mut Map<String, Value>, namespaced: bool, errors: &mut FieldErrors) {
    let path = FieldPath::Root.field("metadata");
    let metadata = match object.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return errors.add(&path, format!("{} is not an object", shown(other))),
        None => return errors.add(&path, "is missing"),
    };
    check_fields(metadata, &path, errors);
    check_name(metadata, &path, errors);
    check_namespace(metadata, namespaced, &path, errors);
    check_labels(metadata, &path, errors);
    check_annotations(metadata, &path, errors);
    check_types(metadata, &path, errors);
}

/// Checks the remaining fields by deserialising into `ObjectMeta`, and names the one that does not fit.
fn check_types(metadata: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if !errors.is_empty() || ObjectMeta::deserialize(metadata).is_ok() {
        return;
    }
    for (name, value) in metadata {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = ObjectMeta::deserialize(&alone) {
            errors.add(
                &path.field(name),
                format!("{} does not fit: {error}", shown(value)),
            );
        }
    }
}

fn check_fields(metadata: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    for name in metadata
        .keys()
        .filter(|name| !FIELDS.contains(&name.as_str()))
    {
        let known: Vec<String> = FIELDS.iter().map(|&field| field.to_owned()).collect();
        errors.add(&unknown(path, name), unknown_field(name, known.iter()));
    }
}

fn check_name(metadata: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let path = path.field("name");
    match metadata.get("name") {
        Some(Value::String(name)) if is_subdomain(name) => {}
        Some(Value::String(name)) => errors.add(
            &path,
            format!(
                "{} is not a valid name: lower-case letters, digits, - and . only, at most 253",
                quoted(name)
            ),
        ),
        Some(other) => errors.add(&path, format!("{} is not a string", shown(other))),
        None => errors.add(&path, "is missing"),
    }
}

fn check_namespace(
    metadata: &mut Map<String, Value>,
    namespaced: bool,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    let path = path.field("namespace");
    // A templating tool that has no namespace to give leaves the field empty.
    let given = metadata
        .get("namespace")
        .filter(|given| !given.is_null() && *given != "");
    match given {
        Some(_) if !namespaced => {
            errors.add(&path, "this kind is not namespaced; leave the field out")
        }
        None if namespaced => drop(metadata.insert("namespace".to_owned(), Value::from("default"))),
        None => {}
        Some(Value::String(name)) if is_label(name) => {}
        Some(Value::String(name)) => errors.add(
            &path,
            format!(
                "{} is not a valid namespace: lower-case letters, digits and - only, at most 63",
                quoted(name)
            ),
        ),
        Some(other) => errors.add(&path, format!("{} is not a string", shown(other))),
    }
}

fn check_labels(metadata: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let Some(labels) = object_at(metadata, "labels", path, errors) else {
        return;
    };
    let path = path.field("labels");
    check_bytes(labels, &path, errors);
    for (key, value) in labels {
        let path = FieldPath::Key(&path, key);
        if !is_label_key(key) {
            errors.add(
                &path,
                "is not a valid label key, such as app or example.com/app",
            );
        }
        match value {
            Value::String(value) if is_label_value(value) => {}
            Value::String(value) => errors.add(
                &path,
                format!(
                    "{} is not a valid label value: letters, digits, -, _ and . only, at most 63",
                    quoted(value)
                ),
            ),
            other => errors.add(
                &path,
                format!("{} is not a string; put it in quotes", shown(other)),
            ),
        }
    }
}

fn check_annotations(
    metadata: &Map<String, Value>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    let Some(annotations) = object_at(metadata, "annotations", path, errors) else {
        return;
    };
    let path = path.field("annotations");
    check_bytes(annotations, &path, errors);
    for (key, value) in annotations {
        let path = FieldPath::Key(&path, key);
        if !is_label_key(&key.to_ascii_lowercase()) {
            errors.add(
                &path,
                "is not a valid annotation key, such as example.com/note",
            );
        }
        if !value.is_string() {
            errors.add(
                &path,
                format!("{} is not a string; put it in quotes", shown(value)),
            );
        }
    }
}

fn check_bytes(map: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let bytes: usize = map
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > MOST_BYTES {
        errors.add(path, format!("{bytes} bytes are more than {MOST_BYTES}"));
    }
}

/// An RFC 1123 label: the name of a namespace.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_framed(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"-")
}

/// An RFC 1123 subdomain: the name of most objects.
pub fn is_subdomain(text: &str) -> bool {
    let label =
        |part: &str| is_framed(part, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"-");
    text.len() <= 253 && text.split('.').all(label)
}

fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain)
        && name.len() <= 63
        && is_framed(name, |b| b.is_ascii_alphanumeric(), b"-_.")
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || value.len() <= 63 && is_framed(value, |b| b.is_ascii_alphanumeric(), b"-_.")
}

/// At least one byte, `plain` ones at both ends, `inner` ones allowed between.
fn is_framed(text: &str, plain: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(|&b| plain(b)))
        && bytes.iter().all(|&b| plain(b) || inner.contains(&b))
}

/// A map of the metadata, if it is there.
fn object_at<'a>(
    map: &'a Map<String, Value>,
    name: &str,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<&'a Map<String, Value>> {
    match map.get(name)? {
        Value::Object(object) => Some(object),
        Value::Null => None,
        other => {
            errors.add(&path.field(name), format!("{} is not a map", shown(other)));
            None
        }
    }
}
