//! The API thread: watches fill the stores, and the write queue is drained.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use address::claims::ClaimAllocator;
use anyhow::bail;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, core::PartialObjectMeta};
use kubeio::{client, deadline::until, events::Events};
use store::{StoreWriter, Trigger};
use telemetry::{http::DaemonHealth, metrics::Metrics};
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

use super::{
    Options, claims::Driver, own_reports::OwnReports, queue_writer::QueueWriter, reports,
    stores::StoreUpdater, watch_state::WatchStates, watches::DaemonWatches,
    write_queue::WriteQueue,
};

/// Interval between attempts of the startup checks.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// The reporting controller of Events.
const CONTROLLER: &str = "podconfig.dev/reconfd";
/// Time for pending writes at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Everything that the thread needs.
pub struct Service {
    pub options: Options,
    pub health: DaemonHealth,
    pub metrics: Metrics,
    pub queue: WriteQueue,
    /// The claims of this node, and the signal for due operations.
    pub claims: (ClaimAllocator, Arc<Notify>),
    /// Sent once: initial lists are complete, or startup failed permanently.
    pub complete: mpsc::Sender<anyhow::Result<()>>,
}

impl Service {
    /// Runs until it is stopped; a permanent failure is sent to `complete`.
    pub async fn run(
        self,
        writer: StoreWriter,
        notify: &dyn Fn(Trigger),
        stopped: oneshot::Receiver<()>,
    ) {
        let service = self.serve(writer, notify);
        tokio::pin!(service);
        let ended = tokio::select! {
            ended = &mut service => ended,
            _ = stopped => {
                let drained = timeout(SHUTDOWN_GRACE, self.queue.wait_drained());
                tokio::select! { ended = &mut service => ended, _ = drained => Ok(()) }
            }
        };
        if let Err(error) = ended {
            // A receiver that is gone has ended as well.
            let _ = self.complete.send(Err(error));
        }
    }

    async fn serve(&self, writer: StoreWriter, notify: &dyn Fn(Trigger)) -> anyhow::Result<()> {
        let stores = writer.stores();
        let client = client::connect().await?;
        client::check_version(&client, |why| self.wait(why)).await?;
        self.check_node(&client).await?;
        self.read_reports(&client).await;
        let queue_writer = QueueWriter {
            client: client.clone(),
            stores,
            metrics: self.metrics.clone(),
            events: Events::new(client.clone(), CONTROLLER, &self.options.node),
            queue: self.queue.clone(),
        };
        let own_reports = OwnReports::new(
            client.clone(),
            &self.options.node,
            (self.queue.clone(), queue_writer.stores.clone()),
            self.metrics.clone(),
        );
        let (claims, wakeup) = &self.claims;
        let driver = Driver::new(client.clone(), claims.clone(), self.metrics.clone());
        tokio::select! {
            () = queue_writer.run() => {}
            () = driver.run(wakeup) => {}
            () = own_reports.run() => {}
            () = self.poll(&client, writer, notify) => {}
        }
        Ok(())
    }

    /// Reports what startup waits for, as the readiness reason.
    fn wait(&self, why: &str) {
        if self.health.wait_for(why) {
            tracing::warn!("waiting: {why}");
        }
    }

    /// A node that is unknown to the API has no pods, and all links here would count as orphaned.
    async fn check_node(&self, client: &Client) -> anyhow::Result<()> {
        let name = &self.options.node;
        let nodes: Api<PartialObjectMeta<Node>> = Api::all(client.clone());
        loop {
            match nodes.get_opt(name).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => bail!(
                    "the API server has no node {name:?}; set the name of this node with --node-name or PODCONFIG_NODE_NAME"
                ),
                // This permission is optional.
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(()),
                Err(error) => self.wait(&format!("cannot get node {name}: {error}")),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Reads the reports of an earlier daemon, so that unchanged ones are not written again.
    async fn read_reports(&self, client: &Client) {
        loop {
            match reports::of_node(client, &self.options.node, &self.options.scope).await {
                Ok(reports) => return self.queue.seed(reports),
                Err(error) => {
                    let why = client::refusal(&error);
                    self.wait(&format!("cannot list podreports ({why})"));
                }
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    async fn poll(&self, client: &Client, writer: StoreWriter, notify: &dyn Fn(Trigger)) {
        let mut watches = DaemonWatches::open(client, &self.options);
        let (scope, installation) = (self.options.scope.clone(), &*self.options.installation);
        let mut states = WatchStates {
            updater: StoreUpdater::new(writer, (scope, installation), self.claims.0.clone()),
            sync: watches.ids.drain(..).collect(),
            metrics: self.metrics.clone(),
        };
        let mut is_complete = false;
        loop {
            let expiry = states.updater.next_expiry();
            let changes = tokio::select! {
                update = watches.updates.next() => match update {
                    Some(update) => states.take(update).into_iter().collect(),
                    None => return,
                },
                () = until(expiry) => states.expire(Instant::now()),
            };
            if is_complete {
                changes.into_iter().for_each(notify);
                continue;
            }
            match states.unsynced() {
                // An initial list in progress is not worth a warning.
                Some(lists) if !states.is_any_failing() => drop(self.health.wait_for(&lists)),
                Some(lists) => self.wait(&lists),
                None => {
                    is_complete = true;
                    self.health.clear_wait();
                    let _ = self.complete.send(Ok(()));
                }
            }
        }
    }
}
