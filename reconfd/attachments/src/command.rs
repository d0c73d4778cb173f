//! `reconfd attachments`: prints what CNI plugins attached on this node, from the store alone, and forgets lost entries.

/// Columns.
mod table;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use args::{Installation, Logging, StateDir};
use clap::{Args, ValueEnum};
use sandbox_record::time_of;
use serde::Serialize;

use crate::{
    entry::{Entry, PodRef, Requester, Why},
    folder::{Folder, FolderError, FolderProblem, Listing},
};

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    mut_arg("installation", |arg| arg.help("The installation whose attachments are printed")),
)]
pub struct AttachmentsConfig {
    #[command(flatten)]
    pub installation: Installation,

    #[command(flatten)]
    pub state_dir: StateDir,

    /// Output format
    #[arg(short, long, value_name = "HOW", value_enum, default_value = "table")]
    pub output: AttachmentsOutput,

    /// Drop this lost attachment from the store; nothing is deleted on the node
    #[arg(long, value_name = "ID")]
    pub forget: Option<String>,

    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AttachmentsOutput {
    Table,
    Json,
}

/// The store at one time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreListing {
    attachments: Vec<Row>,
    unreadable: Vec<UnreadableFile>,
}

/// One attachment, without its configuration: that may hold secrets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    state: String,
    pod: PodRef,
    container_id: String,
    interface: String,
    network: String,
    netns: String,
    /// Types of the chain, in the order of ADD.
    plugins: Vec<String>,
    requester: Requester,
    /// When its file was written last.
    changed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<DeletionRow>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeletionRow {
    why: Why,
    failures: u32,
    /// Types of the plugins that have still to succeed.
    remaining: Vec<String>,
    error: String,
}

#[derive(Debug, Serialize)]
struct UnreadableFile {
    path: PathBuf,
    problem: String,
}

pub fn run(config: &AttachmentsConfig) -> anyhow::Result<()> {
    let folder = Folder::of_installation(&config.state_dir.path, &config.installation.name);
    if let Some(id) = &config.forget {
        return forget(&folder, id);
    }
    let listing = StoreListing::read(&folder)?;
    let text = match config.output {
        AttachmentsOutput::Json => serde_json::to_string_pretty(&listing)? + "\n",
        AttachmentsOutput::Table => table::of(&listing),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("print the attachments"),
    }
}

/// Drops a lost entry. The daemon never reads one, so this needs no daemon and disturbs none.
fn forget(folder: &Folder, id: &str) -> anyhow::Result<()> {
    let error = match folder.forget(id) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if !matches!(error.problem, FolderProblem::Missing) {
        return Err(error.into());
    }
    let listing = folder.list()?;
    let Some(entry) = listing.entries.iter().find(|entry| entry.id() == id) else {
        bail!("there is no attachment {id}; `reconfd attachments` lists all");
    };
    bail!(
        "attachment {id} is not lost, but {}; only lost ones can be forgotten: the daemon detaches others when they are no longer requested",
        entry.phase
    )
}

impl StoreListing {
    fn read(folder: &Folder) -> Result<Self, FolderError> {
        let mut read = Self {
            attachments: Vec::new(),
            unreadable: Vec::new(),
        };
        read.add(folder, folder.list()?, false);
        read.add(folder, folder.lost()?, true);
        Ok(read)
    }

    fn add(&mut self, folder: &Folder, listing: Listing, is_lost: bool) {
        let path = |file: &str| match is_lost {
            true => folder.lost_path(file),
            false => folder.entry_path(file),
        };
        for entry in &listing.entries {
            let changed = path(&entry.id())
                .metadata()
                .and_then(|file| file.modified());
            self.attachments.push(row(entry, is_lost, changed.ok()));
        }
        let unreadable = listing.unreadable.into_iter();
        self.unreadable
            .extend(unreadable.map(|file| UnreadableFile {
                path: path(&file.file),
                problem: file.problem,
            }));
    }
}

/// RFC 3339 without a fraction.
fn whole_seconds(time: &str) -> String {
    let whole = time.split_once('.').map_or(time, |(whole, _)| whole);
    format!("{}Z", whole.trim_end_matches('Z'))
}

fn row(entry: &Entry, is_lost: bool, changed: Option<SystemTime>) -> Row {
    let chain = &entry.chain;
    let types = || {
        chain
            .plugins
            .iter()
            .map(|plugin| plugin.plugin_type.clone())
    };
    let deletion = entry.deletion().map(|deletion| DeletionRow {
        why: deletion.why,
        failures: deletion.failures,
        remaining: match &deletion.remaining {
            None => types().collect(),
            Some(places) => {
                let types = types().enumerate();
                let left = types.filter(|(place, _)| places.contains(place));
                left.map(|(_, name)| name).collect()
            }
        },
        error: deletion.error.clone(),
    });
    Row {
        id: entry.id(),
        state: match is_lost {
            true => "Lost".to_owned(),
            false => entry.phase.to_string(),
        },
        pod: entry.pod.clone(),
        container_id: chain.container_id.clone(),
        interface: chain.ifname.clone(),
        network: chain.network.clone(),
        netns: chain.netns.clone(),
        plugins: types().collect(),
        requester: entry.requester.clone(),
        changed: changed.map(|time| whole_seconds(&time_of(time))),
        deletion,
    }
}
