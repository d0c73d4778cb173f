//! Watches the reports of this node at the API; a report that was deleted or changed by others is written again.
//!
//! Only the namespaces where this node has reports are watched. The API server matches every write of a custom
//! resource against the selector of each watch of its kind and scope (4 µs each), so one watch per node over all
//! namespaces would make the cost of each report proportional to the number of nodes; this way only nodes with pods
//! in the same namespace add to it.

use std::{collections::BTreeMap, future::pending, time::Instant};

use super::{reports::NODE_FIELD, watch_state::why, write_queue::WriteQueue};
use crate::{metrics::Metrics, source::Stores};
use crds::PodReport;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::watcher::{Config, Event},
};
use kubeio::{
    deadline::until,
    watch::{self, KnownKeys, ObjectEvent, ObjectKey, WatchResult},
};

const KIND: &str = "podreports";

type Guarded = DeserializeGuard<PodReport>;

pub struct OwnReports {
    client: Client,
    node: String,
    queue: WriteQueue,
    stores: Stores,
    metrics: Metrics,
    /// By namespace.
    watches: BTreeMap<String, Watch>,
}

struct Watch {
    stream: BoxStream<'static, WatchResult<Guarded>>,
    keys: KnownKeys,
    /// The current error of the watch.
    error: Option<String>,
}

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
        }
    }

    /// Runs forever.
    pub async fn run(mut self) {
        let queue = self.queue.clone();
        loop {
            self.sync_watches();
            let due = until(queue.next_rewrite());
            tokio::select! {
                (namespace, result) = next(&mut self.watches) => self.take(&namespace, result),
                () = queue.namespaces_changed() => (),
                () = due => self.write_again(),
            }
        }
    }

    /// Opens one watch in each namespace where this node has reports, and closes the others.
    fn sync_watches(&mut self) {
        let namespaces = self.queue.namespaces();
        self.watches.retain(|name, _| namespaces.contains(name));
        for namespace in namespaces {
            let open = || {
                let api: Api<Guarded> = Api::namespaced(self.client.clone(), &namespace);
                let of_node = Config::default().fields(&format!("{NODE_FIELD}={}", self.node));
                Watch {
                    stream: watch::objects(api, of_node).boxed(),
                    keys: KnownKeys::default(),
                    error: None,
                }
            };
            self.watches.entry(namespace.clone()).or_insert_with(open);
        }
    }

    fn take(&mut self, namespace: &str, result: WatchResult<Guarded>) {
        let Some(watch) = self.watches.get_mut(namespace) else {
            return;
        };
        let event = match result {
            Ok(event) => event,
            Err(error) => {
                self.metrics.watch_restarted(KIND);
                let why = why(&error);
                if watch.error.replace(why.clone()).as_ref() != Some(&why) {
                    tracing::warn!(kind = KIND, namespace, "{why}");
                }
                return;
            }
        };
        if watch.error.take().is_some() {
            tracing::info!(kind = KIND, namespace, "watch recovered");
        }
        let (now, is_whole) = (Instant::now(), matches!(event, Event::InitDone));
        for event in watch.keys.take(event) {
            match event {
                // A report that cannot be parsed differs from what was written.
                ObjectEvent::Applied(report) => {
                    let key = watch::key(report.as_ref());
                    let status = report.0.ok().and_then(|report| report.status);
                    self.queue.observed(&key, status, now);
                }
                ObjectEvent::Deleted(key) => self.queue.observed(&key, None, now),
            }
        }
        if is_whole {
            let keys = &watch.keys;
            self.queue.listed(namespace, |key| keys.contains(key), now);
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
async fn next(watches: &mut BTreeMap<String, Watch>) -> (String, WatchResult<Guarded>) {
    let tagged = watches.iter_mut().map(|(namespace, watch)| {
        let result = watch.stream.by_ref();
        result.map(|result| (namespace.clone(), result))
    });
    match stream::select_all(tagged).next().await {
        Some(result) => result,
        // There are no watches; a watch never ends.
        None => pending().await,
    }
}
