//! Uninstallation from a cluster. Each node is cleaned by a pod of the DaemonSet `podconfig-uninstall`, which waits
//! until daemon and keeper have ended there. Here daemons and controller are ended, the pods awaited, and the objects
//! of the programs removed.

/// Progress of the nodes.
mod progress;
/// The final statuses of the PodConfigs.
mod statuses;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment},
        core::v1::Pod,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams},
    core::{ApiResource, gvk::GroupVersionKind},
};
use kubeio::client;
use serde::de::DeserializeOwned;
use store::kinds::{ObjectKind, Removal};

use self::progress::Progress;
use super::{LinkPolicy, UninstallConfig};

const UNINSTALL: &str = "podconfig-uninstall";
const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub async fn uninstall(config: &UninstallConfig) -> anyhow::Result<()> {
    let client = client::connect().await?;
    let namespace = &config.namespace;
    end::<DaemonSet>(&client, namespace, "podconfig-daemon").await?;
    end::<Deployment>(&client, namespace, "podconfig-controller").await?;
    wait_for_nodes(config, &client).await?;
    statuses::write(config, &client).await?;
    for kind in ObjectKind::ALL {
        match kind.row().uninstall {
            Removal::Nothing => (),
            Removal::Served => remove_all(config, &client, *kind).await?,
            Removal::OfInstallation => remove_own(config, &client, *kind).await?,
            Removal::WithLinks if config.links == LinkPolicy::Remove => {
                remove_own(config, &client, *kind).await?;
            }
            Removal::WithLinks => (),
        }
    }
    tracing::info!(
        "podconfig is uninstalled from the nodes; PodConfigs and policies stay as long as their definitions"
    );
    Ok(())
}

/// Deletes an object, if it exists.
async fn end<K>(client: &Client, namespace: &str, name: &str) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    match objects.delete(name, &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted
            .map(drop)
            .with_context(|| format!("delete {} {namespace}/{name}", K::kind(&()))),
    }
}

async fn wait_for_nodes(config: &UninstallConfig, client: &Client) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut logged = String::new();
    loop {
        let progress = progress_of(config, client).await?;
        if progress.is_complete() {
            return Ok(());
        }
        let summary = progress.summary();
        if start.elapsed() > config.patience() {
            return give_up(&progress, &summary);
        }
        if summary != logged {
            tracing::info!("waiting: {summary}");
            logged = summary;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Unreachable nodes are skipped, and anything else is an error.
fn give_up(progress: &Progress, summary: &str) -> anyhow::Result<()> {
    if !progress.only_unreachable_left() {
        bail!("not every node is done: {summary}. Correct the error, and run this again");
    }
    tracing::warn!(
        "{summary}. If an unreachable node comes back, run `reconfd uninstall` there; its switch and links end with its next boot"
    );
    Ok(())
}

async fn progress_of(config: &UninstallConfig, client: &Client) -> anyhow::Result<Progress> {
    let namespace = &config.namespace;
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    let set = sets.get(UNINSTALL).await.with_context(|| {
        format!("get DaemonSet {namespace}/{UNINSTALL}, which install/uninstall.yaml makes")
    })?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = format!(
        "app.kubernetes.io/name=podconfig,app.kubernetes.io/instance={}",
        config.node.installation.name
    );
    let pods = pods
        .list(&ListParams::default().labels(&ours))
        .await
        .with_context(|| format!("list pods in {namespace}"))?;
    Ok(Progress::of(&set, &pods.items))
}

/// The resource of a kind.
fn resource(kind: ObjectKind) -> ApiResource {
    let row = kind.row();
    let (group, version) = row
        .api_version
        .split_once('/')
        .unwrap_or(("", row.api_version));
    let kind = GroupVersionKind::gvk(group, version, kind.as_str());
    ApiResource::from_gvk_with_plural(&kind, row.resource)
}

/// One handle for each served namespace, or one for all.
fn served_apis(
    config: &UninstallConfig,
    client: &Client,
    resource: &ApiResource,
) -> Vec<Api<DynamicObject>> {
    if !config.scope.is_limited() {
        return vec![Api::all_with(client.clone(), resource)];
    }
    let names = config.scope.namespaces.iter();
    names
        .map(|name| Api::namespaced_with(client.clone(), name, resource))
        .collect()
}

/// Deletes all objects of a kind in the namespaces that this installation serves.
async fn remove_all(
    config: &UninstallConfig,
    client: &Client,
    kind: ObjectKind,
) -> anyhow::Result<()> {
    let (resource, plural) = (resource(kind), kind.plural());
    let mut removed = 0;
    for api in served_apis(config, client, &resource) {
        let found = match api.list_metadata(&ListParams::default()).await {
            // No such kind: its definition is gone, and all objects with it.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            found => found.with_context(|| format!("list {plural}"))?,
        };
        for object in found.items {
            let namespace = object.namespace().unwrap_or_default();
            if config.scope.serves(&namespace) {
                let within = Api::namespaced_with(client.clone(), &namespace, &resource);
                remove(&within, kind, &object.name_any()).await?;
                removed += 1;
            }
        }
    }
    tracing::info!(removed, "removed all {plural}");
    Ok(())
}

/// Deletes the cluster-scoped objects of this installation.
async fn remove_own(
    config: &UninstallConfig,
    client: &Client,
    kind: ObjectKind,
) -> anyhow::Result<()> {
    let plural = kind.plural();
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
    let found = match objects.list(&ListParams::default()).await {
        // No such kind: its definition is gone, and all objects with it.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        found => found.with_context(|| format!("list {plural}"))?,
    };
    let own = &config.node.installation.name;
    let is_own = |object: &&DynamicObject| object.data["spec"]["installation"] == **own;
    let mut removed = 0;
    for object in found.items.iter().filter(is_own) {
        remove(&objects, kind, &object.name_any()).await?;
        removed += 1;
    }
    tracing::info!(removed, "removed all {plural} of this installation");
    Ok(())
}

/// Deletes an object, if it exists.
async fn remove(objects: &Api<DynamicObject>, kind: ObjectKind, name: &str) -> anyhow::Result<()> {
    match objects.delete(name, &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted
            .map(drop)
            .with_context(|| format!("delete {} {name}", kind.as_str())),
    }
}
