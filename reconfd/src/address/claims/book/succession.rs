//! Pure: a link that gives its address to a successor. The address is refused to the link, which is taken away, and
//! then the claim is handed over as every claim is given back: never is the address on two links.

use std::{collections::BTreeSet, sync::Arc};

use crds::{AddressClaim, Reason};

use super::{Asker, Book, Demand, Name, Now, State};

/// So many pods are remembered as gone; what is forgotten is looked up once more.
const MOST_GONE: usize = 64;

impl Book {
    /// A pod that is gone succeeds to nothing, whatever a node that does not know it yet writes on the claim.
    pub(super) fn successor_is_gone(&mut self, uid: &str) {
        if self.gone_successors.iter().any(|gone| gone == uid) {
            return;
        }
        if self.gone_successors.len() == MOST_GONE {
            self.gone_successors.pop_front();
        }
        self.gone_successors.push_back(uid.to_owned());
    }

    /// Why the link can not have its address any longer, if a successor is to have it.
    pub(super) fn yields(&self, asker: &Asker, demand: &Demand) -> Option<String> {
        let names = self.names.get(&asker.uid)?.iter();
        let held = names.filter_map(|name| self.claims.get(name));
        let mut specs = held.filter_map(|entry| {
            let spec = &entry.claim.spec;
            let is_of_link = spec.link == asker.link && spec.domain == demand.domain;
            (is_of_link && entry.state != State::Resting).then_some(spec)
        });
        specs.find_map(|spec| {
            let next = spec.successor.as_ref()?;
            let is_gone = self.gone_successors.contains(&next.pod.uid);
            (!is_gone && demand.lineage.yields_to(next)).then(|| {
                let (address, pod) = (spec.address, &next.pod.name);
                format!("{address} is handed over to pod {pod} of the same controller")
            })
        })
    }

    /// The claim is the successor's; the pods that this is news for.
    pub(super) fn is_handed_over(
        &mut self,
        name: &Name,
        claim: Arc<AddressClaim>,
        now: &Now,
    ) -> BTreeSet<String> {
        let before = self.claims.get(name);
        let before = before.map(|entry| entry.claim.spec.pod.uid.clone());
        let mut concerned: BTreeSet<String> = before.into_iter().collect();
        match claim.spec.node == self.node {
            true => {
                concerned.insert(claim.spec.pod.uid.clone());
                self.put(claim, now);
            }
            false => self.forget(name, now),
        }
        self.wake_refused(&name.domain, &[Reason::AddressTaken], now);
        concerned
    }
}
