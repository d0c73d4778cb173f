//! Manifests that are admitted, and manifests that are refused with their errors.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;

mod bad;
mod good;

/// Admits the first document of a YAML text as the directory source does.
fn admit_yaml(yaml: &str) -> Result<Value, Vec<FieldError>> {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    Schema::for_kind(&kind).unwrap().admit(value)
}

/// A PodConfig with these links, in the short form of a flow mapping.
fn links(links: &str) -> String {
    pod_config(&format!("{{podSelector: {{}}, links: {links}}}"))
}

fn pod_config(spec: &str) -> String {
    format!(
        "{{apiVersion: podconfig.dev/v1alpha1, kind: PodConfig, metadata: {{name: a, namespace: b}}, spec: {spec}}}"
    )
}

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: podconfig.dev/v1alpha1, kind: PodConfigPolicy, metadata: {{name: a}}, spec: {spec}}}"
    )
}

fn pod(metadata: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {metadata}}}")
}

fn messages(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(FieldError::to_string).collect()
}
