//! Pure: counts of claims, and their holders.

use std::collections::{BTreeMap, BTreeSet};

use crds::Reason;

use super::{AllocatorState, State, Waiting};

/// Claims by state, and pending requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub held: usize,
    pub resting: usize,
    pub waiting: usize,
    /// Pending requests whose range is full.
    pub full: usize,
}

impl AllocatorState {
    /// The pods with unreleased claims of this installation on this node.
    pub fn holders(&self) -> BTreeSet<String> {
        let entries = self.claims.iter();
        let held = entries.filter(|(name, entry)| entry.state == State::Held && self.is_ours(name));
        held.map(|(_, entry)| entry.claim.spec.pod.uid.clone())
            .collect()
    }

    pub fn counts(&self) -> Counts {
        let ours = self.claims.iter().filter(|(name, _)| self.is_ours(name));
        let states: Vec<State> = ours.map(|(_, entry)| entry.state).collect();
        let of = |state| states.iter().filter(|one| **one == state).count();
        let waiting = || {
            let links = self.links.values().flat_map(BTreeMap::values);
            links.flat_map(|link| &link.waiting)
        };
        let is_full = |waiting: &&Waiting| matches!(waiting.refused, Some((Reason::RangeFull, _)));
        Counts {
            held: of(State::Held),
            resting: of(State::Quarantined) + of(State::Releasing),
            waiting: waiting().count(),
            full: waiting().filter(is_full).count(),
        }
    }
}
