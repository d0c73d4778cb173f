//! Claim operations at the API: several run concurrently, each with one request at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use address::claims::{
    ClaimAllocator, TaskId,
    claim_meta::{ClaimName, DOMAIN, OWNER, placeholder},
    operation::ClaimOperation,
    protocol::{ClaimOutcome, ClaimRequest, ClaimResponse},
};
use crds::{AddressClaim, ClaimPod};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, Error, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
    core::DeserializeGuard,
};
use kubeio::{
    api_writer::{InFlight, REQUEST_TIMEOUT, within},
    client::error_text,
};
use store::Pod;
use telemetry::metrics::Metrics;
use tokio::{sync::Notify, time::sleep_until};

/// Number of concurrent operations.
const MAX_CONCURRENT: usize = 16;

/// Runs claim operations against the API.
pub struct Driver {
    client: Client,
    claims: ClaimAllocator,
    metrics: Metrics,
}

impl Driver {
    pub fn new(client: Client, claims: ClaimAllocator, metrics: Metrics) -> Self {
        Self {
            client,
            claims,
            metrics,
        }
    }

    /// Runs due operations forever; `wakeup` signals that there may be more.
    pub async fn run(&self, wakeup: &Arc<Notify>) {
        let mut in_flight = InFlight::new(MAX_CONCURRENT);
        loop {
            in_flight.fill(|| {
                let (id, operation) = self.claims.take_due(1).pop()?;
                Some(self.perform(id, operation))
            });
            let next = self.claims.next_due().filter(|_| in_flight.has_room());
            let hour = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                Some((id, operation, outcome)) = in_flight.next() => self.claims.complete(id, operation, outcome),
                () = wakeup.notified() => (),
                () = sleep_until(next.unwrap_or(hour).into()) => (),
            }
        }
    }

    async fn perform(
        &self,
        id: TaskId,
        mut operation: ClaimOperation,
    ) -> (TaskId, ClaimOperation, ClaimOutcome) {
        loop {
            let response = self.execute(&operation.next()).await;
            if let Some(outcome) = operation.handle(response) {
                return (id, operation, outcome);
            }
        }
    }

    /// Sends a request and returns the response.
    pub async fn execute(&self, request: &ClaimRequest) -> ClaimResponse {
        let response = match within(REQUEST_TIMEOUT, self.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => failure(request, &error),
            Err(_) => ClaimResponse::Failed(format!("no answer within {REQUEST_TIMEOUT:?}")),
        };
        self.metrics
            .claim_requested(request.verb(), response.result());
        response
    }

    async fn send(&self, request: &ClaimRequest) -> kube::Result<ClaimResponse> {
        let api: Api<AddressClaim> = Api::all(self.client.clone());
        match request {
            ClaimRequest::Create(claim) => {
                let made = api.create(&PostParams::default(), claim).await?;
                Ok(ClaimResponse::Claim(Arc::new(made)))
            }
            ClaimRequest::Get(name) => {
                let found = api.get_opt(&name.to_string()).await?;
                Ok(found.map_or(ClaimResponse::NotFound, |claim| {
                    ClaimResponse::Claim(Arc::new(claim))
                }))
            }
            ClaimRequest::ListByOwner { domain, owner } => {
                self.list(&format!("{OWNER}={owner},{DOMAIN}={domain}"))
                    .await
            }
            ClaimRequest::ListBlock { domain, block } => {
                let (key, value) = block.label();
                self.list(&format!("{key}={value},{DOMAIN}={domain}")).await
            }
            ClaimRequest::Replace(claim) => {
                let name = claim.name_any();
                let now = api.replace(&name, &PostParams::default(), claim).await?;
                Ok(ClaimResponse::Claim(Arc::new(now)))
            }
            ClaimRequest::Delete(claim) => {
                let as_known = DeleteParams::default().preconditions(Preconditions {
                    uid: claim.metadata.uid.clone(),
                    resource_version: claim.metadata.resource_version.clone(),
                });
                api.delete(&claim.name_any(), &as_known).await?;
                Ok(ClaimResponse::Deleted)
            }
            ClaimRequest::CheckPod(pod) => self.check_pod(pod).await,
        }
    }

    /// All claims with these labels. Without a limit: a list with a limit is read from etcd, with all claims of the
    /// cluster; one without is served from the API server's watch cache, as new as etcd is. A block bounds its size.
    async fn list(&self, labels: &str) -> kube::Result<ClaimResponse> {
        let api: Api<DeserializeGuard<AddressClaim>> = Api::all(self.client.clone());
        let listed = api.list(&ListParams::default().labels(labels)).await?;
        let claims = listed.items.into_iter().filter_map(readable).collect();
        Ok(ClaimResponse::Listed(claims, Time(Timestamp::now())))
    }

    /// Whether this very pod exists; a pod that has ended has nothing running.
    async fn check_pod(&self, pod: &ClaimPod) -> kube::Result<ClaimResponse> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let found = api.get_opt(&pod.name).await?;
        let is_it = |found: &Pod| found.metadata.uid.as_deref() == Some(&pod.uid);
        let is_there = found.is_some_and(|found| is_it(&found) && !found.has_ended());
        Ok(match is_there {
            true => ClaimResponse::PodExists,
            false => ClaimResponse::PodGone,
        })
    }
}

