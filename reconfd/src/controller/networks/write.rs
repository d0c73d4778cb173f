//! Objects with networks, written and deleted.

use std::time::{Duration, Instant};

use crds::{ReservedNetworks, ReservedNetworksSpec};
use kube::{
    Api, Client, Resource as _,
    api::{DeleteParams, Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    controller::{act::FIELD_MANAGER, metrics::Metrics},
    source::cluster::client::words,
};

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
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
    let (api, ours) = (api(client), PatchParams::apply(FIELD_MANAGER).force());
    let patch = Patch::Apply(&object);
    let written = api.patch(name, &ours, &patch);
    done(metrics, written)
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
    done(metrics, deleted)
        .await
        .map_err(|why| format!("delete {KIND} {name}: {why}"))
}

fn api(client: &Client) -> Api<PartialObjectMeta<ReservedNetworks>> {
    Api::all(client.clone())
}

async fn done<T>(
    metrics: &Metrics,
    write: impl Future<Output = kube::Result<T>>,
) -> Result<(), String> {
    let begun = Instant::now();
    let done = match timeout(ANSWERED_WITHIN, write).await {
        Ok(done) => done.map(drop).map_err(|error| words(&error)),
        Err(_) => Err(format!("no answer within {ANSWERED_WITHIN:?}")),
    };
    metrics.wrote(KIND, done.is_ok(), begun.elapsed());
    done
}
