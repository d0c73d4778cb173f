//! Deeds done: the only place that writes to the API.

use std::{
    fmt::{self, Debug},
    time::Duration,
};

use crds::{
    AddressClaim, PeerSlice, PodConfig, PodConfigAllowance, PodConfigPolicy, PodConfigStatus,
    PodReport, allowance::EFFECTIVE,
};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::{
    deed::{Deed, Orphan},
    seen::Claimed,
};
use crate::source::{Pod, cluster::client::words};

/// Who writes, for the API's bookkeeping of who wrote which field.
pub const FIELD_MANAGER: &str = "podconfig-controller";
/// A server that takes longer is asked another time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Why a deed was not done.
#[derive(Debug)]
pub struct Failure {
    pub why: String,
    /// For how long the server asked to be left alone.
    pub wait: Option<Duration>,
}

/// Whether something was written.
pub type Done = Result<bool, Failure>;

pub async fn perform(client: &Client, deed: &Deed) -> Done {
    match timeout(ANSWERED_WITHIN, attempt(client, deed)).await {
        Ok(done) => done.map_err(Failure::from),
        Err(_) => Err(Failure {
            why: format!("the API server has not answered within {ANSWERED_WITHIN:?}"),
            wait: None,
        }),
    }
}

async fn attempt(client: &Client, deed: &Deed) -> kube::Result<bool> {
    match deed {
        Deed::Status {
            namespace,
            name,
            uid,
            status,
        } => write_status(client, (namespace, name, uid), status).await,
        Deed::PutAllowance { namespace, spec } => {
            put::<PodConfigAllowance>(client, namespace, EFFECTIVE, spec).await
        }
        Deed::PolicyUse {
            name,
            uid,
            installation,
            in_use,
        } => {
            let user = in_use.then_some(installation);
            let patch = json!({
                "apiVersion": PodConfigPolicy::api_version(&()), "kind": PodConfigPolicy::kind(&()),
                "metadata": {"name": name, "uid": uid}, "status": {"inUseBy": Vec::from_iter(user)},
            });
            // Of the set, each installation writes its own entry.
            let own = PatchParams::apply(&format!("{FIELD_MANAGER}-{installation}")).force();
            let api: Api<PartialObjectMeta<PodConfigPolicy>> = Api::all(client.clone());
            let written = api.patch_status(name, &own, &Patch::Apply(&patch)).await;
            unless_gone(written.map(drop))
        }
        Deed::Slices {
            namespace,
            put: slices,
            delete: names,
        } => {
            for (name, spec) in slices {
                put::<PeerSlice>(client, namespace, name, spec).await?;
            }
            for name in names {
                delete::<PeerSlice>(client, namespace, name).await?;
            }
            Ok(true)
        }
        Deed::Sweep(orphan) => sweep(client, orphan).await,
        Deed::SweepClaim { name, claim } => sweep_claim(client, name, claim).await,
    }
}

/// The status of a PodConfig, by namespace, name and uid; whether it was there.
pub async fn write_status(
    client: &Client,
    (namespace, name, uid): (&str, &str, &str),
    status: &PodConfigStatus,
) -> kube::Result<bool> {
    let patch = json!({
        "apiVersion": PodConfig::api_version(&()), "kind": PodConfig::kind(&()),
        "metadata": {"name": name, "uid": uid}, "status": status,
    });
    let api = metadata_of::<PodConfig>(client, namespace);
    let written = api.patch_status(name, &ours(), &Patch::Apply(&patch)).await;
    // Deleted, or made anew: the next word of it says so.
    unless_gone(written.map(drop))
}

async fn put<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    spec: &(impl Serialize + Sync),
) -> kube::Result<bool>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let object = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec,
    });
    let api = metadata_of::<K>(client, namespace);
    api.patch(name, &ours(), &Patch::Apply(&object)).await?;
    tracing::info!(kind = %K::kind(&()), namespace, name, "written");
    Ok(true)
}

async fn delete<K>(client: &Client, namespace: &str, name: &str) -> kube::Result<bool>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let api = metadata_of::<K>(client, namespace);
    let deleted = api.delete(name, &DeleteParams::default()).await;
    let is_deleted = unless_gone(deleted.map(drop))?;
    if is_deleted {
        tracing::info!(kind = %K::kind(&()), namespace, name, "deleted");
    }
    Ok(is_deleted)
}

/// Deletes a report only if a look at what is there now, and not what was heard of it, says that nobody
/// stands for it.
async fn sweep(client: &Client, orphan: &Orphan) -> kube::Result<bool> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &orphan.namespace);
    let pod = pods.get_opt(&orphan.pod).await?;
    let is_on_its_node = pod.is_some_and(|pod| {
        pod.metadata.uid.as_ref() == Some(&orphan.pod_uid)
            && pod.spec.node_name.as_ref() == Some(&orphan.node)
    });
    let nodes: Api<Node> = Api::all(client.clone());
    if is_on_its_node && nodes.get_metadata_opt(&orphan.node).await?.is_some() {
        return Ok(false);
    }
    let as_heard = DeleteParams::default().preconditions(Preconditions {
        uid: Some(orphan.uid.clone()),
        resource_version: Some(orphan.version.clone()),
    });
    let reports = metadata_of::<PodReport>(client, &orphan.namespace);
    let deleted = reports.delete(&orphan.pod, &as_heard).await;
    let is_deleted = unless_gone(deleted.map(drop))?;
    if is_deleted {
        let Orphan {
            namespace,
            pod,
            node,
            ..
        } = orphan;
        tracing::info!(
            namespace,
            pod,
            node,
            "a report that nobody stands for is deleted"
        );
    }
    Ok(is_deleted)
}

/// Deletes a claim only if a look at what is there now says that both its node and its pod are gone: the
/// links of a pod on a node that nobody hears of may still be there.
async fn sweep_claim(client: &Client, name: &str, claim: &Claimed) -> kube::Result<bool> {
    let nodes: Api<Node> = Api::all(client.clone());
    if nodes.get_metadata_opt(&claim.node).await?.is_some() {
        return Ok(false);
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), &claim.namespace);
    let pod = pods.get_opt(&claim.pod).await?;
    if pod.is_some_and(|pod| pod.metadata.uid.as_ref() == Some(&claim.pod_uid)) {
        return Ok(false);
    }
    let as_heard = DeleteParams::default().preconditions(Preconditions {
        uid: Some(claim.uid.clone()),
        resource_version: Some(claim.version.clone()),
    });
    let claims: Api<PartialObjectMeta<AddressClaim>> = Api::all(client.clone());
    let is_deleted = unless_gone(claims.delete(name, &as_heard).await.map(drop))?;
    if is_deleted {
        let Claimed {
            node,
            namespace,
            pod,
            ..
        } = claim;
        tracing::info!(
            name,
            node,
            namespace,
            pod,
            "a claim of a node that is gone is deleted"
        );
    }
    Ok(is_deleted)
}

fn metadata_of<K>(client: &Client, namespace: &str) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    Api::namespaced(client.clone(), namespace)
}

fn ours() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// What is gone, or is another object by now, needs nothing.
fn unless_gone(done: kube::Result<()>) -> kube::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let wait = match &error {
            kube::Error::Api(status) => status.details.as_ref().map(|d| d.retry_after_seconds),
            _ => None,
        };
        let wait = wait.filter(|seconds| *seconds > 0);
        Self {
            why: words(&error),
            wait: wait.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}
