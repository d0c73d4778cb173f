//! The PodConfigs outlive podconfig, as their definition does. What they said last would go on being read as the
//! truth: `Ready=True`, of links that are gone.

use std::time::SystemTime;

use anyhow::Context as _;
use crds::{PodConfig, PodConfigStatus};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};

use super::{Links, UninstallConfig, places};
use crate::{conditions::podconfig, controller::apply};

pub async fn write(config: &UninstallConfig, client: &Client) -> anyhow::Result<()> {
    let mut written = 0;
    for namespace in places(config) {
        // Of any shape: an object that cannot be read here says something all the same.
        let kind = ApiResource::erase::<PodConfig>(&());
        let place: Api<DynamicObject> = match namespace {
            Some(name) => Api::namespaced_with(client.clone(), name, &kind),
            None => Api::all_with(client.clone(), &kind),
        };
        let found = match place.list(&ListParams::default()).await {
            // No such kind: its definition is gone, and all objects with it.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            found => found.context("list podconfigs")?,
        };
        for object in found.items {
            if config.scope.serves(&object.namespace().unwrap_or_default()) {
                say(config, client, &object).await?;
                written += 1;
            }
        }
    }
    tracing::info!(written, "PodConfigs say that podconfig is uninstalled");
    Ok(())
}

async fn say(
    config: &UninstallConfig,
    client: &Client,
    object: &DynamicObject,
) -> anyhow::Result<()> {
    let status = object.data.get("status").cloned();
    let before: PodConfigStatus = status
        .and_then(|status| serde_json::from_value(status).ok())
        .unwrap_or_default();
    let links_stay = config.links == Links::Keep;
    let generation = object.metadata.generation;
    let status = podconfig::uninstalled(generation, &before, links_stay, SystemTime::now());
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    apply::write_status(client, (&namespace, &name, &uid), &status)
        .await
        .map(drop)
        .with_context(|| format!("write the status of PodConfig {namespace}/{name}"))
}
