//! Removes the links of an installation, by a reconcile without any PodConfig: so devices in pods are removed as well,
//! and nothing that is not ours.

use std::sync::mpsc;

use address::claims::ClaimAllocator;
use anyhow::{Context as _, bail};
use attachments::folder::Folder;
use node::{Machine, switch::Maker};
use sandbox_record::RecordFolder;
use store::{StoreWriter, scope::Scope};
use telemetry::{http::DaemonHealth, metrics::Metrics};
use uninstall::UninstallConfig;

use crate::{
    backfill::Backfill,
    podconfig::{
        self, Addressing, NodeReconciler,
        attachments::{AttachmentOptions, Attachments},
        networks::{Networks, NodeNetworks},
        pods::{Pods, unsupported::Unsupported},
    },
};

pub fn remove(config: &UninstallConfig) -> anyhow::Result<()> {
    detach(config)?;
    let node = &config.node;
    let machine = Machine::open(
        &node.installation.name,
        (&node.switch_folder.path, Maker::Itself),
        &config.netns.folders,
    )?;
    let records = RecordFolder::new(&node.chain.records.path);
    let pods = Pods::new(records, Scope::default(), Unsupported::default());
    // No reporter and no events.
    let (telling, _tellings) = mpsc::channel();
    let (_sender, receiver) = podconfig::event_queue().context("create the event queue")?;
    let nothing = StoreWriter::default().stores();
    let numbers = (Metrics::default(), DaemonHealth::default());
    let backfill = Backfill::default();
    let addressing = Addressing {
        networks: Networks::new(&node.installation.name, &[], NodeNetworks::default(), false),
        claims: ClaimAllocator::disabled(),
        probes: None,
    };
    let reconciler = NodeReconciler::new(
        machine,
        (nothing, addressing, Attachments::default()),
        pods,
        numbers,
        telling,
        receiver,
        backfill,
    );
    let (removed, machine) = reconciler.clear().context("remove the links")?;
    let unvisited = machine.pods_with_links();
    if !unvisited.is_empty() {
        tracing::warn!(
            pods = unvisited.join(", "),
            "these pods could not be entered: their veth links are removed by the host ends, and a vlan or vxlan \
             inside of such a pod stays until it ends"
        );
    }
    machine.close().context("remove the switch")?;
    tracing::info!(
        links = removed,
        "removed all links, the switch and the peer filter"
    );
    Ok(())
}

/// What CNI plugins made, they undo: the runner is needed for it.
fn detach(config: &UninstallConfig) -> anyhow::Result<()> {
    let installation = &config.node.installation.name;
    let folder = Folder::of_installation(&config.state_dir.path, installation);
    let listing = folder.list().context("read the store of attachments")?;
    let number = listing.entries.len();
    if number == 0 {
        return Ok(());
    }
    let Some(runner) = &config.runner_socket else {
        bail!(
            "{number} links of CNI plugins are attached, and only their plugins can undo them: name the runner's socket \
             with --runner-socket; or keep all links with --links keep. `reconfd attachments` lists them"
        );
    };
    let options = AttachmentOptions {
        runner: runner.clone(),
        state: config.state_dir.path.clone(),
        installation: installation.clone(),
        netns: config.netns.folders.clone(),
        gc_after: None,
    };
    let (events, _receiver) = podconfig::event_queue().context("create the event queue")?;
    let attachments = Attachments::start(&options, events, Metrics::default())
        .context("open the store of attachments")?;
    match attachments.drain(config.patience()) {
        0 => tracing::info!(links = number, "detached all links of CNI plugins"),
        left => bail!(
            "{left} links of CNI plugins are not detached after {} s; `reconfd attachments` says why. Uninstall again \
             once that is mended",
            config.patience
        ),
    }
    Ok(())
}
