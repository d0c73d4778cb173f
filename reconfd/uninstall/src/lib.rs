//! Uninstallation, an explicit step: a daemon or a keeper that ends leaves everything in place. May be repeated at any
//! point; logs what it has left, and why.

/// A cluster: every node, and the objects that the programs have written.
mod cluster;
/// One node.
mod node;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use args::{Logging, NetnsFolders, StateDir};
use clap::{Args, ValueEnum};
use installation::OnNode;
use store::scope::Scope;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct UninstallConfig {
    /// Whether the links of running pods are removed. Links that are kept end with their pods
    #[arg(long, value_name = "WHAT", value_enum, default_value = "remove")]
    pub links: LinkPolicy,

    #[command(flatten)]
    pub node: OnNode,

    #[command(flatten)]
    pub netns: NetnsFolders,

    /// The runtime's CNI result cache: the plugin's executable stays as long as a result names it
    #[arg(
        long,
        env = "PODCONFIG_CNI_CACHE",
        value_name = "PATH",
        default_value = "/var/lib/cni/results"
    )]
    pub cache_dir: PathBuf,

    /// Socket of the runner: the plugins of `cni` links undo them; needed if there are any
    #[arg(long, env = "PODCONFIG_RUNNER_SOCKET", value_name = "PATH")]
    pub runner_socket: Option<PathBuf>,

    #[command(flatten)]
    pub state_dir: StateDir,

    /// How long to wait, in seconds: for daemon and keeper to end; with --cluster, for the nodes
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,

    /// Uninstall from a whole cluster: end the daemons and the controller, wait for the pods of the
    /// DaemonSet podconfig-uninstall, and remove the objects that the programs have written
    #[arg(long)]
    pub cluster: bool,

    /// With --cluster: the namespace that podconfig is installed in
    #[arg(long, value_name = "NAME", default_value = "podconfig-system")]
    pub namespace: String,

    #[command(flatten)]
    pub scope: Scope,

    /// Do nothing until SIGTERM: shows that the init container before it is done
    #[arg(long, conflicts_with = "cluster")]
    pub stay: bool,

    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkPolicy {
    Keep,
    Remove,
}

impl UninstallConfig {
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

/// Removes the links of an installation, and the switch. The program has what it takes: the node's reconciler.
pub type RemoveLinks = fn(&UninstallConfig) -> anyhow::Result<()>;

pub fn run(config: &UninstallConfig, remove_links: RemoveLinks) -> anyhow::Result<()> {
    if !config.cluster && !config.stay {
        return node::uninstall(config, remove_links);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start")?;
    match config.stay {
        true => runtime.block_on(stay()),
        false => runtime.block_on(cluster::uninstall(config)),
    }
}

async fn stay() -> anyhow::Result<()> {
    tracing::info!("podconfig is uninstalled from this node");
    let mut terminate = signal(SignalKind::terminate())?;
    terminate.recv().await;
    Ok(())
}
