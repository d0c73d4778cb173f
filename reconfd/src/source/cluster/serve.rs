//! The API thread: watches fill the stores, and the write queue is drained.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    pin::Pin,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{Api, Client, Resource, core::PartialObjectMeta, runtime::watcher};
use kubeio::{
    client,
    deadline::until,
    events::Events,
    watch::{self, KnownKeys, WatchResult},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

use super::{
    Options,
    api_writer::ApiWriter,
    apis,
    claims::Driver,
    own_reports::OwnReports,
    reports,
    stores::StoreUpdater,
    watch_state::{WatchEvent, WatchStates},
    write_queue::WriteQueue,
};
use crate::{
    address::claims::ClaimAllocator,
    http::DaemonHealth,
    metrics::Metrics,
    source::{StoreWriter, Trigger},
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

type WatchStreams = Vec<Pin<Box<dyn Stream<Item = WatchEvent> + Send>>>;

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
        let api_writer = ApiWriter {
            client: client.clone(),
            stores,
            metrics: self.metrics.clone(),
            events: Events::new(client.clone(), CONTROLLER, &self.options.node),
            queue: self.queue.clone(),
        };
        let own_reports = OwnReports::new(
            client.clone(),
            &self.options.node,
            (self.queue.clone(), api_writer.stores.clone()),
            self.metrics.clone(),
        );
        let (claims, wakeup) = &self.claims;
        let driver = Driver::new(client.clone(), claims.clone(), self.metrics.clone());
        tokio::select! {
            () = api_writer.run() => {}
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
        let (streams, mut states) = self.open(client, writer);
        let mut event = stream::select_all(streams);
        let mut is_complete = false;
        loop {
            let expiry = states.updater.next_expiry();
            let changes = tokio::select! {
                event = event.next() => match event {
                    Some(event) => states.take(event),
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
                Some(lists) if states.failing.is_empty() => drop(self.health.wait_for(&lists)),
                Some(lists) => self.wait(&lists),
                None => {
                    is_complete = true;
                    self.health.clear_wait();
                    let _ = self.complete.send(Ok(()));
                }
            }
        }
    }

    /// Opens the watches, limited to this node and to the served namespaces.
    fn open(&self, client: &Client, writer: StoreWriter) -> (WatchStreams, WatchStates) {
        let scope = &self.options.scope;
        let whole = watcher::Config::default;
        let on_node = whole().fields(&format!("spec.nodeName={}", self.options.node));
        let of_node = whole().fields(&format!("spec.node={}", self.options.node));
        let named = |name: &String| whole().fields(&format!("metadata.name={name}"));
        let namespaces = match scope.is_limited() {
            true => scope.namespaces.iter().map(named).collect(),
            false => vec![whole()],
        };
        let mut streams: WatchStreams = Vec::new();
        let states = WatchStates {
            updater: StoreUpdater::new(writer, scope.clone(), &self.options.installation),
            podconfigs: watch_each(
                &mut streams,
                apis(client, scope),
                &whole(),
                WatchEvent::PodConfig,
            ),
            policies: watch_each(
                &mut streams,
                vec![Api::all(client.clone())],
                &whole(),
                WatchEvent::Policy,
            ),
            namespaces: namespaces
                .iter()
                .enumerate()
                .map(|(at, selection)| {
                    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
                    let result = watch::objects(api, selection.clone());
                    streams.push(Box::pin(
                        result.map(move |result| WatchEvent::Namespace(at, result)),
                    ));
                    KnownKeys::default()
                })
                .collect(),
            pods: watch_each(&mut streams, apis(client, scope), &on_node, WatchEvent::Pod),
            peer_slices: watch_each(
                &mut streams,
                apis(client, scope),
                &whole(),
                WatchEvent::PeerSlice,
            ),
            reserved_networks: watch_each(
                &mut streams,
                vec![Api::all(client.clone())],
                &whole(),
                WatchEvent::ReservedNetworks,
            ),
            claims: watch_each(
                &mut streams,
                vec![Api::all(client.clone())],
                &of_node,
                WatchEvent::Claim,
            ),
            of_node: self.claims.0.clone(),
            metrics: self.metrics.clone(),
            failing: BTreeMap::new(),
        };
        (streams, states)
    }
}

/// Opens one watch for each API handle.
fn watch_each<K>(
    streams: &mut WatchStreams,
    apis: Vec<Api<K>>,
    selection: &watcher::Config,
    event: fn(usize, WatchResult<K>) -> WatchEvent,
) -> Vec<KnownKeys>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let one = |(at, api)| {
        let result = watch::objects(api, selection.clone());
        streams.push(Box::pin(result.map(move |result| event(at, result))));
        KnownKeys::default()
    };
    apis.into_iter().enumerate().map(one).collect()
}
