//! What is known of the networks that no link may overlap: taken in when somebody says something new, and
//! told to those whom it concerns.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use crds::Cidr;

use super::NodeReconciler;
use crate::{
    address::{
        known::{Known, News, Published},
        reserved::Reserved,
    },
    conditions,
    networks::SnapshotFile,
    node::networks::NetworksResult,
    source::Stores,
};

/// What the node's kernel knows, as it was last told.
pub type NodeNetworks = Arc<Mutex<Option<NetworksResult>>>;

pub struct Networks {
    known: Known,
    node: NodeNetworks,
    /// Whether there is a cluster that has networks of its own.
    is_in_cluster: bool,
    /// Where people can read it.
    file: Option<SnapshotFile>,
}

impl Networks {
    pub fn new(installation: &str, own: &[Cidr], node: NodeNetworks, is_in_cluster: bool) -> Self {
        Self {
            known: Known::new(installation, own),
            node,
            is_in_cluster,
            file: None,
        }
    }

    /// Keeps all that is known in a file as well, for people to look at.
    pub fn told_in(self, file: SnapshotFile) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    pub fn reserved(&self) -> &Reserved {
        self.known.reserved()
    }

    /// Cause no new address may be given out.
    pub fn unknown(&self) -> Option<&str> {
        self.known.unknown()
    }

    fn take(&mut self, stores: &Stores) -> News {
        let node = self.node.lock();
        let node = node.unwrap_or_else(PoisonError::into_inner).clone();
        let cluster = self.is_in_cluster.then(|| Published {
            objects: stores.reserved_networks(),
            heard: stores.networks_confirmed(),
        });
        let now = (Instant::now(), conditions::time(SystemTime::now()));
        let news = self.known.take(node.as_ref(), cluster.as_ref(), now);
        self.tell();
        news
    }

    fn tell(&mut self) {
        let Some(file) = &mut self.file else { return };
        let (networks, sources) = (self.known.reserved().iter(), self.known.sources());
        let written = file.write(networks.cloned(), sources.to_vec(), self.known.unknown());
        if let Err(error) = written {
            tracing::error!("write down the networks that are known: {error}");
        }
    }
}

impl NodeReconciler {
    /// Takes in what is said of networks now. Whom a network that came or went concerns is looked at, and
    /// whoever waits for somebody to be sure.
    pub(super) fn refresh_networks(&mut self) {
        self.refresh_precedence();
        let was_known = self.networks.unknown().is_none();
        let News { networks, is_surer } = self.networks.take(&self.stores);
        match self.networks.unknown() {
            Some(why) if was_known || is_surer => {
                tracing::warn!("no new address is given out: {why}");
            }
            None if !was_known => tracing::info!("all networks are known"),
            _ => (),
        }
        let concerned = self.applied.iter().filter(|(_, applied)| {
            applied.reach.touches(&networks) || is_surer && applied.is_unsure
        });
        let concerned: Vec<String> = concerned.map(|(uid, _)| uid.clone()).collect();
        self.dirty.extend(concerned);
    }
}
