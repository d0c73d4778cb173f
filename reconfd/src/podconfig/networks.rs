//! The networks that no link may overlap: updates them when a source changes, and enqueues the pods
//! they concern.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use address::{
    inventory::{ClusterNetworks, InventoryUpdate, NetworkInventory},
    reserved::Reserved,
};
use conditions;
use crds::Cidr;
use networks::SnapshotFile;
use node::networks::NetworksResult;
use store::Stores;

use super::NodeReconciler;

/// The networks of the node's kernel, as last reported.
pub type NodeNetworks = Arc<Mutex<Option<NetworksResult>>>;

pub struct Networks {
    inventory: NetworkInventory,
    node: NodeNetworks,
    /// Whether the node belongs to a cluster with networks of its own.
    is_in_cluster: bool,
    /// A readable copy for administrators.
    file: Option<SnapshotFile>,
}

impl Networks {
    pub fn new(installation: &str, own: &[Cidr], node: NodeNetworks, is_in_cluster: bool) -> Self {
        Self {
            inventory: NetworkInventory::new(installation, own),
            node,
            is_in_cluster,
            file: None,
        }
    }

    /// Also writes all known networks to a file, for administrators.
    pub fn with_file(self, file: SnapshotFile) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    pub fn reserved(&self) -> &Reserved {
        self.inventory.reserved()
    }

    /// Why no new address may be allocated.
    pub fn unknown(&self) -> Option<&str> {
        self.inventory.unknown()
    }

    fn take(&mut self, stores: &Stores) -> InventoryUpdate {
        let node = self.node.lock();
        let node = node.unwrap_or_else(PoisonError::into_inner).clone();
        let cluster = self.is_in_cluster.then(|| ClusterNetworks {
            objects: stores.reserved_networks(),
            confirmed: stores.networks_confirmed(),
        });
        let now = (Instant::now(), conditions::time(SystemTime::now()));
        let update = self.inventory.update(node.as_ref(), cluster.as_ref(), now);
        self.write_file();
        update
    }

    fn write_file(&mut self) {
        let Some(file) = &mut self.file else { return };
        let (networks, sources) = (self.inventory.reserved().iter(), self.inventory.sources());
        let written = file.write(
            networks.cloned(),
            sources.to_vec(),
            self.inventory.unknown(),
        );
        if let Err(error) = written {
            tracing::error!("cannot write the file of known networks: {error}");
        }
    }
}

impl NodeReconciler {
    /// Updates the known networks. Enqueues pods that overlap a changed network, and pods that wait
    /// for the networks to be known.
    pub(super) fn refresh_networks(&mut self) {
        if self.objects.refresh_precedence() {
            self.enqueue_all();
        }
        let was_known = self.addressing.networks.unknown().is_none();
        let InventoryUpdate {
            networks,
            may_unblock,
        } = self.addressing.networks.take(&self.objects.stores);
        match self.addressing.networks.unknown() {
            Some(why) if was_known || may_unblock => {
                tracing::warn!("no new addresses are allocated: {why}");
            }
            None if !was_known => tracing::info!("all networks are known"),
            _ => (),
        }
        self.schedule.enqueue_where(|applied| {
            applied.reach.touches(&networks) || may_unblock && applied.networks_unknown
        });
    }
}
