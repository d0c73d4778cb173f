//! Applies actions to the API. Only this module and `networks::write` write.

use std::{fmt::Debug, time::Duration};

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
use kubeio::{api_writer::attempt, write_error::WriteError};
use serde::Serialize;
use serde_json::json;
use store::Pod;

use super::{
    action::{Action, OrphanReport},
    objects::ClaimInfo,
};

/// Field manager of server-side apply.
pub const FIELD_MANAGER: &str = "podconfig-controller";
/// Timeout of one action; it is retried later.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Applies one action. `Ok(true)`: something was written.
pub async fn apply(client: &Client, action: &Action) -> Result<bool, WriteError> {
    let missing = "no response from the API server";
    attempt(APPLY_TIMEOUT, missing, try_apply(client, action)).await
}

async fn try_apply(client: &Client, action: &Action) -> kube::Result<bool> {
    match action {
        Action::UpdateStatus {
            namespace,
            name,
            uid,
            status,
        } => write_status(client, (namespace, name, uid), status).await,
        Action::ApplyAllowance { namespace, spec } => {
            put::<PodConfigAllowance>(client, namespace, EFFECTIVE, spec).await
        }
        Action::UpdatePolicyUse {
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
            // `inUseBy` is a set: each installation owns its own entry.
            let own = PatchParams::apply(&format!("{FIELD_MANAGER}-{installation}")).force();
            let api: Api<PartialObjectMeta<PodConfigPolicy>> = Api::all(client.clone());
            let written = api.patch_status(name, &own, &Patch::Apply(&patch)).await;
            ignore_gone(written.map(drop))
        }
        Action::ApplySlices {
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
        Action::DeleteReport(orphan) => delete_orphaned_report(client, orphan).await,
        Action::DeleteClaim { name, claim } => delete_orphaned_claim(client, name, claim).await,
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
    let written = api
        .patch_status(name, &apply_params(), &Patch::Apply(&patch))
        .await;
    // Deleted or recreated: a watch event follows.
    ignore_gone(written.map(drop))
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
    api.patch(name, &apply_params(), &Patch::Apply(&object))
        .await?;
    tracing::info!(kind = %K::kind(&()), namespace, name, "written");
    Ok(true)
}

async fn delete<K>(client: &Client, namespace: &str, name: &str) -> kube::Result<bool>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let api = metadata_of::<K>(client, namespace);
    let deleted = api.delete(name, &DeleteParams::default()).await;
    let is_deleted = ignore_gone(deleted.map(drop))?;
    if is_deleted {
        tracing::info!(kind = %K::kind(&()), namespace, name, "deleted");
    }
    Ok(is_deleted)
}

/// Deletes a report if the live pod and node, not the watched ones, confirm that it is orphaned.
async fn delete_orphaned_report(client: &Client, orphan: &OrphanReport) -> kube::Result<bool> {
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
    let preconditions = DeleteParams::default().preconditions(Preconditions {
        uid: Some(orphan.uid.clone()),
        resource_version: Some(orphan.version.clone()),
    });
    let reports = metadata_of::<PodReport>(client, &orphan.namespace);
    let deleted = reports.delete(&orphan.pod, &preconditions).await;
    let is_deleted = ignore_gone(deleted.map(drop))?;
    if is_deleted {
        let OrphanReport {
            namespace,
            pod,
            node,
            ..
        } = orphan;
        tracing::info!(namespace, pod, node, "orphaned PodReport deleted");
    }
    Ok(is_deleted)
}

/// Deletes a claim if its node and its pod are both gone from the API. A pod on an unreachable node may still
/// use its links.
async fn delete_orphaned_claim(
    client: &Client,
    name: &str,
    claim: &ClaimInfo,
) -> kube::Result<bool> {
    let nodes: Api<Node> = Api::all(client.clone());
    if nodes.get_metadata_opt(&claim.node).await?.is_some() {
        return Ok(false);
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), &claim.namespace);
    let pod = pods.get_opt(&claim.pod).await?;
    if pod.is_some_and(|pod| pod.metadata.uid.as_ref() == Some(&claim.pod_uid)) {
        return Ok(false);
    }
    let preconditions = DeleteParams::default().preconditions(Preconditions {
        uid: Some(claim.uid.clone()),
        resource_version: Some(claim.version.clone()),
    });
    let claims: Api<PartialObjectMeta<AddressClaim>> = Api::all(client.clone());
    let is_deleted = ignore_gone(claims.delete(name, &preconditions).await.map(drop))?;
    if is_deleted {
        let ClaimInfo {
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
            "AddressClaim of a deleted node deleted"
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

fn apply_params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// Not found or conflict: the object is gone or was replaced, and nothing is written.
fn ignore_gone(result: kube::Result<()>) -> kube::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}
