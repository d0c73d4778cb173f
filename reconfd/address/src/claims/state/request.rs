//! Pure: starts acquisition of the addresses that a link lacks.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::AddressClaim;
use ipnetwork::IpNetwork;

use super::{
    super::acquire::{Acquire, AddressOrRange},
    AddressRequest, AllocatorState, ClaimOperation, Claimant, LinkKey, Now, State, TaskKey,
    Waiting,
};

impl AllocatorState {
    /// Replaces a range by the lost address of it: a present link needs the address that it has.
    pub(super) fn prefer_lost(
        &self,
        key: &LinkKey,
        request: &AddressRequest,
        missing: Vec<AddressOrRange>,
    ) -> Vec<AddressOrRange> {
        let link = self
            .links
            .get(&key.uid)
            .and_then(|links| links.get(&key.link));
        let mut lost = link.map_or_else(BTreeSet::new, |link| link.lost.clone());
        lost.retain(|address| !request.addresses.contains(address));
        let again = missing.into_iter().map(|what| match &what {
            AddressOrRange::Range(range) => {
                let fitting = lost
                    .iter()
                    .copied()
                    .find(|address| range.contains(*address));
                match fitting {
                    Some(address) => {
                        lost.remove(&address);
                        AddressOrRange::Address(address)
                    }
                    None => what,
                }
            }
            AddressOrRange::Address(_) => what,
        });
        again.collect()
    }

    /// An address that the pod is releasing and this link needs. Until the release is complete, a lookup could find
    /// the pod as holder and then see the claim released.
    pub(super) fn releasing_for(
        &self,
        key: &LinkKey,
        request: &AddressRequest,
        missing: &[AddressOrRange],
    ) -> Option<IpAddr> {
        let names = self.names.get(&key.uid)?.iter();
        let mut leaving = names.filter(|name| {
            name.domain == request.domain
                && self.claims.get(name).map(|entry| entry.state) == Some(State::Releasing)
        });
        let fits = |address: IpAddr| {
            let mut missing = missing.iter();
            missing.any(|what| what.fits(address, &request.excluded))
        };
        leaving
            .find(|name| fits(name.address))
            .map(|name| name.address)
    }

    pub(super) fn acquire_missing(
        &mut self,
        key: &LinkKey,
        request: &AddressRequest,
        missing: Vec<AddressOrRange>,
        now: &Now,
    ) {
        let mut before = std::mem::take(&mut self.link(key).waiting);
        let mut waiting = Vec::new();
        for what in missing {
            let is_same = |old: &Waiting| {
                old.what == what
                    && old.lineage == request.lineage
                    && (old.excluded == request.excluded || self.tasks.is_running(old.id))
            };
            match before.iter().position(is_same) {
                Some(at) => waiting.push(before.swap_remove(at)),
                None => waiting.push(self.start(key, request, what, now)),
            }
        }
        self.cancel(before);
        self.link(key).waiting = waiting;
    }

    fn start(
        &mut self,
        key: &LinkKey,
        request: &AddressRequest,
        what: AddressOrRange,
        now: &Now,
    ) -> Waiting {
        let claimant = Claimant {
            key: key.clone(),
            node: self.node.clone(),
            installation: self.installation.clone(),
            lineage: request.lineage.clone(),
        };
        let domain = &request.domain;
        let resting = self.released_for(&claimant, domain, &what, &request.excluded);
        let acquire = match &what {
            AddressOrRange::Address(address) => {
                Acquire::for_address(claimant, domain, *address, resting)
            }
            AddressOrRange::Range(range) => {
                let own = self.held_by(key, domain, State::Held);
                let own = own.into_iter().chain(request.addresses.iter().copied());
                let others = request
                    .excluded
                    .iter()
                    .copied()
                    .chain(own.map(IpNetwork::from));
                let free = range.without(others);
                Acquire::for_range(
                    claimant,
                    domain,
                    (free, range.clone()),
                    resting,
                    request.may_return,
                )
            }
        };
        let task_key = TaskKey::Acquire(key.uid.clone(), key.link.clone());
        let operation = ClaimOperation::Acquire(Box::new(acquire));
        Waiting {
            what,
            id: self.tasks.add(task_key, operation, now.instant),
            excluded: request.excluded.clone(),
            lineage: request.lineage.clone(),
            refused: None,
            last_error: None,
        }
    }

    /// A claim released on this node by this pod or by an earlier one of its name. Claims of other pods of its
    /// controller are reclaimed only by links that list the address.
    fn released_for(
        &self,
        claimant: &Claimant,
        domain: &str,
        what: &AddressOrRange,
        excluded: &[IpNetwork],
    ) -> Option<Arc<AddressClaim>> {
        let resting = self.claims.iter().filter(|(name, entry)| {
            entry.state == State::Quarantined
                && name.domain == domain
                && what.fits(name.address, excluded)
                && claimant.may_reclaim(&entry.claim)
                && (matches!(what, AddressOrRange::Address(_)) || !claimant.succeeds(&entry.claim))
        });
        // Its own claim before that of an earlier pod, and one of the same link before any other.
        let resting = resting.min_by_key(|(_, entry)| {
            let is_own = claimant.is_same_pod(&entry.claim);
            (!is_own, !claimant.is_namesake(&entry.claim))
        });
        resting.map(|(_, entry)| entry.claim.clone())
    }
}

impl AddressOrRange {
    fn fits(&self, address: IpAddr, excluded: &[IpNetwork]) -> bool {
        match self {
            Self::Address(wanted) => *wanted == address,
            Self::Range(range) => {
                range.contains(address) && !excluded.iter().any(|network| network.contains(address))
            }
        }
    }
}
