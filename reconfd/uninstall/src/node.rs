//! Uninstallation from a node: removes this installation's own parts, and with the last installation the shared ones.
//! The chain entry is removed first and the plugin's executable last; the records after the links that need them.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use installation::{
    Mode, OnNode,
    lock::{self, Role},
    registry::Registry,
};
use node::{netlink::Changes, switch::Pin};

use super::{LinkPolicy, RemoveLinks, UninstallConfig};

pub fn uninstall(config: &UninstallConfig, remove_links: RemoveLinks) -> anyhow::Result<()> {
    let node = &config.node;
    let ended = |role| {
        lock::wait_for(
            role,
            &node.run_dir.path,
            &node.installation.name,
            config.patience(),
        )
    };
    let locks = (ended(Role::Daemon)?, ended(Role::Keeper)?);
    let registry = Registry::in_run_dir(&node.run_dir.path);
    let others = leave(config, &registry)?;
    match config.links {
        LinkPolicy::Remove => remove_links(config)?,
        LinkPolicy::Keep => log_kept(config)?,
    }
    if others.is_empty() {
        remove_records(&node.chain.records.path)?;
    }
    for role in [Role::Daemon, Role::Keeper] {
        remove_file(&role.path(&node.run_dir.path, &node.installation.name))?;
    }
    remove_file(&networks::path(&node.run_dir.path, &node.installation.name))?;
    drop(locks);
    if others.is_empty() {
        tidy(node, &registry)?;
    }
    tracing::info!(
        installation = node.installation.name,
        "uninstalled from this node"
    );
    Ok(())
}

/// Kept links live as long as their pods, and need the switch.
fn log_kept(config: &UninstallConfig) -> anyhow::Result<()> {
    let node = &config.node;
    let found = Pin::find(
        &node.switch_folder.path,
        &node.installation.name,
        &Changes::default(),
    )?;
    match found {
        Some(pin) => tracing::info!(
            switch = %pin.path().display(),
            "links, switch and peer filter stay, as requested; links go with their pods. `reconfd uninstall` without \
             --links keep removes all of it, as long as the records are there"
        ),
        None => tracing::info!("links stay, as requested; there is no switch"),
    }
    Ok(())
}

/// Removes this installation's entry, and the plugin from the chain with the last one; returns the other
/// installations.
fn leave(config: &UninstallConfig, registry: &Registry) -> anyhow::Result<Vec<String>> {
    let node = &config.node;
    let _lock = registry.lock()?;
    let others: Vec<String> = registry
        .all()?
        .into_iter()
        .filter(|name| *name != node.installation.name)
        .collect();
    if !others.is_empty() {
        tracing::info!(
            others = others.join(", "),
            "other copies are installed on this node: plugin, chain entry and records stay for them"
        );
    } else if node.chain.mode == Mode::None {
        tracing::info!("the chain is not changed, as requested");
    } else {
        node.chain.uninstall(&config.cache_dir)?;
    }
    // Last: after an interruption before this line the entry is still there, and the next run repeats all of it.
    registry.remove(&node.installation.name)?;
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

/// Removes the run folder, which stays if it is not empty, or if it is mounted.
fn tidy(node: &OnNode, registry: &Registry) -> anyhow::Result<()> {
    match fs::remove_dir_all(registry.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", registry.path().display()));
        }
        _ => (),
    }
    let Err(error) = fs::remove_dir(&node.run_dir.path) else {
        return Ok(());
    };
    let left: Vec<_> = fs::read_dir(&node.run_dir.path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if !left.is_empty() {
        let folder = node.run_dir.path.display();
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
