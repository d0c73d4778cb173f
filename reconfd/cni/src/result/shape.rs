//! What serde reads in another way than Go: it overlooks a member whose key equals a known one only if case is ignored,
//! and takes a list for an object.

use serde_json::Value;

use super::ResultError;

const KEYS: [&str; 26] = [
    "cniVersion",
    "interfaces",
    "ips",
    "routes",
    "dns",
    "name",
    "mac",
    "mtu",
    "sandbox",
    "socketPath",
    "pciID",
    "version",
    "interface",
    "address",
    "gateway",
    "dst",
    "gw",
    "advmss",
    "priority",
    "table",
    "scope",
    "nameservers",
    "domain",
    "search",
    "options",
    "prevResult",
];

/// Members that are lists of objects.
const LISTS: [&str; 3] = ["interfaces", "ips", "routes"];

pub(super) fn check(value: &Value) -> Result<(), ResultError> {
    check_objects(value)?;
    check_case(value)
}

fn check_objects(value: &Value) -> Result<(), ResultError> {
    let object = value
        .as_object()
        .ok_or_else(|| ResultError::Form("it is no object".to_owned()))?;
    let has_list = |key: &str| object.get(key).is_some_and(holds_a_list);
    if let Some(key) = LISTS.into_iter().find(|key| has_list(key)) {
        return Err(ResultError::Form(format!("{key} has a list in it")));
    }
    match object.get("dns").is_some_and(Value::is_array) {
        true => Err(ResultError::Form("dns is a list".to_owned())),
        false => Ok(()),
    }
}

fn holds_a_list(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().any(Value::is_array))
}

fn check_case(value: &Value) -> Result<(), ResultError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(check_case),
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            let meant = KEYS
                .iter()
                .find(|known| known.eq_ignore_ascii_case(key) && *known != key);
            match meant {
                Some(known) => Err(ResultError::Form(format!("{key} must be {known}"))),
                None => check_case(value),
            }
        }),
        _ => Ok(()),
    }
}
