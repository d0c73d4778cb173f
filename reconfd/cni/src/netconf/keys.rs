//! Keys that the runtime reads or writes itself, and who may say them.

use serde_json::{Map, Value};

use super::{NetconfError, Trust, kind};
use crate::request::is_of_runtime;

/// Keys of a list that are no plugin's.
pub(super) const OF_LIST: [&str; 7] = [
    "name",
    "cniVersion",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
];
/// Keys that libcni, Multus or each plugin reads. Some of these ignore case, and some do not.
const EXACT: [&str; 14] = [
    "name",
    "cniVersion",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
    "type",
    "ipam",
    "dns",
    "args",
    "capabilities",
    "delegate",
    "delegates",
];
/// Keys that the runtime replaces, and a configuration has all the same.
const NAMED_BY_CONFIGURATION: [&str; 2] = ["name", "cniVersion"];

/// The outermost object.
pub(super) fn check(top: &Map<String, Value>, trust: Trust) -> Result<(), NetconfError> {
    check_exact(top, "")?;
    check_runtime(top, "")?;
    check_args(top, "", trust)
}

/// The object of a plugin, whose path ends in a dot.
pub(super) fn check_plugin(
    plugin: &Map<String, Value>,
    path: &str,
    trust: Trust,
) -> Result<(), NetconfError> {
    check_exact(plugin, path)?;
    check_args(plugin, path, trust)?;
    check_capabilities(plugin, path)
}

pub(super) fn text<'a>(
    object: &'a Map<String, Value>,
    key: &str,
) -> Result<Option<&'a str>, NetconfError> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(kind(key, "a text")),
    }
}

/// As libcni: true, false, or one of these as a text.
pub(super) fn switch(object: &Map<String, Value>, key: &str) -> Result<bool, NetconfError> {
    match object.get(key) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(kind(key, "true or false")),
    }
}

fn check_exact(object: &Map<String, Value>, path: &str) -> Result<(), NetconfError> {
    for written in object.keys() {
        let meant = EXACT
            .into_iter()
            .find(|key| key.eq_ignore_ascii_case(written));
        if let Some(key) = meant.filter(|key| key != written) {
            return Err(NetconfError::Case(format!("{path}{written}"), key));
        }
    }
    Ok(())
}

/// At any depth: a plugin that executes others passes them on.
fn check_runtime(object: &Map<String, Value>, path: &str) -> Result<(), NetconfError> {
    for (key, value) in object {
        let path = format!("{path}{key}");
        if is_of_runtime(key)
            && !NAMED_BY_CONFIGURATION
                .iter()
                .any(|name| name.eq_ignore_ascii_case(key))
        {
            return Err(NetconfError::OfRuntime(path));
        }
        check_runtime_within(value, &path)?;
    }
    Ok(())
}

fn check_runtime_within(value: &Value, path: &str) -> Result<(), NetconfError> {
    match value {
        Value::Object(object) => check_runtime(object, &format!("{path}.")),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check_runtime_within(item, &format!("{path}[{index}]"))),
        _ => Ok(()),
    }
}

fn check_args(object: &Map<String, Value>, path: &str, trust: Trust) -> Result<(), NetconfError> {
    let at = |below: &str| format!("{path}args{below}");
    match object.get("args") {
        None => Ok(()),
        Some(_) if trust == Trust::Tenant => Err(NetconfError::NotTrusted(at(""))),
        Some(Value::Object(args)) => match args.get("cni") {
            None | Some(Value::Object(_)) => Ok(()),
            Some(_) => Err(kind(&at(".cni"), "an object")),
        },
        Some(_) => Err(kind(&at(""), "an object")),
    }
}

fn check_capabilities(plugin: &Map<String, Value>, path: &str) -> Result<(), NetconfError> {
    let declared = |value: &Value| match value {
        Value::Object(declared) => declared.values().all(Value::is_boolean),
        _ => false,
    };
    match plugin.get("capabilities").is_none_or(declared) {
        true => Ok(()),
        false => Err(kind(
            &format!("{path}capabilities"),
            "an object of true and false",
        )),
    }
}
