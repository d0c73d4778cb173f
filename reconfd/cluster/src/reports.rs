//! PodReports at the API. They are written by server-side apply, so that fields of other managers stay, and the
//! report of an earlier pod of the name is taken over.

use crds::{PodReport, PodReportStatus};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
    core::DeserializeGuard,
};
use kubeio::{
    api_scope::apis,
    watch::{ObjectKey, key},
    write_error::WriteError,
};
use serde_json::{Value, json};

use store::scope::Scope;

/// The field manager.
pub const MANAGER: &str = "reconfd";
/// Field selector for the reports of a node.
pub const NODE_FIELD: &str = "status.node";

pub async fn write(
    client: &Client,
    key: &ObjectKey,
    status: &PodReportStatus,
) -> Result<(), WriteError> {
    let (namespace, name) = key;
    let api: Api<PodReport> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    let patch: Patch<Value> = Patch::Apply(body(key, status));
    api.patch(name, &parameters, &patch).await?;
    Ok(())
}

/// The pod owns its report; its deletion does not wait for the report.
fn body((namespace, name): &ObjectKey, status: &PodReportStatus) -> Value {
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": status.pod_uid});
    json!({
        "apiVersion": format!("{}/{}", crds::GROUP, crds::VERSION),
        "kind": "PodReport",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]},
        "spec": {},
        "status": status,
    })
}

/// Deletes the report of this very pod: that of a later pod of the name, on another node, stays.
pub async fn remove(
    client: &Client,
    (namespace, name): &ObjectKey,
    uid: &str,
) -> Result<(), WriteError> {
    let api: Api<DeserializeGuard<PodReport>> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await?;
    let Some(report) = found.and_then(|found| found.0.ok()) else {
        return Ok(());
    };
    let is_own = |status: &PodReportStatus| status.pod_uid == uid;
    if !report.status.as_ref().is_some_and(is_own) {
        return Ok(());
    }
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: report.metadata.uid,
            resource_version: report.metadata.resource_version,
        }),
        ..DeleteParams::default()
    };
    match api.delete(name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All reports of a node in the served namespaces.
pub async fn of_node(
    client: &Client,
    node: &str,
    scope: &Scope,
) -> Result<Vec<PodReport>, kube::Error> {
    let selection = ListParams::default().fields(&format!("{NODE_FIELD}={node}"));
    let mut reports = Vec::new();
    for (_, api) in apis::<DeserializeGuard<PodReport>>(client, &scope.namespaces) {
        // A report of another version that cannot be parsed is written again.
        let listed = api.list(&selection).await?.items.into_iter();
        reports.extend(listed.filter_map(|report| report.0.ok()));
    }
    let is_served = |report: &PodReport| scope.serves(&key(report).0);
    reports.retain(is_served);
    Ok(reports)
}
