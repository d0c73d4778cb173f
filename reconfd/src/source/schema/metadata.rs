//! An object's metadata, strictly: what an apiserver refuses in a name or a label is refused here,
//! because names become file names, marks and messages.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::fault::{Faults, Path, quoted, shown, unknown, unknown_field};

/// As much as an apiserver takes of annotations; labels here get no more.
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

/// Checks the metadata of `object` and puts the namespace `default` where a namespaced kind has none.
pub fn check(object: &mut Map<String, Value>, namespaced: bool, faults: &mut Faults) {
    let path = Path::Root.field("metadata");
    let metadata = match object.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return faults.add(&path, format!("{} is no object", shown(other))),
        None => return faults.add(&path, "is missing"),
    };
    check_fields(metadata, &path, faults);
    check_name(metadata, &path, faults);
    check_namespace(metadata, namespaced, &path, faults);
    check_labels(metadata, &path, faults);
    check_annotations(metadata, &path, faults);
    check_types(metadata, &path, faults);
}

/// What is left: the typed form takes it, or the field that it does not take is named.
fn check_types(metadata: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    if !faults.is_empty() || ObjectMeta::deserialize(metadata).is_ok() {
        return;
    }
    for (name, value) in metadata {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = ObjectMeta::deserialize(&alone) {
            faults.add(
                &path.field(name),
                format!("{} does not fit: {error}", shown(value)),
            );
        }
    }
}

fn check_fields(metadata: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    for name in metadata
        .keys()
        .filter(|name| !FIELDS.contains(&name.as_str()))
    {
        let known: Vec<String> = FIELDS.iter().map(|&field| field.to_owned()).collect();
        faults.add(&unknown(path, name), unknown_field(name, known.iter()));
    }
}

fn check_name(metadata: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    let path = path.field("name");
    match metadata.get("name") {
        Some(Value::String(name)) if is_subdomain(name) => {}
        Some(Value::String(name)) => faults.add(
            &path,
            format!(
                "{} is no name: lower-case letters, digits, - and . only, at most 253",
                quoted(name)
            ),
        ),
        Some(other) => faults.add(&path, format!("{} is no string", shown(other))),
        None => faults.add(&path, "is missing"),
    }
}

fn check_namespace(
    metadata: &mut Map<String, Value>,
    namespaced: bool,
    path: &Path<'_>,
    faults: &mut Faults,
) {
    let path = path.field("namespace");
    // A templating tool that has no namespace to give leaves the field empty.
    let given = metadata
        .get("namespace")
        .filter(|given| !given.is_null() && *given != "");
    match given {
        Some(_) if !namespaced => faults.add(
            &path,
            "this kind belongs to no namespace; leave the field out",
        ),
        None if namespaced => drop(metadata.insert("namespace".to_owned(), Value::from("default"))),
        None => {}
        Some(Value::String(name)) if is_label(name) => {}
        Some(Value::String(name)) => faults.add(
            &path,
            format!(
                "{} is no namespace: lower-case letters, digits and - only, at most 63",
                quoted(name)
            ),
        ),
        Some(other) => faults.add(&path, format!("{} is no string", shown(other))),
    }
}

fn check_labels(metadata: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    let Some(labels) = object_at(metadata, "labels", path, faults) else {
        return;
    };
    let path = path.field("labels");
    check_bytes(labels, &path, faults);
    for (key, value) in labels {
        let path = Path::Key(&path, key);
        if !is_label_key(key) {
            faults.add(&path, "is no label name, such as app or example.com/app");
        }
        match value {
            Value::String(value) if is_label_value(value) => {}
            Value::String(value) => faults.add(
                &path,
                format!(
                    "{} is no label value: letters, digits, -, _ and . only, at most 63",
                    quoted(value)
                ),
            ),
            other => faults.add(
                &path,
                format!("{} is no string; put it in quotes", shown(other)),
            ),
        }
    }
}

fn check_annotations(metadata: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    let Some(annotations) = object_at(metadata, "annotations", path, faults) else {
        return;
    };
    let path = path.field("annotations");
    check_bytes(annotations, &path, faults);
    for (key, value) in annotations {
        let path = Path::Key(&path, key);
        if !is_label_key(&key.to_ascii_lowercase()) {
            faults.add(&path, "is no annotation name, such as example.com/note");
        }
        if !value.is_string() {
            faults.add(
                &path,
                format!("{} is no string; put it in quotes", shown(value)),
            );
        }
    }
}

fn check_bytes(map: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    let bytes: usize = map
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > MOST_BYTES {
        faults.add(path, format!("{bytes} bytes are more than {MOST_BYTES}"));
    }
}

/// An RFC 1123 label: what a namespace is called.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_framed(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"-")
}

/// An RFC 1123 subdomain: what most objects are called.
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
    path: &Path<'_>,
    faults: &mut Faults,
) -> Option<&'a Map<String, Value>> {
    match map.get(name)? {
        Value::Object(object) => Some(object),
        Value::Null => None,
        other => {
            faults.add(&path.field(name), format!("{} is no map", shown(other)));
            None
        }
    }
}
