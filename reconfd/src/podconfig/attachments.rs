//! Links that CNI plugins make, as a pass sees them: it asks, and never waits for a plugin.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use address::overlap::NodeNetwork;
use attachments::{
    engine::{Engine, EngineError, Parts},
    entry::{Entry, Slot},
    folder::Folder,
    limits::Limits,
};
use cni::{CniResult, FrozenChain};
use crds::{Reason, report::LinkState};
use runner::client::Client;
use sandbox_record::{Record, boot_id, netns::NetnsFolders};
use store::{Stores, Trigger};
use telemetry::metrics::Metrics;

use super::{
    EventSender,
    annotation::NetworksAnnotation,
    desired::{AttachedState, Desired},
    outcome::LocalPod,
    pods::RecordedPod,
};

/// Attachments that a pod's annotation requests.
mod annotated;
/// The runner, as the engine calls it.
mod executor;
/// GC.
mod garbage;
/// Pure: since when a link is attached.
mod history;
/// Pods, rules and the kernel, as the engine asks for them.
mod host;
/// Stored results by the rules of today.
mod judged;
/// Names of networks that are not a tenant's.
mod networks;
/// Configurations that are files of the node.
mod node_configurations;
/// Pure: networks of the node that plugins made for a link.
mod on_node;
/// Outcomes of links.
mod outcomes;
/// Pure: links that others are made on.
mod parents;
/// Ports of the node.
mod ports;
/// From a request to a chain.
mod resolve;
/// Requests of one pod.
mod running;

use executor::Executor;
use garbage::{Collector, LastChange};
use history::History;
pub use host::Addresses;
use host::{NodeHost, Rulings};
use node_configurations::NodeConfigurations;

/// Between two looks at what is left of a drain.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Where the runner listens, and where the store is.
pub struct AttachmentOptions {
    pub runner: PathBuf,
    pub state: PathBuf,
    pub installation: String,
    pub netns: Vec<PathBuf>,
    /// GC runs once no sandbox has been made for so long; none: never.
    pub gc_after: Option<Duration>,
}

/// The engine, for what it calls itself: nothing before it has started.
#[derive(Clone, Default)]
struct EngineRef(Arc<OnceLock<Weak<Engine>>>);

impl EngineRef {
    fn set(&self, engine: &Arc<Engine>) {
        // It is set once, at the start.
        let _ = self.0.set(Arc::downgrade(engine));
    }

    fn get(&self) -> Option<Arc<Engine>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

/// Without `running` this node executes no plugins.
#[derive(Default)]
pub struct Attachments {
    running: Option<Running>,
    annotation: NetworksAnnotation,
}

struct Running {
    engine: Arc<Engine>,
    rulings: Rulings,
    folders: NetnsFolders,
    boot_id: String,
    history: History,
    configurations: NodeConfigurations,
    runner: Client,
    gc_after: Option<Duration>,
    last_change: LastChange,
    /// The newest record of each pod that has, or has requested, attachments.
    pods: HashMap<String, Option<Arc<Record>>>,
}

/// What is attached to a pod, by its interface: what a pass needs of it.
#[derive(Clone, Debug)]
pub struct AttachedResult {
    pub slot: Slot,
    pub result: CniResult,
    /// What the node has because of it.
    pub on_node: Vec<NodeNetwork>,
    /// Whether its addresses are from whereabouts, which keeps them in objects of the cluster.
    pub by_whereabouts: bool,
    /// Whether it was attached; else ADD is not over, or was refused.
    pub was_accepted: bool,
    /// The result as it is stored.
    stored: Option<serde_json::Value>,
}

impl AttachedResult {
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.result.ips.iter().map(|ip| ip.address.ip())
    }
}

impl Attachments {
    pub fn start(
        options: &AttachmentOptions,
        events: EventSender,
        metrics: Metrics,
    ) -> Result<Self, EngineError> {
        let rulings = Rulings::default();
        let boot_id = boot_id()?;
        let folders = NetnsFolders::new(&options.netns);
        let engine_ref = EngineRef::default();
        let shared = (rulings.clone(), engine_ref.clone());
        let client = Client::new(options.runner.clone());
        let configurations = NodeConfigurations::start(client.clone(), events.clone())?;
        let host = NodeHost::new(folders.clone(), boot_id.clone(), shared, client.clone());
        let parts = Parts {
            folder: Folder::of_installation(&options.state, &options.installation),
            runner: Box::new(Executor::new(options.runner.clone(), metrics)),
            host: Box::new(host),
            on_event: Box::new(move |event| {
                tracing::debug!(pod = %event.pod, ifname = event.ifname, "{:?}", event.change);
                events.send(Trigger::StepEnded(event.pod.uid));
            }),
            limits: Limits::default(),
            boot_id: boot_id.clone(),
        };
        let (engine, unreadable) = Engine::start(parts)?;
        let engine = Arc::new(engine);
        engine_ref.set(&engine);
        for file in unreadable {
            tracing::error!(
                file = file.file,
                "left an attachment alone: {}",
                file.problem
            );
        }
        let stored = engine.entries().into_iter().map(|entry| entry.pod.uid);
        let running = Running {
            pods: stored.map(|uid| (uid, None)).collect(),
            history: History::of(engine.entries()),
            configurations,
            runner: client,
            gc_after: options.gc_after,
            last_change: LastChange::default(),
            engine,
            rulings,
            folders,
            boot_id,
        };
        Ok(Self {
            running: Some(running),
            annotation: NetworksAnnotation::Off,
        })
    }

