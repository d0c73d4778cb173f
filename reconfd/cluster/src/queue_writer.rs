//! Drains the write queue with bounded concurrency, retrying each write until it succeeds or fails permanently.

use std::time::{Duration, Instant};

use kube::Client;
use kubeio::{
    api_writer::{InFlight, REQUEST_TIMEOUT, attempt},
    events::Events,
    write_error::WriteError,
};
use store::Stores;
use telemetry::metrics::Metrics;
use tokio::time::sleep;
use workqueue::{Attempts, Backoff};

use super::{
    pods, reports,
    write_queue::{ReportWrite, WriteQueue, WriteRequest},
};

/// Number of concurrent writes.
const MAX_CONCURRENT: usize = 8;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

pub struct QueueWriter {
    pub client: Client,
    pub stores: Stores,
    pub metrics: Metrics,
    pub events: Events,
    pub queue: WriteQueue,
}

impl QueueWriter {
    /// Runs forever.
    pub async fn run(&self) {
        let mut attempts = Attempts::default();
        loop {
            self.queue.wait().await;
            match self.write_all().await {
                true => attempts.reset(),
                false => sleep(attempts.failed(&BACKOFF, Instant::now())).await,
            }
        }
    }

    /// Returns whether everything queued was written.
    async fn write_all(&self) -> bool {
        let mut requests = self.queue.take().into_iter();
        let (mut in_flight, mut all) = (InFlight::new(MAX_CONCURRENT), true);
        loop {
            in_flight.fill(|| requests.next().map(|request| self.try_write(request)));
            match in_flight.next().await {
                Some(succeeded) => all &= succeeded,
                None => return all,
            }
        }
    }

    /// Returns whether the writer may go on without backoff.
    async fn try_write(&self, request: WriteRequest) -> bool {
        let written = attempt(REQUEST_TIMEOUT, "no answer", self.write(&request)).await;
        let succeeded = written.map_or_else(|why| self.failed(request, why), |()| true);
        self.queue.complete();
        succeeded
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
            WriteError::Gone(_) => true,
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
            WriteError::Retryable { why, .. } | WriteError::Forbidden(why) => {
                tracing::warn!("cannot write {what}, will retry: {why}");
                self.metrics.write_refused();
                self.queue.requeue(request);
                false
            }
        }
    }
}
