//! Drains the write queue with bounded concurrency, retrying each write until it succeeds or fails permanently.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::Client;
use tokio::time::{sleep, timeout};

use super::{
    events::Events,
    pods, reports,
    write_queue::{ReportWrite, WriteQueue, WriteRequest},
};
use crate::{metrics::Metrics, source::Stores};

/// Number of concurrent writes.
const MAX_CONCURRENT: usize = 8;
/// A write without a response is retried after this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Backoff after a failure; it doubles with each attempt.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

pub struct ApiWriter {
    pub client: Client,
    pub stores: Stores,
    pub metrics: Metrics,
    pub events: Events,
    pub queue: WriteQueue,
}

impl ApiWriter {
    /// Runs forever.
    pub async fn run(&self) {
        let mut wait = MIN_BACKOFF;
        loop {
            self.queue.wait().await;
            let all_succeeded = self.write_all().await;
            wait = match all_succeeded {
                true => MIN_BACKOFF,
                false => {
                    sleep(wait).await;
                    MAX_BACKOFF.min(wait * 2)
                }
            };
        }
    }

    /// Returns whether everything queued was written.
    async fn write_all(&self) -> bool {
        let requests = stream::iter(self.queue.take());
        let tries = requests.map(|request| async move {
            let tried = timeout(REQUEST_TIMEOUT, self.write(&request)).await;
            let succeeded = match tried {
                Ok(Ok(())) => true,
                Ok(Err(why)) => self.failed(request, why),
                Err(_) => {
                    let why = format!("no answer within {REQUEST_TIMEOUT:?}");
                    self.failed(request, WriteError::Retryable(why))
                }
            };
            self.queue.complete();
            succeeded
        });
        let all = tries.buffer_unordered(MAX_CONCURRENT);
        all.fold(true, |all, one| async move { all && one }).await
    }

    async fn write(&self, request: &WriteRequest) -> Result<(), WriteError> {
        match request {
            WriteRequest::Report(key, ReportWrite::Write(status)) => {
                reports::write(&self.client, key, status).await?;
                self.metrics.wrote("podreports");
                self.queue.has_written(key, Some((**status).clone()));
            }
            WriteRequest::Report(key, ReportWrite::Remove(uid)) => {
                reports::remove(&self.client, key, uid).await?;
                self.metrics.wrote("podreports");
                self.queue.has_written(key, None);
            }
            WriteRequest::Pod(key, request) => {
                let object = self.stores.pod(&key.0, &key.1);
                let is_written = pods::write(&self.client, object.as_deref(), request).await?;
                is_written.then(|| self.metrics.wrote("pods/status"));
            }
            WriteRequest::Notice(notice) => {
                self.events.publish(notice).await?;
                self.metrics.wrote("events");
            }
        }
        Ok(())
    }

    /// Handles a failed write. Returns whether the writer may go on without backoff.
    fn failed(&self, request: WriteRequest, why: WriteError) -> bool {
        let what = match &request {
            WriteRequest::Report((namespace, name), _) => {
                format!("the PodReport {namespace}/{name}")
            }
            WriteRequest::Pod((namespace, name), _) => {
                format!("the status of pod {namespace}/{name}")
            }
            WriteRequest::Notice(notice) => format!("an Event on {}", notice.about()),
        };
        match why {
            WriteError::Gone => true,
            WriteError::Invalid(why) => {
                tracing::error!("cannot write {what}: {why}");
                self.metrics.write_refused();
                true
            }
            // A missing permission for other writes does not delay reports.
            WriteError::Forbidden(why) if !matches!(request, WriteRequest::Report(..)) => {
                tracing::error!(
                    "cannot write {what}: {why}; grant the permission, or turn that feature off"
                );
                self.metrics.write_refused();
                true
            }
            WriteError::Retryable(why) | WriteError::Forbidden(why) => {
                tracing::warn!("cannot write {what}, will retry: {why}");
                self.metrics.write_refused();
                self.queue.requeue(request);
                false
            }
        }
    }
}

/// Why a write failed.
#[derive(Debug)]
pub enum WriteError {
    /// Its object is gone.
    Gone,
    /// It is refused permanently.
    Invalid(String),
    /// The permission is missing, or not granted yet.
    Forbidden(String),
    /// It may succeed later.
    Retryable(String),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Retryable(error.to_string());
        };
        let is_terminating = status.message.contains("because it is being terminated");
        // Without the name of an object, the CustomResourceDefinition is missing or about to be.
        let names_object = status.details.as_ref().is_some_and(|d| !d.name.is_empty());
        match status.code {
            404 if names_object => Self::Gone,
            403 if is_terminating => Self::Gone,
            403 => Self::Forbidden(status.message.clone()),
            400 | 422 => Self::Invalid(status.message.clone()),
            _ => Self::Retryable(status.message.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::*;

    fn failure(code: u16, message: &str) -> WriteError {
        let status = Status {
            code,
            message: message.into(),
            ..Status::default()
        };
        kube::Error::Api(Box::new(status)).into()
    }

    #[test]
    fn what_may_go_through_another_time_is_tried_again() {
        // 404 and 405: the definition is gone, or going, and is put back.
        for code in [401, 404, 405, 409, 429, 500, 503] {
            let failure = failure(code, "no");
            assert!(matches!(failure, WriteError::Retryable(_)), "{code}");
        }
        assert!(matches!(failure(422, "bad"), WriteError::Invalid(_)));
        assert!(matches!(failure(403, "no"), WriteError::Forbidden(_)));
    }

    #[test]
    fn nothing_is_written_about_what_is_gone() {
        let details = StatusDetails {
            name: "t".into(),
            group: String::new(),
            kind: "namespaces".into(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        let status = Status {
            code: 404,
            details: Some(details),
            ..Status::default()
        };
        let gone = WriteError::from(kube::Error::Api(Box::new(status)));
        assert!(matches!(gone, WriteError::Gone));
        let going = "unable to create new content in namespace t because it is being terminated";
        assert!(matches!(failure(403, going), WriteError::Gone));
    }
}