    /// Requests what a pod should have, whole, and returns what came of it so far.
    pub fn request(
        &mut self,
        known: &RecordedPod,
        desired: &Desired,
        stores: &Stores,
    ) -> AttachedState {
        match &mut self.running {
            None => unavailable(desired),
            Some(running) => running.request(known, desired, stores),
        }
    }

    /// The results of what is stored for a pod, also while it is deleted.
    pub fn results(&self, uid: &str) -> Vec<AttachedResult> {
        self.stored(uid)
            .into_iter()
            // The addresses of what Multus attached were never podconfig's to claim.
            .filter(|entry| !entry.is_of_multus())
            .filter_map(|entry| AttachedResult::of(&entry))
            .collect()
    }

    fn stored(&self, uid: &str) -> Vec<Entry> {
        let engine = self.running.as_ref().map(|running| &running.engine);
        engine.map_or_else(Vec::new, |engine| engine.entries_of(uid))
    }

    /// What is stored for the current sandbox of a pod.
    fn stored_here(&self, pod: &LocalPod) -> impl Iterator<Item = Entry> {
        let stored = self.stored(&pod.uid).into_iter();
        stored.filter(|entry| entry.chain.container_id == pod.sandbox)
    }

    /// Whether something is stored for a pod.
    pub fn has(&self, uid: &str) -> bool {
        !self.stored(uid).is_empty()
    }

    /// Whether the addresses of a result may be used.
    pub fn rule_on_addresses(&self, uid: &str, slot: &Slot, addresses: Addresses) {
        let Some(running) = &self.running else { return };
        let mut rulings = lock(&running.rulings);
        let Some(ruling) = rulings.get_mut(slot) else {
            return;
        };
        if ruling.addresses != addresses {
            ruling.addresses = addresses;
            drop(rulings);
            running.engine.retry(uid);
        }
    }

    /// The pods with these uids have ended.
    pub fn pods_ended<'a>(&mut self, uids: impl IntoIterator<Item = &'a String>) {
        let Some(running) = &mut self.running else {
            return;
        };
        for uid in uids {
            running.history.forget(uid);
            if let Some(record) = running.pods.remove(uid) {
                let container = record.map(|record| record.container_id.clone());
                let mut rulings = lock(&running.rulings);
                rulings.retain(|slot, _| Some(&slot.container_id) != container.as_ref());
                drop(rulings);
                running.engine.pod_ended(uid);
            }
        }
    }

    /// Records of these pods have changed. A namespace that is about to go is held for DEL.
    pub fn records_changed(
        &mut self,
        uids: &[String],
        current: impl Fn(&str) -> Option<Arc<Record>>,
    ) {
        let Some(running) = &mut self.running else {
            return;
        };
        if !uids.is_empty() {
            running.last_change.is_now();
        }
        for uid in uids {
            let Some(Some(last)) = running.pods.get(uid) else {
                continue;
            };
            let is_current =
                current(uid).is_some_and(|record| record.container_id == last.container_id);
            if !is_current {
                let netns = running.open(last);
                running.engine.sandbox_ended(&last.container_id, netns);
            }
        }
    }

    /// Something changed in a pod: what is attached there is checked.
    pub fn links_changed(&self, uid: &str) {
        let Some(running) = &self.running else { return };
        if let Some(Some(record)) = running.pods.get(uid) {
            running.engine.links_changed(&record.container_id);
        }
    }

    /// The numbers of what is stored.
    pub fn count(&self, metrics: &Metrics) {
        let Some(running) = &self.running else { return };
        let counts = running.engine.counts();
        let by_state = [
            ("Attaching", counts.adding + counts.added),
            ("Attached", counts.attached),
            ("Detaching", counts.deleting),
            ("Unreadable", counts.unreadable),
        ];
        metrics.set_attachments(&by_state, counts.lost);
    }

    /// Detaches everything, and returns how many are left after `patience`.
    pub fn drain(&self, patience: Duration) -> usize {
        let Some(running) = &self.running else {
            return 0;
        };
        running.engine.drain();
        let until = Instant::now() + patience;
        while !running.engine.is_empty() && Instant::now() < until {
            thread::sleep(DRAIN_POLL);
        }
        running.engine.entries().len()
    }

    /// Every pod of the node is known: others have ended, and what no attachment needs can be found.
    pub fn synced(&self, known: &BTreeSet<String>, stores: &Stores) {
        let Some(running) = &self.running else { return };
        running.engine.synced(known);
        let Some(quiet) = running.gc_after else {
            return;
        };
        let collector = Collector {
            engine: Arc::downgrade(&running.engine),
            runner: running.runner.clone(),
            stores: stores.clone(),
            last_change: running.last_change.clone(),
            quiet,
        };
        if let Err(error) = collector.start() {
            tracing::error!("no GC runs: cannot start its thread: {error}");
        }
    }
}

/// The outcomes where no plugin can be executed.
fn unavailable(desired: &Desired) -> AttachedState {
    let attachments = desired.attachments.iter();
    let unavailable = "this node runs no CNI plugins: its list, reinvoke.plugins, is empty";
    let outcomes = attachments.map(|attachment| {
        let why = (Reason::PluginNotFound, unavailable.to_owned());
        (attachment.order, attachment.outcome(LinkState::Failed, why))
    });
    AttachedState {
        outcomes: outcomes.collect(),
        ..AttachedState::default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn by_whereabouts(chain: &FrozenChain) -> bool {
    let mut plugins = chain.plugins.iter();
    plugins.any(|plugin| plugin.ipam_type.as_deref() == Some("whereabouts"))
}
