//! Watches the reports of this node at the API; a report that was deleted or changed by others is written again.
//!
//! Only the namespaces where this node has reports are watched. The API server matches every write of a custom
//! resource against the selector of each watch of its kind and scope (4 µs each), so one watch per node over all
//! namespaces would make the cost of each report proportional to the number of nodes; this way only nodes with pods
//! in the same namespace add to it.

use std::{collections::BTreeMap, future::pending, time::Instant};

use kubeio::{
    deadline::until,
    sync_state::SyncState,
    watch::{ObjectEvent, ObjectKey, Watch, WatchUpdate},
};
use store::Stores;
use telemetry::metrics::Metrics;

use super::{reports::NODE_FIELD, write_queue::WriteQueue};
use crds::PodReport;
use futures::{StreamExt as _, stream};
use kube::{Api, Client, core::DeserializeGuard, runtime::watcher::Config};

const KIND: &str = "podreports";

type Guarded = DeserializeGuard<PodReport>;

pub struct OwnReports {
    client: Client,
    node: String,
    queue: WriteQueue,
    stores: Stores,
    metrics: Metrics,
    /// By namespace.
    watches: BTreeMap<String, Watch<Guarded>>,
    states: SyncState<String>,
}

type Update = WatchUpdate<ObjectEvent<Guarded>>;

impl OwnReports {
    pub fn new(
        client: Client,
        node: &str,
        (queue, stores): (WriteQueue, Stores),
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            node: node.to_owned(),
            queue,
            stores,
            metrics,
            watches: BTreeMap::new(),
            states: SyncState::default(),
        }
    }

    /// Runs forever.
    pub async fn run(mut self) {
        let queue = self.queue.clone();
        loop {
            self.sync_watches();
            let due = until(queue.next_rewrite());
            tokio::select! {
                (namespace, update) = next(&mut self.watches) => self.take(&namespace, update),
                () = queue.namespaces_changed() => (),
                () = due => self.write_again(),
            }
        }
    }

    /// Opens one watch in each namespace where this node has reports, and closes the others.
    fn sync_watches(&mut self) {
        let namespaces = self.queue.namespaces();
        self.watches.retain(|name, _| {
            let is_open = namespaces.contains(name);
            if !is_open {
                self.states.close(name);
            }
            is_open
        });
        for namespace in namespaces {
            if self.watches.contains_key(&namespace) {
                continue;
            }
            let api: Api<Guarded> = Api::namespaced(self.client.clone(), &namespace);
            let of_node = Config::default().fields(&format!("{NODE_FIELD}={}", self.node));
            self.states.open(namespace.clone());
            self.watches.insert(namespace, Watch::open(api, of_node));
        }
    }

    fn take(&mut self, namespace: &String, update: Update) {
        let now = Instant::now();
        let is_recovered = match update {
            WatchUpdate::Object(event) => {
                let (key, report) = event.into_parts();
                // A report that cannot be parsed differs from what was written.
                let status = report.and_then(|report| report.0.ok()?.status);
                self.queue.observed(&key, status, now);
                self.states.received(namespace)
            }
            WatchUpdate::Synced => {
                if let Some(watch) = self.watches.get(namespace) {
                    self.queue.listed(namespace, |key| watch.contains(key), now);
                }
                self.states.synced(namespace)
            }
            WatchUpdate::Failed(failure) => {
                self.metrics.watch_restarted(KIND);
                let why = failure.refusal();
                if self.states.failed(namespace, &why, false) {
                    tracing::warn!(kind = KIND, namespace, "{why}");
                }
                false
            }
        };
        if is_recovered {
            tracing::info!(kind = KIND, namespace, "watch recovered");
        }
    }

    fn write_again(&self) {
        // The report of a pod that is gone is deleted by the garbage collector each time.
        let is_there = |(namespace, name): &ObjectKey, uid: &str| {
            let pod = self.stores.pod(namespace, name);
            pod.is_some_and(|pod| pod.metadata.uid.as_deref() == Some(uid))
        };
        for (namespace, name) in self.queue.write_again(is_there, Instant::now()) {
            tracing::warn!(
                namespace,
                name,
                "PodReport deleted or changed by others; writing it again"
            );
        }
    }
}

/// The next event of any watch.
async fn next(watches: &mut BTreeMap<String, Watch<Guarded>>) -> (String, Update) {
    let tagged = watches
        .iter_mut()
        .map(|(namespace, watch)| watch.map(|update| (namespace.clone(), update)));
    match stream::select_all(tagged).next().await {
        Some(update) => update,
        // There are no watches; a watch never ends.
        None => pending().await,
    }
}
