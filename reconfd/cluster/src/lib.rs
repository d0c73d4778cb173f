//! The cluster source: the Kubernetes API. Objects go into the same stores as manifests from a folder; writes go
//! through a queue, so that no link waits for the API.

/// AddressClaims at the API.
pub mod claims;
mod own_reports;
mod pods;
mod queue_writer;
mod reports;
mod retired;
mod rewrite;
mod serve;
mod stores;
mod watch_state;
mod watches;
mod write_queue;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use address::claims::{AllocatorState, Backend, ClaimAllocator};
use store::{InitialSync, StoreWriter, Stores, Trigger, records::Records, scope::Scope};
use telemetry::{http::DaemonHealth, metrics::Metrics};
use tokio::sync::{Notify, oneshot};

pub use self::{
    pods::{Gate, LinkNetwork, Network, PodStatusWrite, is_own_network},
    write_queue::WriteQueue,
};

#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this node's Node object.
    pub node: String,
    pub scope: Scope,
    /// The installation whose controller publishes the reserved networks.
    pub installation: String,
    /// Quarantine of a released address.
    pub address_rest: Duration,
    /// The plugin's folder of records; it may be created later.
    pub records: PathBuf,
    /// Whether CNI plugins can be executed, so that their configurations are of use.
    pub has_runner: bool,
}

/// The running source. Dropping it stops it after a short grace period for pending writes.
#[must_use]
pub struct Cluster {
    _records: Records,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Returns at once: the API may be unavailable. `notify` is called for each change after the stores were updated.
    pub fn start(
        options: Options,
        (health, metrics): (DaemonHealth, Metrics),
        notify: impl Fn(Trigger) + Clone + Send + Sync + 'static,
    ) -> io::Result<((Stores, ClaimAllocator), WriteQueue, InitialSync, Self)> {
        let writer = StoreWriter::of_api();
        let (stores, queue) = (writer.stores(), WriteQueue::default());
        let records = Records::watch(&options.records, notify.clone())?;
        let wakeup = Arc::new(Notify::new());
        let claims = ClaimAllocator::new(
            allocator_state(&options),
            claim_backend(&wakeup, notify.clone()),
        );
        let (stop, stopped) = oneshot::channel();
        let (complete, wait) = mpsc::channel();
        let service = serve::Service {
            options,
            health,
            metrics,
            queue: queue.clone(),
            claims: (claims.clone(), wakeup),
            complete,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = Builder::new().name("api".into());
        let thread =
            thread.spawn(move || runtime.block_on(service.run(writer, &notify, stopped)))?;
        let cluster = Self {
            _records: records,
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok(((stores, claims), queue, InitialSync::pending(wait), cluster))
    }
}

fn allocator_state(options: &Options) -> AllocatorState {
    AllocatorState::new(&options.node, &options.installation, options.address_rest)
}

fn claim_backend(
    wakeup: &Arc<Notify>,
    notify: impl Fn(Trigger) + Send + Sync + 'static,
) -> Backend {
    let wakeup = wakeup.clone();
    Backend {
        sync: None,
        wake: Box::new(move || wakeup.notify_one()),
        notify: Box::new(move |uid| notify(Trigger::Claims { uid })),
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A service that has ended needs no signal.
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged its panic.
            let _ = thread.join();
        }
    }
}
