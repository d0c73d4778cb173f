//! The cluster controller. Reconciles what needs more than one node: PodConfig status, PodConfigAllowances,
//! PeerSlices, policy usage and orphaned objects. All of its state is rebuilt from watches, and no node
//! blocks on it.

use std::{future::pending, pin::Pin};

use anyhow::Context as _;
use args::Listen;
use kubeio::client;
use telemetry::http;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Actions to be written to the API.
mod action;
/// Computes the PodConfigAllowance of a namespace.
mod allowance;
/// Applies actions to the API.
pub mod apply;
/// Flags.
pub mod config;
/// Watches, queue and writes.
mod control_loop;
/// Finds orphaned PodReports.
mod gc;
/// Liveness and readiness.
mod health;
/// In-memory index of all watched objects.
mod index;
/// Metrics of the controller.
pub mod metrics;
/// Publishes the reserved networks of the cluster.
mod networks;
/// Projections of the watched objects.
mod objects;
/// Packs entries into objects of bounded size.
mod packing;
/// Tunnel endpoints and the peers derived from them.
mod peers;
/// Keys of the work queue.
mod reconcile_key;
/// Aggregates pod states into the status of a PodConfig.
mod status_summary;
/// The watches.
mod watches;
use config::ControllerConfig;
use control_loop::Controller;
use health::Health;
use metrics::Metrics;

/// Runs until SIGTERM or SIGINT. Written objects stay.
pub fn run(config: &ControllerConfig) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (metrics, health) = (Metrics::default(), Health::new("no API server yet"));
        let stop = std::pin::pin!(stop()?);
        serve_http(config.listen.at, health.clone(), metrics.clone()).await?;
        tracing::info!(installation = config.installation.name, scope = %config.scope, "starting the controller");
        control(config, health, metrics, stop).await
    })
}

fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
        }
    })
}

/// Serves probes and metrics until the process exits.
async fn serve_http(listen: Listen, health: Health, metrics: Metrics) -> anyhow::Result<()> {
    if let Listen::At(address) = listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listen on {address}"))?;
        tokio::spawn(http::serve(listener, health, metrics, pending()));
    }
    Ok(())
}

async fn control(
    config: &ControllerConfig,
    health: Health,
    metrics: Metrics,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<()> {
    let client = client::connect().await?;
    let mut last = String::new();
    let waiting = |why: &str| {
        if why != last {
            tracing::warn!("{why}");
            last = why.to_owned();
        }
        health.beat(Some(why.to_owned()));
    };
    tokio::select! {
        checked = client::check_version(&client, waiting) => checked?,
        () = &mut stop => return Ok(()),
    }
    let (installation, scope) = (&config.installation.name, &config.scope);
    let networks = networks::publish(client.clone(), installation, scope, metrics.clone());
    let controller = Controller::new(client, config, health, metrics);
    tokio::select! {
        () = controller.run(stop) => (),
        () = networks => (),
    }
    Ok(())
}
