//! The thread that talks to the API: watches into the stores, the desk out of them.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::pending,
    pin::Pin,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{Api, Client, Resource, core::PartialObjectMeta, runtime::watcher};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, sleep_until, timeout},
};

use super::{
    Options, apis,
    books::{Books, Heard},
    claims::Driver,
    clerk::Clerk,
    client,
    desk::Sink,
    events::Events,
    own_reports::OwnReports,
    reports,
    stores::StoreUpdater,
    watch::{self, Ledger, Said},
};
use crate::{
    address::claims::ClaimAllocator,
    http::DaemonHealth,
    metrics::Metrics,
    source::{StoreWriter, Trigger},
};

/// How soon a look that failed is tried again.
const PAUSE: Duration = Duration::from_secs(2);
/// At the end, what is still to be written gets so long.
const FAREWELL: Duration = Duration::from_secs(2);

/// Everything that the thread needs.
pub struct Service {
    pub options: Options,
    pub health: DaemonHealth,
    pub metrics: Metrics,
    pub sink: Sink,
    /// The claims of this node, and what rings when there is something to ask for.
    pub claims: (ClaimAllocator, Arc<Notify>),
    /// Told once: every list was heard, or it can never be.
    pub complete: mpsc::Sender<anyhow::Result<()>>,
}

type Ears = Vec<Pin<Box<dyn Stream<Item = Heard> + Send>>>;

impl Service {
    /// Until it is stopped; a failure that no waiting mends is told.
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
                let farewell = timeout(FAREWELL, self.sink.written_all());
                tokio::select! { ended = &mut service => ended, _ = farewell => Ok(()) }
            }
        };
        if let Err(error) = ended {
            // Whoever no longer waits for it has ended as well.
            let _ = self.complete.send(Err(error));
        }
    }

    async fn serve(&self, writer: StoreWriter, notify: &dyn Fn(Trigger)) -> anyhow::Result<()> {
        let stores = writer.stores();
        let client = client::connect().await?;
        client::check_version(&client, |why| self.wait(why)).await?;
        self.check_node(&client).await?;
        self.read_reports(&client).await;
        let clerk = Clerk {
            client: client.clone(),
            stores,
            metrics: self.metrics.clone(),
            events: Events::new(client.clone(), &self.options.node),
            sink: self.sink.clone(),
        };
        let own_reports = OwnReports::new(
            client.clone(),
            &self.options.node,
            (self.sink.clone(), clerk.stores.clone()),
            self.metrics.clone(),
        );
        let (claims, bell) = &self.claims;
        let driver = Driver::new(client.clone(), claims.clone(), self.metrics.clone());
        tokio::select! {
            () = clerk.run() => {}
            () = driver.run(bell) => {}
            () = own_reports.run() => {}
            () = self.hear(&client, writer, notify) => {}
        }
        Ok(())
    }

    /// What is waited for, for those who ask whether the daemon is ready.
    fn wait(&self, why: &str) {
        if self.health.wait_for(why) {
            tracing::warn!("waiting: {why}");
        }
    }

    /// A node that the API does not know has no pods, and all links here would be nobody's.
    async fn check_node(&self, client: &Client) -> anyhow::Result<()> {
        let name = &self.options.node;
        let nodes: Api<PartialObjectMeta<Node>> = Api::all(client.clone());
        loop {
            match nodes.get_opt(name).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => bail!(
                    "the API server knows no node {name:?}; name this node with --node-name or PODCONFIG_NODE_NAME"
                ),
                // It is no must that this right is granted.
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(()),
                Err(error) => self.wait(&format!("look for node {name}: {error}")),
            }
            sleep(PAUSE).await;
        }
    }

    /// What an earlier daemon wrote, so that it is not written again.
    async fn read_reports(&self, client: &Client) {
        loop {
            match reports::of_node(client, &self.options.node, &self.options.scope).await {
                Ok(reports) => return self.sink.found_first(reports),
                Err(error) => {
                    let why = client::refusal(&error);
                    self.wait(&format!("the API does not list podreports ({why})"));
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn hear(&self, client: &Client, writer: StoreWriter, notify: &dyn Fn(Trigger)) {
        let (ears, mut books) = self.open(client, writer);
        let mut heard = stream::select_all(ears);
        let mut is_complete = false;
        loop {
            let expiry = books.updater.next_expiry();
            let changes = tokio::select! {
                heard = heard.next() => match heard {
                    Some(heard) => books.take(heard),
                    None => return,
                },
                () = until(expiry) => books.expire(Instant::now()),
            };
            if is_complete {
                changes.into_iter().for_each(notify);
                continue;
            }
            match books.missing() {
                // What is on its way is no news.
                Some(missing) if books.deaf_to.is_empty() => drop(self.health.wait_for(&missing)),
                Some(missing) => self.wait(&missing),
                None => {
                    is_complete = true;
                    self.health.waits_no_more();
                    let _ = self.complete.send(Ok(()));
                }
            }
        }
    }

    /// The watches, limited to this node and to what is served.
    fn open(&self, client: &Client, writer: StoreWriter) -> (Ears, Books) {
        let scope = &self.options.scope;
        let whole = watcher::Config::default;
        let on_node = whole().fields(&format!("spec.nodeName={}", self.options.node));
        let of_node = whole().fields(&format!("spec.node={}", self.options.node));
        let named = |name: &String| whole().fields(&format!("metadata.name={name}"));
        let namespaces = match scope.is_limited() {
            true => scope.namespaces.iter().map(named).collect(),
            false => vec![whole()],
        };
        let mut ears: Ears = Vec::new();
        let books = Books {
            updater: StoreUpdater::new(writer, scope.clone(), &self.options.installation),
            podconfigs: listen(&mut ears, apis(client, scope), &whole(), Heard::PodConfig),
            policies: listen(
                &mut ears,
                vec![Api::all(client.clone())],
                &whole(),
                Heard::Policy,
            ),
            namespaces: namespaces
                .iter()
                .enumerate()
                .map(|(at, selection)| {
                    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
                    let said = watch::objects(api, selection.clone());
                    ears.push(Box::pin(said.map(move |said| Heard::Namespace(at, said))));
                    Ledger::default()
                })
                .collect(),
            pods: listen(&mut ears, apis(client, scope), &on_node, Heard::Pod),
            peer_slices: listen(&mut ears, apis(client, scope), &whole(), Heard::PeerSlice),
            reserved_networks: listen(
                &mut ears,
                vec![Api::all(client.clone())],
                &whole(),
                Heard::ReservedNetworks,
            ),
            claims: listen(
                &mut ears,
                vec![Api::all(client.clone())],
                &of_node,
                Heard::Claim,
            ),
            of_node: self.claims.0.clone(),
            metrics: self.metrics.clone(),
            deaf_to: BTreeMap::new(),
        };
        (ears, books)
    }
}

/// Until then; without a time, for good.
pub async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

/// One watch for each of these places.
fn listen<K>(
    ears: &mut Ears,
    apis: Vec<Api<K>>,
    selection: &watcher::Config,
    heard: fn(usize, Said<K>) -> Heard,
) -> Vec<Ledger>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let one = |(at, api)| {
        let said = watch::objects(api, selection.clone());
        ears.push(Box::pin(said.map(move |said| heard(at, said))));
        Ledger::default()
    };
    apis.into_iter().enumerate().map(one).collect()
}
