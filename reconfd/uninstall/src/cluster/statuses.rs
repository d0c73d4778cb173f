//! Writes the final statuses of PodConfigs, which outlive podconfig with their definition. Otherwise their last status
//! would stay: `Ready=True`, of links that are gone.

use std::time::SystemTime;

use anyhow::Context as _;
use conditions::podconfig;
use controller::apply;
use crds::{PodConfig, PodConfigStatus};
use kube::{
    Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};

use super::{LinkPolicy, UninstallConfig, served_apis};

pub async fn write(config: &UninstallConfig, client: &Client) -> anyhow::Result<()> {
    let mut written = 0;
    // Untyped: an object that cannot be parsed here has a status all the same.
    let kind = ApiResource::erase::<PodConfig>(&());
    for api in served_apis(config, client, &kind) {
        let found = match api.list(&ListParams::default()).await {
            // No such kind: its definition is gone, and all objects with it.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            found => found.context("list podconfigs")?,
        };
        for object in found.items {
            if config.scope.serves(&object.namespace().unwrap_or_default()) {
                write_status(config, client, &object).await?;
                written += 1;
            }
        }
    }
    tracing::info!(
        written,
        "wrote to the PodConfigs that podconfig is uninstalled"
    );
    Ok(())
}

async fn write_status(
    config: &UninstallConfig,
    client: &Client,
    object: &DynamicObject,
) -> anyhow::Result<()> {
    let status = object.data.get("status").cloned();
    let before: PodConfigStatus = status
        .and_then(|status| serde_json::from_value(status).ok())
        .unwrap_or_default();
    let links_stay = config.links == LinkPolicy::Keep;
    let generation = object.metadata.generation;
    let status = podconfig::uninstalled(generation, &before, links_stay, SystemTime::now());
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let uid = object.uid().unwrap_or_default();
    apply::write_status(client, (&namespace, &name, &uid), &status)
        .await
        .map(drop)
        .with_context(|| format!("write the status of PodConfig {namespace}/{name}"))
}
