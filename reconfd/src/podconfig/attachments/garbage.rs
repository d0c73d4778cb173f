//! GC of the networks that pods are attached to. A plugin deletes what is not listed to it, whoever has attached that; so
//! the list is the union of all caches of the node, and GC runs only while no pod is being started.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use attachments::engine::Engine;
use cni::request::ValidAttachment;
use runner::client::{Client, FileError};
use store::{
    Stores,
    pod::{NETWORK_STATUS, NETWORKS},
};

use super::lock;
use crate::podconfig::annotation::StatusEntry;

/// Between two GCs of a network.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Until a network is tried again whose GC could not run.
const AGAIN: Duration = Duration::from_secs(10);

/// When a sandbox of the node was made or ended, as far as records say.
#[derive(Clone)]
pub struct LastChange(Arc<Mutex<Instant>>);

impl Default for LastChange {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LastChange {
    pub fn is_now(&self) {
        *lock(&self.0) = Instant::now();
    }

    /// What is left of a time without a change.
    fn rest(&self, quiet: Duration) -> Option<Duration> {
        let rest = quiet.checked_sub(lock(&self.0).elapsed())?;
        (!rest.is_zero()).then_some(rest)
    }
}

/// Runs GC as long as the engine runs.
pub struct Collector {
    pub engine: Weak<Engine>,
    pub runner: Client,
    pub stores: Stores,
    pub last_change: LastChange,
    /// How long no sandbox must have been made.
    pub quiet: Duration,
}

/// Why no GC has run.
enum Skipped {
    /// Something is in progress, or will be.
    NotNow(String),
    /// What is valid is not known.
    Unknown(String),
}

impl Collector {
    pub fn start(self) -> io::Result<()> {
        let thread = thread::Builder::new().name("attach-gc".to_owned());
        thread.spawn(move || self.run())?;
        Ok(())
    }

    fn run(&self) {
        let mut left: Option<BTreeSet<String>> = None;
        let mut logged = BTreeMap::new();
        let mut wait = self.quiet;
        loop {
            thread::sleep(wait);
            if let Some(rest) = self.last_change.rest(self.quiet) {
                wait = rest;
                continue;
            }
            let Some(engine) = self.engine.upgrade() else {
                return;
            };
            let mut networks = left.take().unwrap_or_else(|| engine.networks_with_gc());
            networks.retain(|network| !self.is_done(&engine, network, &mut logged));
            wait = match networks.is_empty() {
                true => EVERY,
                false => AGAIN,
            };
            left = Some(networks).filter(|networks| !networks.is_empty());
        }
    }

    /// `logged`: why networks wait. A pod may be started for hours.
    fn is_done(
        &self,
        engine: &Engine,
        network: &str,
        logged: &mut BTreeMap<String, String>,
    ) -> bool {
        match self.collect(engine, network) {
            Ok(()) => tracing::info!(network, "GC of a network has run"),
            Err(Skipped::NotNow(why)) => {
                if logged.get(network) != Some(&why) {
                    tracing::info!(network, "GC of a network waits: {why}");
                    logged.insert(network.to_owned(), why);
                }
                return false;
            }
            Err(Skipped::Unknown(why)) => {
                tracing::warn!(network, "no GC of a network: {why}");
            }
        }
        true
    }

    fn collect(&self, engine: &Engine, network: &str) -> Result<(), Skipped> {
        self.is_quiet()?;
        let others = self.attached_by_others(network)?;
        self.is_quiet()?;
        match engine.collect(network, &others) {
            None => Err(Skipped::NotNow("a chain of it runs".to_owned())),
            Some(done) => done.map_err(|failure| Skipped::Unknown(failure.message)),
        }
    }

    /// What Multus attaches at pod start is in no cache before the last plugin has run.
    fn is_quiet(&self) -> Result<(), Skipped> {
        let pods = self.stores.pods();
        let is_starting = |pod: &&Arc<store::Pod>| {
            pod.annotation(NETWORKS).is_some() && !pod.is_running() && !pod.has_ended()
        };
        match pods.iter().find(is_starting) {
            Some(pod) => {
                let pod = name_of(pod);
                Err(Skipped::NotNow(format!("pod {pod} is being started")))
            }
            None => Ok(()),
        }
    }

    fn attached_by_others(&self, network: &str) -> Result<BTreeSet<ValidAttachment>, Skipped> {
        let cached = self.runner.cached_attachments(network);
        let cached = cached.map_err(|error| match error {
            FileError::Unanswered(error) => Skipped::NotNow(error.to_string()),
            error => Skipped::Unknown(error.to_string()),
        })?;
        if !cached.has_multus
            && let Some(pod) = self.pod_with_other_networks()
        {
            let why = format!(
                "pod {pod} has networks in {NETWORK_STATUS} that podconfig has not attached, and there is no cache of Multus; \
                 name its folder with --multus-cni-dir of the runner"
            );
            return Err(Skipped::Unknown(why));
        }
        Ok(cached.attachments)
    }

    fn pod_with_other_networks(&self) -> Option<String> {
        let pods = self.stores.pods();
        let has_others = |pod: &&Arc<store::Pod>| {
            let status = pod.annotation(NETWORK_STATUS).unwrap_or_default();
            !StatusEntry::list(status).is_empty()
        };
        pods.iter().find(has_others).map(|pod| name_of(pod))
    }
}

fn name_of(pod: &store::Pod) -> String {
    let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
    format!(
        "{}/{}",
        namespace.as_deref().unwrap_or_default(),
        name.as_deref().unwrap_or_default()
    )
}