/// A claim that cannot be parsed still takes its address.
fn readable(claim: DeserializeGuard<AddressClaim>) -> Option<Arc<AddressClaim>> {
    claim.0.map_or_else(
        |invalid| {
            let name = ClaimName::parse(&invalid.metadata.name?)?;
            Some(Arc::new(placeholder(&name)))
        },
        |claim| Some(Arc::new(claim)),
    )
}

/// The response for an error.
fn failure(request: &ClaimRequest, error: &Error) -> ClaimResponse {
    let Error::Api(status) = error else {
        return ClaimResponse::Failed(error_text(error));
    };
    match (request, status.code, status.reason.as_str()) {
        (ClaimRequest::Create(_), 409, "AlreadyExists") => ClaimResponse::Exists,
        (ClaimRequest::Replace(_) | ClaimRequest::Delete(_), 409, _) => ClaimResponse::Conflict,
        // Without a name in the status, it is the kind that is missing.
        (ClaimRequest::Replace(_) | ClaimRequest::Delete(_), 404, _) if names_claim(status) => {
            ClaimResponse::NotFound
        }
        (_, code, _) => ClaimResponse::Failed(format!(
            "the API server returned {code}: {}",
            error_text(error)
        )),
    }
}

fn names_claim(status: &kube::core::Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| !details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(request: &ClaimRequest, code: u16, reason: &str, name: &str) -> ClaimResponse {
        let status = serde_json::json!({
            "status": "Failure", "code": code, "reason": reason, "message": "no", "details": {"name": name},
        });
        let status = serde_json::from_value(status).expect("a status");
        failure(request, &Error::Api(Box::new(status)))
    }

    fn claim() -> Arc<AddressClaim> {
        let name = ClaimName::parse("cluster.10.99.0.1").map(|name| placeholder(&name));
        Arc::new(name.expect("a name"))
    }

    #[test]
    fn a_taken_name_is_distinguished_from_other_conflicts() {
        let create = ClaimRequest::Create(claim());
        assert!(matches!(
            respond(&create, 409, "AlreadyExists", "n"),
            ClaimResponse::Exists
        ));
        assert!(matches!(
            respond(&create, 409, "Conflict", "n"),
            ClaimResponse::Failed(_)
        ));
        let replace = ClaimRequest::Replace(claim());
        assert!(matches!(
            respond(&replace, 409, "Conflict", "n"),
            ClaimResponse::Conflict
        ));
    }

    #[test]
    fn a_kind_that_is_not_installed_is_no_claim_that_is_gone() {
        let delete = ClaimRequest::Delete(claim());
        assert!(matches!(
            respond(&delete, 404, "NotFound", "n"),
            ClaimResponse::NotFound
        ));
        assert!(matches!(
            respond(&delete, 404, "NotFound", ""),
            ClaimResponse::Failed(_)
        ));
    }
}
