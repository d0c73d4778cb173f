//! Parses an object of a manifest, after it has passed the schema.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    NamespaceMeta, Pod,
    pod::{NETWORK_STATUS, NETWORKS},
};

/// The invalid fields of an object, each with a message.
pub type FieldMessages = Vec<(String, String)>;

pub fn whole<T: DeserializeOwned>(value: Value) -> Result<T, FieldMessages> {
    serde_json::from_value(value).map_err(|error| vec![(String::new(), error.to_string())])
}

pub fn parts_of_pod(mut value: Value) -> Result<Pod, FieldMessages> {
    let annotations = |metadata: &Value| {
        let used = [NETWORKS, NETWORK_STATUS].into_iter();
        let used = used.filter_map(|key| {
            Some((
                key.to_owned(),
                metadata["annotations"][key].as_str()?.to_owned(),
            ))
        });
        Some(used.collect()).filter(|used: &BTreeMap<_, _>| !used.is_empty())
    };
    let annotations = value.get("metadata").and_then(annotations);
    Ok(Pod {
        metadata: ObjectMeta {
            annotations,
            ..metadata(&mut value)?
        },
        spec: member(&mut value, "spec")?,
        status: member(&mut value, "status")?,
    })
}

pub fn metadata_alone(mut value: Value) -> Result<NamespaceMeta, FieldMessages> {
    Ok(NamespaceMeta {
        metadata: metadata(&mut value)?,
        ..NamespaceMeta::default()
    })
}

/// A member of the object; the default where it is missing.
fn member<T: DeserializeOwned + Default>(
    value: &mut Value,
    name: &str,
) -> Result<T, FieldMessages> {
    match value.get_mut(name).map(Value::take) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(member) => serde_json::from_value(member)
            .map_err(|error| vec![(name.to_owned(), error.to_string())]),
    }
}

/// The members that are used here.
fn metadata(value: &mut Value) -> Result<ObjectMeta, FieldMessages> {
    let metadata = value
        .get_mut("metadata")
        .map(Value::take)
        .unwrap_or_default();
    let whole: ObjectMeta = serde_json::from_value(metadata)
        .map_err(|error| vec![("metadata".into(), error.to_string())])?;
    Ok(ObjectMeta {
        name: whole.name,
        namespace: whole.namespace,
        uid: whole.uid,
        labels: whole.labels,
        creation_timestamp: whole.creation_timestamp,
        ..ObjectMeta::default()
    })
}
