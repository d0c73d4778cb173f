//! Uninstallation from a cluster. Each node is cleaned by a pod of the DaemonSet `podconfig-uninstall`, which waits
//! until daemon and keeper have ended there. Here daemons and controller are ended, the pods awaited, and the objects
//! of the programs removed.

/// Progress of the nodes.
mod progress;
/// The final statuses of the PodConfigs.
mod statuses;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crds::{AddressClaim, PeerSlice, PodConfigAllowance, PodReport, ReservedNetworks};
use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment},
        core::v1::Pod,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use kubeio::client;
use serde::de::DeserializeOwned;

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
    remove_all::<PodReport>(config, &client).await?;
    remove_all::<PodConfigAllowance>(config, &client).await?;
    remove_all::<PeerSlice>(config, &client).await?;
    let own = &config.node.installation.name;
    remove_own(&client, |networks: &ReservedNetworks| {
        networks.spec.installation == *own
    })
    .await?;
    // The address of a kept link stays claimed, although no daemon manages the link any more.
    if config.links == LinkPolicy::Remove {
        remove_own(&client, |claim: &AddressClaim| {
            claim.spec.installation == *own
        })
        .await?;
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

/// The namespaces to list objects in: each served one, or `None` for all.
fn namespaces(config: &UninstallConfig) -> Vec<Option<&str>> {
    match config.scope.is_limited() {
        true => {
            let names = config.scope.namespaces.iter();
            names.map(|name| Some(name.as_str())).collect()
        }
        false => vec![None],
    }
}

/// Deletes all objects of a kind in the namespaces that this installation serves.
async fn remove_all<K>(config: &UninstallConfig, client: &Client) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let kind = K::plural(&());
    let mut removed = 0;
    for namespace in namespaces(config) {
        let api: Api<K> = match namespace {
            Some(name) => Api::namespaced(client.clone(), name),
            None => Api::all(client.clone()),
        };
        let found = match api.list_metadata(&ListParams::default()).await {
            // No such kind: its definition is gone, and all objects with it.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            found => found.with_context(|| format!("list {kind}"))?,
        };
        for object in found.items {
            let namespace = object.namespace().unwrap_or_default();
            if config.scope.serves(&namespace) {
                end::<K>(client, &namespace, &object.name_any()).await?;
                removed += 1;
            }
        }
    }
    tracing::info!(removed, "removed all {kind}");
    Ok(())
}

/// Deletes the cluster-scoped objects of this installation.
async fn remove_own<K>(client: &Client, is_own: impl Fn(&K) -> bool) -> anyhow::Result<()>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let kind = K::plural(&());
    let objects: Api<K> = Api::all(client.clone());
    let found = match objects.list(&ListParams::default()).await {
        // No such kind: its definition is gone, and all objects with it.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        found => found.with_context(|| format!("list {kind}"))?,
    };
    let mut removed = 0;
    for object in found.items.iter().filter(|object| is_own(object)) {
        let name = object.name_any();
        match objects.delete(&name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => (),
            deleted => drop(deleted.with_context(|| format!("delete {} {name}", K::kind(&())))?),
        }
        removed += 1;
    }
    tracing::info!(removed, "removed all {kind} of this installation");
    Ok(())
}
