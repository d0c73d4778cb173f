//! The loop of the controller: watch events update the index, due keys become actions, and actions are written with
//! bounded concurrency.

use std::{
    collections::BTreeMap,
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};

use crds::Reason;
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, SelectAll},
};
use kube::Client;
use kubeio::{
    api_writer::InFlight, sync_state::SyncState, watch::WatchUpdate, write_error::WriteError,
};
use store::kinds::{ObjectKind, WatchId};
use tokio::time::{sleep_until, timeout};
use workqueue::{Backoff, Outcome, WorkQueue};

use crate::{
    action::Action,
    apply::apply,
    config::ControllerConfig,
    health::Health,
    index::{ClusterIndex, ObjectChange},
    metrics::Metrics,
    reconcile_key::{Delay, MIN_INTERVAL, ReconcileKey, Requeue},
    watches::{WatchMessage, are_synced, message_with_advice, unsynced, watches},
};

/// Maximum number of concurrent writes.
const MAX_CONCURRENT_WRITES: usize = 16;
/// Of failed writes.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
/// Interval of the heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Grace period for writes in flight at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

pub struct Controller {
    client: Client,
    watches: SelectAll<BoxStream<'static, WatchMessage>>,
    sync_state: SyncState<WatchId>,
    index: ClusterIndex,
    queue: WorkQueue<ReconcileKey>,
    in_flight: InFlight<BoxFuture<'static, Attempt>>,
    health: Health,
    metrics: Metrics,
    /// Namespaces that an earlier installation serves, each with a message.
    served_elsewhere: BTreeMap<String, String>,
    /// Time of the last heartbeat.
    last_heartbeat: Instant,
}

/// Result of one write.
struct Attempt {
    key: ReconcileKey,
    action: Action,
    /// Whether something was written.
    result: Result<bool, WriteError>,
    took: Duration,
}

impl Controller {
    pub fn new(
        client: Client,
        config: &ControllerConfig,
        health: Health,
        metrics: Metrics,
    ) -> Self {
        let (ids, watches) = watches(&client, &config.scope);
        Self {
            client,
            watches,
            sync_state: ids.into_iter().collect(),
            index: ClusterIndex::new(config.scope.clone(), &config.installation.name),
            queue: WorkQueue::new(MIN_INTERVAL, BACKOFF),
            in_flight: InFlight::new(MAX_CONCURRENT_WRITES),
            health,
            metrics,
            served_elsewhere: BTreeMap::new(),
            last_heartbeat: Instant::now(),
        }
    }

    pub async fn run(mut self, mut stop: Pin<&mut impl Future<Output = ()>>) {
        loop {
            let wake_at = self.next_wakeup();
            tokio::select! {
                Some(message) = self.watches.next() => self.handle(message),
                Some(attempt) = self.in_flight.next() => self.complete(attempt),
                () = sleep_until(wake_at.into()) => (),
                () = &mut stop => break,
            }
            if self.last_heartbeat.elapsed() >= HEARTBEAT {
                self.heartbeat();
            }
            self.start_due();
        }
        let finish = async { while self.in_flight.next().await.is_some() {} };
        let _ = timeout(SHUTDOWN_GRACE, finish).await;
    }

    /// Time of the next queued key or heartbeat.
    fn next_wakeup(&self) -> Instant {
        let heartbeat = self.last_heartbeat + HEARTBEAT;
        let next = self.queue.next_due().filter(|_| self.in_flight.has_room());
        next.map_or(heartbeat, |next| next.min(heartbeat))
    }

    fn heartbeat(&mut self) {
        self.last_heartbeat = Instant::now();
        self.queue.prune(Instant::now());
        for (kind, objects) in self.index.counts() {
            self.metrics
                .set_kind(kind, objects, are_synced(&self.sync_state, &[kind]));
        }
        self.metrics.set_jobs(self.queue.len());
        self.log_served_elsewhere();
        self.health.beat(unsynced(&self.sync_state));
    }

