//! Pure: what a link lacks, asked for.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::AddressClaim;
use ipnetwork::IpNetwork;

use super::{
    super::wish::{What, Wish},
    About, Asker, Book, Claimant, Demand, Errand, Now, State, Waiting,
};

impl Book {
    /// A link that stands with an address needs that very one.
    pub(super) fn again_what_was_lost(
        &self,
        asker: &Asker,
        demand: &Demand,
        missing: Vec<What>,
    ) -> Vec<What> {
        let link = self
            .links
            .get(&asker.uid)
            .and_then(|links| links.get(&asker.link));
        let mut lost = link.map_or_else(BTreeSet::new, |link| link.lost.clone());
        lost.retain(|address| !demand.addresses.contains(address));
        let again = missing.into_iter().map(|what| match &what {
            What::Of(range) => {
                let fitting = lost
                    .iter()
                    .copied()
                    .find(|address| range.contains(*address));
                match fitting {
                    Some(address) => {
                        lost.remove(&address);
                        What::Address(address)
                    }
                    None => what,
                }
            }
            What::Address(_) => what,
        });
        again.collect()
    }

    /// What the pod is giving back and this link is to have: until that is through, whoever asks could be told
    /// that the pod has it, and then see it released.
    pub(super) fn leaving_for(
        &self,
        asker: &Asker,
        demand: &Demand,
        missing: &[What],
    ) -> Option<IpAddr> {
        let names = self.names.get(&asker.uid)?.iter();
        let mut leaving = names.filter(|name| {
            name.domain == demand.domain
                && self.claims.get(name).map(|entry| entry.state) == Some(State::Leaving)
        });
        let fits = |address: IpAddr| {
            let mut missing = missing.iter();
            missing.any(|what| what.fits(address, &demand.barred))
        };
        leaving
            .find(|name| fits(name.address))
            .map(|name| name.address)
    }

    pub(super) fn wish_for(
        &mut self,
        asker: &Asker,
        demand: &Demand,
        missing: Vec<What>,
        now: &Now,
    ) {
        let mut before = std::mem::take(&mut self.link(asker).waiting);
        let mut waiting = Vec::new();
        for what in missing {
            let is_same = |old: &Waiting| {
                old.what == what
                    && old.lineage == demand.lineage
                    && (old.barred == demand.barred || self.tasks.is_running(old.ticket))
            };
            match before.iter().position(is_same) {
                Some(at) => waiting.push(before.swap_remove(at)),
                None => waiting.push(self.begin(asker, demand, what, now)),
            }
        }
        self.cancel(before);
        self.link(asker).waiting = waiting;
    }

    fn begin(&mut self, asker: &Asker, demand: &Demand, what: What, now: &Now) -> Waiting {
        let claimant = Claimant {
            asker: asker.clone(),
            node: self.node.clone(),
            installation: self.installation.clone(),
            lineage: demand.lineage.clone(),
        };
        let domain = &demand.domain;
        let resting = self.resting_of(&claimant, domain, &what, &demand.barred);
        let wish = match &what {
            What::Address(address) => Wish::for_address(claimant, domain, *address, resting),
            What::Of(range) => {
                let own = self.held_by(asker, domain, State::Held);
                let own = own.into_iter().chain(demand.addresses.iter().copied());
                let others = demand
                    .barred
                    .iter()
                    .copied()
                    .chain(own.map(IpNetwork::from));
                let free = range.without(others);
                Wish::for_range(
                    claimant,
                    domain,
                    (free, range.clone()),
                    resting,
                    demand.may_return,
                )
            }
        };
        let about = About::Wish(asker.uid.clone(), asker.link.clone());
        let errand = Errand::Wish(Box::new(wish));
        Waiting {
            what,
            ticket: self.tasks.put(about, errand, now.instant),
            barred: demand.barred.clone(),
            lineage: demand.lineage.clone(),
            refused: None,
            trouble: None,
        }
    }

    /// What was given back on this node, by this very pod or by an earlier one of its name. What other pods of its
    /// controller had is for links that list it.
    fn resting_of(
        &self,
        claimant: &Claimant,
        domain: &str,
        what: &What,
        barred: &[IpNetwork],
    ) -> Option<Arc<AddressClaim>> {
        let resting = self.claims.iter().filter(|(name, entry)| {
            entry.state == State::Resting
                && name.domain == domain
                && what.fits(name.address, barred)
                && claimant.may_have_back(&entry.claim)
                && (matches!(what, What::Address(_)) || !claimant.succeeds(&entry.claim))
        });
        // Its own before what another has left, and of the same link before any other.
        let resting = resting.min_by_key(|(_, entry)| {
            let is_own = claimant.is_same_pod(&entry.claim);
            (!is_own, !claimant.is_namesake(&entry.claim))
        });
        resting.map(|(_, entry)| entry.claim.clone())
    }
}

impl What {
    fn fits(&self, address: IpAddr, barred: &[IpNetwork]) -> bool {
        match self {
            Self::Address(wanted) => *wanted == address,
            Self::Of(range) => {
                range.contains(address) && !barred.iter().any(|network| network.contains(address))
            }
        }
    }
}
