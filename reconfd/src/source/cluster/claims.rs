//! Claims at the API: several errands at once, each one request after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{AddressClaim, ClaimPod};
use futures::{StreamExt as _, stream::FuturesUnordered};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, Error, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
    core::DeserializeGuard,
};
use tokio::{
    sync::Notify,
    time::{sleep_until, timeout},
};

use super::client::words;
use crate::{
    address::claims::{
        Claims, Ticket,
        errand::{Ask, End, Errand, Told},
        paper::{DOMAIN, Name, OWNER, of_nobody},
    },
    metrics::Metrics,
    source::Pod,
};

/// So many errands are under way at once.
const AT_ONCE: usize = 16;
/// A request that is not answered by then may have been done or not.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Who asks the API for claims.
pub struct Driver {
    client: Client,
    claims: Claims,
    metrics: Metrics,
}

impl Driver {
    pub fn new(client: Client, claims: Claims, metrics: Metrics) -> Self {
        Self {
            client,
            claims,
            metrics,
        }
    }

    /// Does what is due, for good; `bell` rings when there may be more.
    pub async fn run(&self, bell: &Arc<Notify>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let room = AT_ONCE - under_way.len();
            let due = self.claims.take(room).into_iter();
            under_way.extend(due.map(|(ticket, errand)| self.perform(ticket, errand)));
            let next = self.claims.next_due().filter(|_| under_way.len() < AT_ONCE);
            let hour = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                Some((ticket, errand, end)) = under_way.next() => self.claims.end(ticket, errand, end),
                () = bell.notified() => (),
                () = sleep_until(next.unwrap_or(hour).into()) => (),
            }
        }
    }

    async fn perform(&self, ticket: Ticket, mut errand: Errand) -> (Ticket, Errand, End) {
        loop {
            let told = self.answer(&errand.next()).await;
            if let Some(end) = errand.heard(told) {
                return (ticket, errand, end);
            }
        }
    }

    /// Asks the API, and says what it said.
    pub async fn answer(&self, ask: &Ask) -> Told {
        let told = match timeout(ANSWERED_WITHIN, self.request(ask)).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => failure(ask, &error),
            Err(_) => Told::Failed(format!("no answer within {ANSWERED_WITHIN:?}")),
        };
        self.metrics.claim_asked(ask.verb(), told.result());
        told
    }

    async fn request(&self, ask: &Ask) -> kube::Result<Told> {
        let api: Api<AddressClaim> = Api::all(self.client.clone());
        match ask {
            Ask::Create(claim) => {
                let made = api.create(&PostParams::default(), claim).await?;
                Ok(Told::Claim(Arc::new(made)))
            }
            Ask::Get(name) => {
                let found = api.get_opt(&name.to_string()).await?;
                Ok(found.map_or(Told::Missing, |claim| Told::Claim(Arc::new(claim))))
            }
            Ask::OfOwner { domain, owner } => {
                self.list(&format!("{OWNER}={owner},{DOMAIN}={domain}"))
                    .await
            }
            Ask::OfBlock { domain, block } => {
                let (key, value) = block.label();
                self.list(&format!("{key}={value},{DOMAIN}={domain}")).await
            }
            Ask::Replace(claim) => {
                let name = claim.name_any();
                let now = api.replace(&name, &PostParams::default(), claim).await?;
                Ok(Told::Claim(Arc::new(now)))
            }
            Ask::Delete(claim) => {
                let as_known = DeleteParams::default().preconditions(Preconditions {
                    uid: claim.metadata.uid.clone(),
                    resource_version: claim.metadata.resource_version.clone(),
                });
                api.delete(&claim.name_any(), &as_known).await?;
                Ok(Told::Deleted)
            }
            Ask::LookUp(pod) => self.look_up(pod).await,
        }
    }

    /// Everything that has these labels now. Without a limit: what has one is read from etcd, with all claims of
    /// the cluster, and what has none from the server's memory, as new as etcd is. A block bounds it.
    async fn list(&self, labels: &str) -> kube::Result<Told> {
        let api: Api<DeserializeGuard<AddressClaim>> = Api::all(self.client.clone());
        let listed = api.list(&ListParams::default().labels(labels)).await?;
        let claims = listed.items.into_iter().filter_map(readable).collect();
        Ok(Told::Listed(claims, Time(Timestamp::now())))
    }

    /// Whether this very pod is there: of a pod that has ended, nothing runs any more.
    async fn look_up(&self, pod: &ClaimPod) -> kube::Result<Told> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let found = api.get_opt(&pod.name).await?;
        let is_it = |found: &Pod| found.metadata.uid.as_deref() == Some(&pod.uid);
        let is_there = found.is_some_and(|found| is_it(&found) && !found.has_ended());
        Ok(match is_there {
            true => Told::PodIsThere,
            false => Told::PodIsGone,
        })
    }
}

/// A claim that nobody can read is a claim all the same.
fn readable(claim: DeserializeGuard<AddressClaim>) -> Option<Arc<AddressClaim>> {
    claim.0.map_or_else(
        |invalid| {
            let name = Name::parse(&invalid.metadata.name?)?;
            Some(Arc::new(of_nobody(&name)))
        },
        |claim| Some(Arc::new(claim)),
    )
}

/// What an error says of what was asked.
fn failure(ask: &Ask, error: &Error) -> Told {
    let Error::Api(status) = error else {
        return Told::Failed(words(error));
    };
    match (ask, status.code, status.reason.as_str()) {
        (Ask::Create(_), 409, "AlreadyExists") => Told::Exists,
        (Ask::Replace(_) | Ask::Delete(_), 409, _) => Told::Overtaken,
        // Without a name in the answer it is the kind that is missing.
        (Ask::Replace(_) | Ask::Delete(_), 404, _) if names_claim(status) => Told::Missing,
        (_, code, _) => Told::Failed(format!("the API server says {code}: {}", words(error))),
    }
}

fn names_claim(status: &kube::core::Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| !details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(ask: &Ask, code: u16, reason: &str, name: &str) -> Told {
        let status = serde_json::json!({
            "status": "Failure", "code": code, "reason": reason, "message": "no", "details": {"name": name},
        });
        let status = serde_json::from_value(status).expect("a status");
        failure(ask, &Error::Api(Box::new(status)))
    }

    fn claim() -> Arc<AddressClaim> {
        let name = Name::parse("cluster.10.99.0.1").map(|name| of_nobody(&name));
        Arc::new(name.expect("a name"))
    }

    #[test]
    fn that_a_name_is_taken_is_told_from_every_other_conflict() {
        let create = Ask::Create(claim());
        assert!(matches!(
            says(&create, 409, "AlreadyExists", "n"),
            Told::Exists
        ));
        assert!(matches!(
            says(&create, 409, "Conflict", "n"),
            Told::Failed(_)
        ));
        let replace = Ask::Replace(claim());
        assert!(matches!(
            says(&replace, 409, "Conflict", "n"),
            Told::Overtaken
        ));
    }

    #[test]
    fn a_kind_that_is_not_installed_is_no_claim_that_is_gone() {
        let delete = Ask::Delete(claim());
        assert!(matches!(says(&delete, 404, "NotFound", "n"), Told::Missing));
        assert!(matches!(
            says(&delete, 404, "NotFound", ""),
            Told::Failed(_)
        ));
    }
}
