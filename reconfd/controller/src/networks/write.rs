//! Writes and deletes ReservedNetworks.

use std::time::Instant;

use crds::{ReservedNetworks, ReservedNetworksSpec};
use kube::{
    Api, Client, Resource as _,
    api::{DeleteParams, Patch, PatchParams},
    core::PartialObjectMeta,
};
use kubeio::{
    api_writer::{REQUEST_TIMEOUT, attempt},
    write_error::WriteError,
};
use serde_json::json;

use crate::{apply::FIELD_MANAGER, metrics::Metrics};

const KIND: &str = "ReservedNetworks";

pub async fn put(
    client: &Client,
    metrics: &Metrics,
    name: &str,
    spec: &ReservedNetworksSpec,
) -> Result<(), String> {
    let object = json!({
        "apiVersion": ReservedNetworks::api_version(&()), "kind": KIND, "metadata": {"name": name}, "spec": spec,
    });
    let (api, params) = (api(client), PatchParams::apply(FIELD_MANAGER).force());
    let patch = Patch::Apply(&object);
    let written = api.patch(name, &params, &patch);
    record(metrics, written)
        .await
        .map_err(|why| format!("write {KIND} {name}: {why}"))
}

pub async fn delete(client: &Client, metrics: &Metrics, name: &str) -> Result<(), String> {
    let (api, how) = (api(client), DeleteParams::default());
    let deleted = async {
        match api.delete(name, &how).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop),
        }
    };
    record(metrics, deleted)
        .await
        .map_err(|why| format!("delete {KIND} {name}: {why}"))
}

fn api(client: &Client) -> Api<PartialObjectMeta<ReservedNetworks>> {
    Api::all(client.clone())
}

/// Tries a write once and counts it.
async fn record<T>(
    metrics: &Metrics,
    write: impl Future<Output = kube::Result<T>>,
) -> Result<(), WriteError> {
    let started = Instant::now();
    let result = attempt(REQUEST_TIMEOUT, "no response", write).await;
    metrics.wrote(KIND, result.is_ok(), started.elapsed());
    result.map(drop)
}
