//! Start and end of the daemon and its threads. Links stay as they are when it ends.

use std::{
    io,
    path::Path,
    sync::{PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use address::{
    claims::{AllocatorState, ClaimAllocator},
    kernel,
};
use anyhow::{Context, anyhow, bail};
use args::Listen;
use cluster::Cluster;
use installation::lock;
use manifests::{Directory, schema::Schema};
use networks::SnapshotFile;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    utsname::uname,
};
use node::{
    Machine,
    switch::{self, Maker},
};
use sandbox_record::RecordFolder;
use store::{InitialSync, Stores, Trigger};
use telemetry::{
    http::{self, DaemonHealth},
    metrics::Metrics,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    backfill::Backfill,
    config::{Config, ObjectSource},
    podconfig::{
        self, Addressing, EventSender, NodeReconciler,
        acd::AddressProbes,
        attachments::Attachments,
        networks::{Networks, NodeNetworks},
        pods::{Pods, unsupported::Unsupported},
        reporter::Reporter,
    },
    report_sink::ReportSink,
};

/// The running source, with what it provides.
struct Opened {
    stores: Stores,
    claims: ClaimAllocator,
    sink: ReportSink,
    complete: InitialSync,
    /// Ends the source when dropped.
    running: Box<dyn Send>,
}

/// Runs until SIGTERM or SIGINT. Links stay as they are.
pub fn run(config: &Config) -> anyhow::Result<()> {
    check_kernel(uname()?.release().to_string_lossy().as_ref())?;
    if config.maker() == Maker::Other {
        switch::await_pin(&config.switch_folder.path, &config.installation.name)?;
    }
    let _lock = lock::take(&config.run_dir.path, &config.installation.name)?;
    allow_many_files()?;
    let (metrics, health) = (Metrics::default(), DaemonHealth::default());
    let (events, receiver) = podconfig::event_queue().context("create the event queue")?;
    let signs = (health.clone(), metrics.clone());
    let opened = open_source(config, signs, &events)?;
    let (stores, sink) = (opened.stores, opened.sink);
    let machine = Machine::open(
        &config.installation.name,
        (&config.switch_folder.path, config.maker()),
        &config.netns.folders,
    )?;
    let (telling, tellings) = mpsc::channel();
    let pods = pods(config);
    let backfill = start_backfill(config, &events)?;
    let (networks, _watch) = watch_networks(config, &events)?;
    let probes = config.probe_addresses;
    let addressing = Addressing {
        networks,
        claims: opened.claims,
        probes: probes.then(|| AddressProbes::new(events.clone())),
    };
    let attachments = start_attachments(config, &events, &metrics)?;
    let reconciler = NodeReconciler::new(
        machine,
        (stores.clone(), addressing, attachments),
        pods,
        (metrics.clone(), health.clone()),
        telling,
        receiver,
        backfill,
    );
    let node = config.node_name.clone();
    let reporter = Reporter::new((stores, sink), metrics.clone(), node, config.reporting());
    let (ended, end) = oneshot::channel();
    let reporter = spawn("reporter", move || reporter.run(&tellings))?;
    let reconciler = spawn("reconciler", move || {
        let result = reconciler.run_once(&opened.complete);
        let _ = ended.send(());
        result
    })?;
    wait_for_the_end(config, (health, metrics), end)?;
    events.stop();
    let result = reconciler
        .join()
        .map_err(|_| anyhow!("the reconciler panicked"))?;
    reporter
        .join()
        .map_err(|_| anyhow!("the reporter panicked"))?;
    // Last, so that the final reports are written.
    drop(opened.running);
    result
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.into()).spawn(work)
}

fn pods(config: &Config) -> Pods {
    let unsupported = Unsupported::new(&config.unsupported_runtime_classes);
    let records = RecordFolder::new(&config.records.path);
    Pods::new(records, config.scope.clone(), unsupported)
}

fn start_backfill(config: &Config, events: &EventSender) -> anyhow::Result<Backfill> {
    let events = events.clone();
    let notify = move |trigger| events.send(trigger);
    let started = Backfill::start(config.cni_cache(), config.cri_socket.as_deref(), notify);
    started.context("start the sources of hints")
}

fn start_attachments(
    config: &Config,
    events: &EventSender,
    metrics: &Metrics,
) -> anyhow::Result<Attachments> {
    let attachments = match config.attachments() {
        None => Attachments::default(),
        Some(options) => Attachments::start(&options, events.clone(), metrics.clone())
            .context("open the store of attachments")?,
    };
    Ok(attachments.with_annotation(config.networks_annotation))
}

