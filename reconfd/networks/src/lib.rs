//! `reconfd networks`: prints the networks that no link may overlap, where each was read, and what could not be read.
//! From the daemon's snapshot file, or from the ReservedNetworks of the controller.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use args::{Installation, Logging, RunDir};
use clap::{Args, ValueEnum};
use crds::{
    ReservedNetworks,
    reserved::{ReadState, ReservedNetwork, SourceState},
};
use installation::lock::{self, Role};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, api::ListParams};
use kubeio::client::connect;
use serde::{Deserialize, Serialize};

/// Columns.
mod table;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    mut_arg("installation", |arg| arg.help("The installation whose networks are printed")),
    mut_arg("run_dir", |arg| arg.help("The folder of the daemon's snapshot file")),
)]
pub struct NetworksConfig {
    #[command(flatten)]
    pub installation: Installation,

    #[command(flatten)]
    pub run_dir: RunDir,

    /// Read what the controller publishes from the API server in KUBECONFIG; without the networks that each node adds
    #[arg(long)]
    pub cluster: bool,

    /// Output format
    #[arg(long, value_name = "HOW", value_enum, default_value = "table")]
    pub output: Output,

    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

/// The known networks and sources at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When it was written, or last confirmed.
    pub written: Option<Time>,
    /// Why no new address is given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    pub networks: Vec<ReservedNetwork>,
    #[serde(default)]
    pub sources: Vec<SourceState>,
}

/// The snapshot file of a daemon.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    /// Its content, without the time.
    held: Option<Snapshot>,
}

impl SnapshotFile {
    /// Removes the snapshot of an earlier daemon.
    pub fn create(run_dir: &Path, installation: &str) -> io::Result<Self> {
        let path = path(run_dir, installation);
        remove(&path)?;
        Ok(Self { path, held: None })
    }

    /// Writes the snapshot if it has changed; readable by the daemon's user only.
    pub fn write(
        &mut self,
        networks: impl Iterator<Item = ReservedNetwork>,
        sources: Vec<SourceState>,
        unknown: Option<&str>,
    ) -> io::Result<()> {
        let mut snapshot = Snapshot {
            written: None,
            unknown: unknown.map(ToOwned::to_owned),
            networks: networks.collect(),
            sources,
        };
        snapshot.networks.sort_unstable();
        if self.held.as_ref() == Some(&snapshot) {
            return Ok(());
        }
        let dated = Snapshot {
            written: Some(Time(Timestamp::now())),
            ..snapshot.clone()
        };
        replace(&self.path, &serde_json::to_vec(&dated)?)?;
        self.held = Some(snapshot);
        Ok(())
    }
}

/// The path of an installation's snapshot file.
pub fn path(run_dir: &Path, installation: &str) -> PathBuf {
    run_dir.join(format!("networks-{installation}.json"))
}

/// Removes a file, if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Replaces a file atomically.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    // A file that a crash left may have another owner.
    remove(&beside)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    fs::rename(&beside, path)
}

pub fn run(config: &NetworksConfig) -> anyhow::Result<()> {
    let snapshot = match config.cluster {
        true => of_cluster(config)?,
        false => of_node(config)?,
    };
    let text = match config.output {
        Output::Json => serde_json::to_string_pretty(&snapshot)? + "\n",
        Output::Table => table::of(&snapshot),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("print the networks"),
    }
}

fn of_node(config: &NetworksConfig) -> anyhow::Result<Snapshot> {
    let path = path(&config.run_dir.path, &config.installation.name);
    let is_running = lock::is_seen(
        Role::Daemon,
        &config.run_dir.path,
        &config.installation.name,
    );
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no {}: {}",
            path.display(),
            match is_running {
                true => "the daemon has not read the networks yet",
                false =>
                    "no daemon of this installation runs here; with --cluster the API server is asked",
            }
        ),
        Err(error) => return Err(error).context(format!("read {}", path.display())),
    };
    let snapshot: Snapshot =
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?;
    if !is_running {
        let when = snapshot.written.as_ref().map(|time| time.0.to_string());
        tracing::warn!(
            "no daemon runs: this is what the last one knew at {}",
            when.unwrap_or_default()
        );
    }
    Ok(snapshot)
}

fn of_cluster(config: &NetworksConfig) -> anyhow::Result<Snapshot> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let objects = runtime.block_on(async {
        let api: Api<ReservedNetworks> = Api::all(connect().await?);
        let listed = api.list(&ListParams::default()).await;
        anyhow::Ok(listed.context("list ReservedNetworks")?.items)
    })?;
    gathered(&config.installation.name, objects)
}

fn gathered(installation: &str, objects: Vec<ReservedNetworks>) -> anyhow::Result<Snapshot> {
    let own = objects.into_iter();
    let own: Vec<ReservedNetworks> = own
        .filter(|object| object.spec.installation == installation)
        .collect();
    let Some(head) = own
        .iter()
        .find(|object| object.metadata.name.as_deref() == Some(installation))
    else {
        bail!(
            "there is no ReservedNetworks {installation}: the controller has not published any yet"
        );
    };
    let (written, sources) = (head.spec.renewed.clone(), head.spec.sources.clone());
    let mut unknown = sources
        .iter()
        .filter(|source| source.state == ReadState::Unknown);
    let unknown = unknown.next().map(|source| {
        let SourceState { asked, message, .. } = source;
        format!("{asked}: {message}")
    });
    let mut networks: Vec<ReservedNetwork> = own
        .into_iter()
        .flat_map(|object| object.spec.networks)
        .collect();
    networks.sort_unstable();
    Ok(Snapshot {
        written,
        unknown,
        networks,
        sources,
    })
}

#[cfg(test)]
mod tests;