    /// Logs each namespace once when it passes to another installation or back.
    fn log_served_elsewhere(&mut self) {
        let left = self.index.served_elsewhere();
        self.metrics.set_served_elsewhere(left.len());
        for (namespace, why) in left
            .iter()
            .filter(|(name, _)| !self.served_elsewhere.contains_key(*name))
        {
            tracing::warn!(reason = %Reason::ServedTwice, namespace, "{why}");
        }
        for namespace in self
            .served_elsewhere
            .keys()
            .filter(|name| !left.contains_key(*name))
        {
            tracing::info!(
                namespace,
                "no earlier installation serves the namespace now"
            );
        }
        self.served_elsewhere = left;
    }

    fn handle(&mut self, (watch, update): WatchMessage) {
        match update {
            WatchUpdate::Object(event) => {
                self.sync_state.received(&watch);
                if let ObjectChange::PodConfig(None) = event.change {
                    let status = ReconcileKey::status(&event.namespace, &event.name);
                    self.queue.forget(&status);
                }
                let requeues = self.index.update(*event);
                self.enqueue(requeues);
            }
            WatchUpdate::Synced => {
                let was_unsynced = self.sync_state.unsynced().next().is_some();
                self.sync_state.synced(&watch);
                if was_unsynced && self.sync_state.unsynced().next().is_none() {
                    tracing::info!("all watches are synced");
                }
                let requeues = self.index.all();
                self.enqueue(requeues);
                self.heartbeat();
            }
            WatchUpdate::Failed(failure) => {
                let (why, is_lost) = (message_with_advice(&failure), failure.is_lost());
                if self.sync_state.failed(&watch, &why, is_lost) {
                    tracing::warn!(is_lost, "watch {watch}: {why}");
                }
                self.heartbeat();
            }
        }
    }

    fn enqueue(&mut self, requeues: Vec<Requeue>) {
        let now = Instant::now();
        for requeue in requeues {
            self.queue.add(requeue.key, now + requeue.delay.duration());
        }
    }

    /// Starts writes for due keys. A key whose kinds are not synced is dropped: the sync enqueues it again.
    fn start_due(&mut self) {
        let Self {
            client,
            sync_state,
            index,
            queue,
            in_flight,
            ..
        } = self;
        let now = Instant::now();
        in_flight.fill(|| {
            while let Some(key) = queue.pop(now) {
                let nodes_synced = are_synced(sync_state, &[ObjectKind::Node]);
                let action = match are_synced(sync_state, key.requires()) {
                    true => index.decide(&key, nodes_synced, SystemTime::now()),
                    false => None,
                };
                match action {
                    Some(action) => return Some(attempt(client.clone(), key, action).boxed()),
                    None => queue.done(&key, Outcome::Unchanged, now),
                }
            }
            None
        });
    }

    fn complete(&mut self, attempt: Attempt) {
        let Attempt {
            key,
            action,
            result,
            took,
        } = attempt;
        let outcome = match &result {
            Ok(true) => Outcome::Changed,
            Ok(false) => Outcome::Unchanged,
            Err(error) => {
                tracing::warn!("{key}: {error}");
                Outcome::Failed(error.retry_after())
            }
        };
        if result.is_ok() {
            self.index.written(&action);
        }
        let is_ok = !matches!(outcome, Outcome::Failed(_));
        self.metrics.wrote(key.kind().as_str(), is_ok, took);
        self.queue.done(&key, outcome, Instant::now());
        if matches!(
            key,
            ReconcileKey::OrphanReport { .. } | ReconcileKey::OrphanClaim { .. }
        ) {
            // Checked again, in case the object is still orphaned.
            self.enqueue(vec![key.after(Delay::OrphanGrace)]);
        }
    }
}

async fn attempt(client: Client, key: ReconcileKey, action: Action) -> Attempt {
    let started = Instant::now();
    let result = apply(&client, &action).await;
    Attempt {
        key,
        action,
        result,
        took: started.elapsed(),
    }
}
