//! GC of a network: its chains, and the time in which no operation of it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cni::{FrozenChain, request::ValidAttachment};

use super::Attachments;
use crate::entry::Phase;

/// Until an operation is looked at again that waits for a GC.
const AGAIN: Duration = Duration::from_millis(200);

/// What GC of a network is run with.
#[derive(Clone, Debug, PartialEq)]
pub struct Garbage {
    /// Those of the network that differ in their plugins.
    pub chains: Vec<FrozenChain>,
    /// What this store has of it, in whatever phase.
    pub valid: BTreeSet<ValidAttachment>,
}

impl Attachments {
    /// Networks with something attached, whose version has GC and whose configurations all permit it. None while files of
    /// the store cannot be read: they may be of any network.
    pub fn networks_with_gc(&self) -> BTreeSet<String> {
        let mut networks = BTreeMap::new();
        for entry in self.entries().filter(|entry| !entry.is_of_multus()) {
            let chain = &entry.chain;
            let permits = chain.cni_version.has_gc() && !chain.disable_gc;
            let all: &mut bool = networks.entry(chain.network.clone()).or_insert(true);
            *all &= permits;
        }
        let networks = networks.into_iter().filter(|(_, permits)| *permits);
        match self.unreadable {
            0 => networks.map(|(network, _)| network).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// From now on no operation of the network begins, until [`Self::release_network`]. None: one runs.
    pub fn hold_network(&mut self, network: &str) -> Option<Garbage> {
        let is_busy = self.running.values().any(|running| running.is_of(network));
        if is_busy || self.held_network.is_some() {
            return None;
        }
        self.held_network = Some(network.to_owned());
        let entries = || {
            self.entries()
                .filter(|entry| entry.chain.network == network)
        };
        let valid = entries().map(|entry| ValidAttachment {
            container_id: entry.chain.container_id.clone(),
            ifname: entry.chain.ifname.clone(),
        });
        let attached = entries().filter(|entry| entry.phase == Phase::Attached);
        let mut chains: Vec<FrozenChain> = Vec::new();
        for chain in attached.map(|entry| &entry.chain) {
            if !chains.iter().any(|other| other.plugins == chain.plugins) {
                chains.push(chain.clone());
            }
        }
        Some(Garbage {
            valid: valid.collect(),
            chains,
        })
    }

    pub fn release_network(&mut self) {
        self.held_network = None;
    }

    /// When an operation of these networks may begin, if not now. What Multus attached may be of any network.
    pub(super) fn held_until(
        &self,
        networks: Option<&BTreeSet<String>>,
        now: Instant,
    ) -> Option<Instant> {
        let held = self.held_network.as_ref()?;
        let is_held = networks.is_none_or(|networks| networks.contains(held));
        is_held.then(|| now + AGAIN)
    }
}
