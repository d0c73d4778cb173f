//! The reports of this node at the API, watched: one that others deleted or changed is written again.
//!
//! Watched in the namespaces alone where this node has reports. The API server holds every write of a custom
//! resource against the selector of each watch of its kind and place (4 µs each), so one watch a node over all
//! namespaces would make each report cost as much as there are nodes; this way only nodes that have pods of
//! the same namespace cost anything.

use std::{collections::BTreeMap, future::pending, time::Instant};

use super::{
    reports::NODE_FIELD,
    serve::until,
    watch::{self, KnownKeys, ObjectEvent, ObjectKey, WatchResult},
    watch_state::why,
    write_queue::WriteQueue,
};
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
    /// Why it can not be had at the moment.
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

    /// Watches for good.
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

    /// One watch in each namespace where this node has reports.
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
            tracing::info!(kind = KIND, namespace, "watched again");
        }
        let (now, is_whole) = (Instant::now(), matches!(event, Event::InitDone));
        for event in watch.keys.take(event) {
            match event {
                // One that can not be read is not as it was written.
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
            self.queue.listed(namespace, |key| keys.knows(key), now);
        }
    }

    fn write_again(&self) {
        // Of a pod that is gone, the garbage collector takes the report away each time.
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

/// What the next of the watches says.
async fn next(watches: &mut BTreeMap<String, Watch>) -> (String, WatchResult<Guarded>) {
    let tagged = watches.iter_mut().map(|(namespace, watch)| {
        let result = watch.stream.by_ref();
        result.map(|result| (namespace.clone(), result))
    });
    match stream::select_all(tagged).next().await {
        Some(result) => result,
        // Nothing is watched, for a watch never ends.
        None => pending().await,
    }
}
