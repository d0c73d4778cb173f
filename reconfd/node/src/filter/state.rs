//! The desired state of the filter, and its restoration from the table after a restart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    PeerFilter, Tunnel,
    found::FoundTable,
    name::{read_link_set, read_peer_set},
    source::{Element, Family, networks, ranges, read_ranges},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub tunnels: BTreeMap<Tunnel, PeerFilter>,
    /// Ports that only these links may reach.
    pub closed: BTreeMap<u16, BTreeSet<u32>>,
}

impl State {
    /// Restores the state from the sets of a table.
    pub fn of(found: &FoundTable) -> Self {
        let mut state = Self::default();
        for (name, set) in &found.sets {
            if let Some((tunnel, underlay, family)) = read_peer_set(name) {
                let peer_filter = state.tunnels.entry(tunnel).or_insert_with(|| PeerFilter {
                    underlay,
                    sources: BTreeSet::new(),
                });
                peer_filter.underlay = underlay;
                let ranges = read_ranges(&set.elements, family);
                peer_filter.sources.extend(networks(&ranges, family));
            } else if let Some(port) = read_link_set(name) {
                state
                    .closed
                    .insert(port, set.elements.iter().filter_map(link).collect());
            }
        }
        state.forget_unused();
        state
    }

    /// Drops closed ports without tunnels.
    pub fn forget_unused(&mut self) {
        let used = self.ports();
        self.closed.retain(|port, _| used.contains(port));
    }

    pub fn ports(&self) -> BTreeSet<u16> {
        self.tunnels.keys().map(|tunnel| tunnel.port).collect()
    }
}

impl PeerFilter {
    /// The same sources in canonical form, as they are read back: the fewest networks. Compare only
    /// normalized filters with `Filter::tunnels`.
    pub fn normalized(self) -> Self {
        let families = Family::BOTH.into_iter();
        let sources = families.flat_map(|family| networks(&ranges(&self.sources, family), family));
        Self {
            underlay: self.underlay,
            sources: sources.collect(),
        }
    }
}

fn link(element: &Element) -> Option<u32> {
    let key = element.key.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*key))
}
