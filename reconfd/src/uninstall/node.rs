//! One node: what this installation has of its own goes, and with the last copy what all have in common.
//! The chain entry goes first and the plugin's program last; the records after the links that need them.

use std::{fs, io, path::Path};

use anyhow::Context as _;

use super::{Links, UninstallConfig, links};
use crate::{
    installation::{Mode, OnNode, notes::Notes},
    lock::{self, Role},
    networks,
};

pub fn uninstall(config: &UninstallConfig) -> anyhow::Result<()> {
    let node = &config.node;
    let ended = |role| lock::wait_for(role, &node.run_dir, &node.installation, config.patience());
    let locks = (ended(Role::Daemon)?, ended(Role::Keeper)?);
    let notes = Notes::in_run_dir(&node.run_dir);
    let others = leave(config, &notes)?;
    match config.links {
        Links::Remove => links::remove(config)?,
        Links::Keep => links::tell_kept(config)?,
    }
    if others.is_empty() {
        remove_records(&node.chain.records)?;
    }
    for role in [Role::Daemon, Role::Keeper] {
        remove_file(&role.path(&node.run_dir, &node.installation))?;
    }
    remove_file(&networks::path(&node.run_dir, &node.installation))?;
    drop(locks);
    if others.is_empty() {
        tidy(node, &notes)?;
    }
    tracing::info!(
        installation = node.installation,
        "uninstalled from this node"
    );
    Ok(())
}

/// Takes this copy's note away, and the plugin out of the chain with the last one; the copies that stay.
fn leave(config: &UninstallConfig, notes: &Notes) -> anyhow::Result<Vec<String>> {
    let node = &config.node;
    let _lock = notes.lock()?;
    let others: Vec<String> = notes
        .all()?
        .into_iter()
        .filter(|name| *name != node.installation)
        .collect();
    if !others.is_empty() {
        tracing::info!(
            others = others.join(", "),
            "other copies are installed on this node: plugin, chain entry and records stay for them"
        );
    } else if node.chain.mode == Mode::None {
        tracing::info!("the chain is left alone, as told");
    } else {
        node.chain.uninstall(&config.cache_dir)?;
    }
    // Behind the deed: whoever is interrupted here is still counted, and does it again.
    notes.remove(&node.installation)?;
    Ok(others)
}

fn remove_records(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove the records in {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The folder itself stays while something of others is in it, or while it is mounted.
fn tidy(node: &OnNode, notes: &Notes) -> anyhow::Result<()> {
    match fs::remove_dir_all(notes.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", notes.path().display()));
        }
        _ => (),
    }
    let Err(error) = fs::remove_dir(&node.run_dir) else {
        return Ok(());
    };
    let left: Vec<_> = fs::read_dir(&node.run_dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if !left.is_empty() {
        let folder = node.run_dir.display();
        tracing::info!(left = left.join(", "), "leaving {folder}: {error}");
    }
    Ok(())
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