/// Starts to watch the networks of this node, which no link may overlap.
fn watch_networks(
    config: &Config,
    events: &EventSender,
) -> anyhow::Result<(Networks, node::networks::NetworkWatch)> {
    let node = NodeNetworks::default();
    let is_in_cluster = matches!(config.source, ObjectSource::Cluster);
    let networks = Networks::new(
        &config.installation.name,
        &config.reserve,
        node.clone(),
        is_in_cluster,
    );
    let file = SnapshotFile::create(&config.run_dir.path, &config.installation.name);
    let networks = networks.with_file(file.context("open the file of known networks")?);
    let events = events.clone();
    let notify = move |networks| {
        *node.lock().unwrap_or_else(PoisonError::into_inner) = Some(networks);
        events.send(Trigger::NodeNetworks);
    };
    let watch = node::networks::NetworkWatch::start(kernel::matters_on_node, notify);
    Ok((networks, watch.context("watch the networks of this node")?))
}

/// The oldest kernel with IFA_PROTO, which marks our addresses: without it, a withdrawn address cannot be
/// distinguished from one that the pod has set itself.
const OLDEST_KERNEL: (u32, u32) = (5, 18);

fn check_kernel(release: &str) -> anyhow::Result<()> {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|word| word.parse().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if (major, minor) < OLDEST_KERNEL {
        bail!("this kernel is Linux {release}; reconfd needs 5.18 or newer");
    }
    Ok(())
}

/// A pass over many pods holds some descriptors of each until it ends.
fn allow_many_files() -> anyhow::Result<()> {
    const ENOUGH: u64 = 4096;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < ENOUGH.min(hard) {
        setrlimit(Resource::RLIMIT_NOFILE, ENOUGH.min(hard), hard)?;
    }
    Ok(())
}

fn open_source(
    config: &Config,
    signs: (DaemonHealth, Metrics),
    events: &EventSender,
) -> anyhow::Result<Opened> {
    match &config.source {
        ObjectSource::Directory(manifests) => open_directory(config, manifests, signs.1, events),
        ObjectSource::Cluster => open_cluster(config, signs, events),
    }
}

fn open_directory(
    config: &Config,
    manifests: &Path,
    metrics: Metrics,
    events: &EventSender,
) -> anyhow::Result<Opened> {
    let options = manifests::Options {
        manifests: manifests.to_owned(),
        records: config.records.path.clone(),
        reports: config.reports(manifests).map_err(anyhow::Error::msg)?,
    };
    let folder = config.claims(manifests).map_err(anyhow::Error::msg)?;
    let (stores, sink, source) = Directory::start(&options, Box::new(admit), send_to(events))?;
    let (node, book) = (&config.node_name, allocator_state(config));
    let count = move |verb, result| metrics.claim_requested(verb, result);
    let started = manifests::claims::start(&folder, node, book, count, send_to(events));
    let (claims, keeping) =
        started.with_context(|| format!("keep claims in {}", folder.display()))?;
    Ok(Opened {
        stores,
        claims,
        sink: ReportSink::Directory(sink),
        complete: InitialSync::done(),
        running: Box::new((source, keeping)),
    })
}

fn open_cluster(
    config: &Config,
    signs: (DaemonHealth, Metrics),
    events: &EventSender,
) -> anyhow::Result<Opened> {
    let options = cluster::Options {
        node: config.node_name.clone(),
        scope: config.scope.clone(),
        installation: config.installation.name.clone(),
        address_rest: config.address_rest(),
        records: config.records.path.clone(),
        has_runner: config.runner_socket.is_some(),
    };
    let ((stores, claims), sink, complete, source) =
        Cluster::start(options, signs, send_to(events))?;
    Ok(Opened {
        stores,
        claims,
        sink: ReportSink::Cluster(sink),
        complete,
        running: Box::new(source),
    })
}

fn send_to(events: &EventSender) -> impl Fn(Trigger) + Clone + Send + Sync + 'static {
    let events = events.clone();
    move |trigger| events.send(trigger)
}

fn allocator_state(config: &Config) -> AllocatorState {
    AllocatorState::new(
        &config.node_name,
        &config.installation.name,
        config.address_rest(),
    )
}

fn admit(kind: &str, value: serde_json::Value) -> Result<serde_json::Value, Vec<(String, String)>> {
    let Some(schema) = Schema::for_kind(kind) else {
        return Ok(value);
    };
    schema.admit(value).map_err(|errors| {
        errors
            .into_iter()
            .map(|error| (error.field, error.message))
            .collect()
    })
}

/// Serves the probes until a signal arrives or the reconciler ends.
fn wait_for_the_end(
    config: &Config,
    (health, metrics): (DaemonHealth, Metrics),
    end: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let stopped = async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: ending; links stay"),
                _ = interrupt.recv() => tracing::info!("SIGINT: ending; links stay"),
                _ = end => (),
            }
        };
        match config.listen.at {
            Listen::Off => stopped.await,
            Listen::At(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .with_context(|| format!("listen on {address}"))?;
                http::serve(listener, health, metrics, stopped).await;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ifa_proto_is_refused() {
        for old in ["5.17.0", "4.18.0-553.el8_10.x86_64", "", "unknown"] {
            assert!(check_kernel(old).is_err(), "{old}");
        }
        for new in ["5.18", "6.1.0-22-amd64", "6.18.44-fc", "10.0.0"] {
            assert!(check_kernel(new).is_ok(), "{new}");
        }
    }
}
