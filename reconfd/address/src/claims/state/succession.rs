//! Pure: hand-over of an address to a successor. The address is refused to the link, the link is deleted, and then
//! the claim is handed over in the same way as it would be released: the address is never on two links.

use std::{collections::BTreeSet, sync::Arc};

use crds::{AddressClaim, Reason};

use super::{AddressRequest, AllocatorState, ClaimName, LinkKey, Now, State};

/// Number of gone pods to remember; a forgotten one is looked up again.
const MAX_GONE: usize = 64;

impl AllocatorState {
    /// Remembers that a successor is gone, whatever a node that does not know it yet writes on the claim.
    pub(super) fn successor_is_gone(&mut self, uid: &str) {
        if self.gone_successors.iter().any(|gone| gone == uid) {
            return;
        }
        if self.gone_successors.len() == MAX_GONE {
            self.gone_successors.pop_front();
        }
        self.gone_successors.push_back(uid.to_owned());
    }

    /// Why the link must give its address up, if a successor is to have it.
    pub(super) fn yields(&self, key: &LinkKey, request: &AddressRequest) -> Option<String> {
        let names = self.names.get(&key.uid)?.iter();
        let held = names.filter_map(|name| self.claims.get(name));
        let mut specs = held.filter_map(|entry| {
            let spec = &entry.claim.spec;
            let is_of_link = spec.link == key.link && spec.domain == request.domain;
            (is_of_link && entry.state != State::Quarantined).then_some(spec)
        });
        specs.find_map(|spec| {
            let next = spec.successor.as_ref()?;
            let is_gone = self.gone_successors.contains(&next.pod.uid);
            (!is_gone && request.lineage.yields_to(next)).then(|| {
                let (address, pod) = (spec.address, &next.pod.name);
                format!("{address} is handed over to pod {pod} of the same controller")
            })
        })
    }

    /// The claim belongs to the successor. Returns the pods to notify.
    pub(super) fn is_handed_over(
        &mut self,
        name: &ClaimName,
        claim: Arc<AddressClaim>,
        now: &Now,
    ) -> BTreeSet<String> {
        let before = self.claims.get(name);
        let before = before.map(|entry| entry.claim.spec.pod.uid.clone());
        let mut affected: BTreeSet<String> = before.into_iter().collect();
        match claim.spec.node == self.node {
            true => {
                affected.insert(claim.spec.pod.uid.clone());
                self.upsert(claim, now);
            }
            false => self.forget(name, now),
        }
        self.retry_refused(&name.domain, &[Reason::AddressTaken], now);
        affected
    }
}
