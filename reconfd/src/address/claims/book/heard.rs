//! Pure: what the watch of this node's claims says. It may be late: what it says is older than what was
//! done here counts for nothing, and that a claim is gone is believed only after a look.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crds::AddressClaim;

use super::{About, Book, Doubt, Entry, Errand, Farewell, Name, Now, State};

impl Book {
    /// All claims of this node have been heard; the pods that have asked before.
    pub fn are_known(&mut self) -> BTreeSet<String> {
        self.is_known = true;
        std::mem::take(&mut self.early)
    }

    /// A claim of this node is as this; the pods that this is news for.
    pub fn came(&mut self, claim: Arc<AddressClaim>, now: &Now) -> BTreeSet<String> {
        let name = Name::of(&claim);
        if claim.spec.node != self.node {
            return self.went(&name, now);
        }
        if self.is_old(&name, &claim) {
            return BTreeSet::new();
        }
        let before = self.claims.get(&name);
        let was = before.map(|entry| (entry.claim.spec.pod.uid.clone(), entry.state));
        let successor = before.and_then(|entry| entry.claim.spec.successor.as_ref());
        let next = claim.spec.successor.as_ref();
        let has_successor = next.is_some() && next != successor;
        let is_news = match &was {
            // What is on its way out here is given back whatever anybody says.
            Some((uid, State::Leaving)) => *uid != claim.spec.pod.uid,
            Some((uid, state)) => {
                *uid != claim.spec.pod.uid
                    || (*state == State::Resting) != claim.spec.released.is_some()
                    || has_successor
            }
            None => true,
        };
        let mut concerned: BTreeSet<String> = was.into_iter().map(|(uid, _)| uid).collect();
        concerned.insert(claim.spec.pod.uid.clone());
        match is_news {
            true => self.put(claim, now),
            false => {
                if let Some(entry) = self.claims.get_mut(&name) {
                    entry.claim = claim;
                }
            }
        }
        if is_news { concerned } else { BTreeSet::new() }
    }

    /// A claim is said to be gone from this node.
    pub fn went(&mut self, name: &Name, now: &Now) -> BTreeSet<String> {
        self.gone.remove(name);
        let Some(entry) = self.claims.get(name) else {
            return BTreeSet::new();
        };
        if !self.is_ours(name) {
            let uid = entry.claim.spec.pod.uid.clone();
            self.forget(name, now);
            return BTreeSet::from([uid]);
        }
        let errand = Errand::Doubt(Box::new(Doubt::of_claim(entry.claim.clone())));
        self.tasks
            .put_once(About::Claim(name.clone()), errand, now.instant);
        BTreeSet::new()
    }

    /// Takes in a claim that is known to be as this.
    pub(super) fn put(&mut self, claim: Arc<AddressClaim>, now: &Now) {
        let name = Name::of(&claim);
        self.take_off_index(&name);
        let uid = claim.spec.pod.uid.clone();
        self.names.entry(uid).or_default().insert(name.clone());
        self.gone.remove(&name);
        let state = match claim.spec.released {
            Some(_) => State::Resting,
            None => State::Held,
        };
        let is_ours = claim.spec.installation == self.installation;
        match state {
            // Taken again: what would give it back is called off.
            State::Held | State::Leaving => self.tasks.cancel_all(&About::Release(name.clone())),
            // A link that was promised it takes it again, or gives it up.
            State::Resting if is_ours && !self.is_promised(&claim) => self.free_later(&claim, now),
            State::Resting => self.tasks.cancel_all(&About::Release(name.clone())),
        }
        self.claims.insert(name, Entry { claim, state });
    }

    /// Whether the link that had it was told so, and has not given it up.
    fn is_promised(&self, claim: &AddressClaim) -> bool {
        let of_pod = self.links.get(&claim.spec.pod.uid);
        let link = of_pod.and_then(|links| links.get(&claim.spec.link));
        link.is_some_and(|link| {
            link.domain == claim.spec.domain && link.chosen.contains(&claim.spec.address)
        })
    }

    /// A claim is no longer here.
    pub(super) fn forget(&mut self, name: &Name, now: &Now) {
        self.take_off_index(name);
        self.tasks.drop_idle(&About::Release(name.clone()));
        if let Some(entry) = self.claims.remove(name) {
            let version = version(&entry.claim);
            self.gone.insert(name.clone(), (version, now.instant));
        }
    }

    /// Deletes the claim when it has rested.
    pub(super) fn free_later(&mut self, claim: &Arc<AddressClaim>, now: &Now) {
        let due = now.instant + self.left_to_rest(claim, now);
        let about = About::Release(Name::of(claim));
        self.tasks.cancel_all(&about);
        let errand = Errand::Farewell(Box::new(Farewell::free(claim.clone())));
        self.tasks.put(about, errand, due);
    }

    /// By the claim's own words.
    pub(super) fn left_to_rest(&self, claim: &AddressClaim, now: &Now) -> Duration {
        let since = claim.spec.released.as_ref().map_or(0, |released| {
            now.time
                .0
                .as_second()
                .saturating_sub(released.0.as_second())
        });
        let rested = Duration::from_secs(u64::try_from(since).unwrap_or(0));
        self.rest.saturating_sub(rested)
    }

    fn take_off_index(&mut self, name: &Name) {
        let Some(entry) = self.claims.get(name) else {
            return;
        };
        let uid = &entry.claim.spec.pod.uid;
        if let Some(names) = self.names.get_mut(uid) {
            names.remove(name);
            if names.is_empty() {
                self.names.remove(uid);
            }
        }
    }

    fn is_old(&self, name: &Name, claim: &AddressClaim) -> bool {
        let said = version(claim);
        let known = self.claims.get(name).map(|entry| version(&entry.claim));
        let gone = self.gone.get(name).map(|(version, _)| *version);
        known.into_iter().chain(gone).any(|known| known >= said)
    }
}

impl Book {
    /// Whether more is known of it than this.
    pub(super) fn is_older(&self, name: &Name, claim: &AddressClaim) -> bool {
        let known = self.claims.get(name).map(|entry| version(&entry.claim));
        known.is_some_and(|known| known > version(claim))
    }
}

/// Versions of one kind are numbers that grow.
pub(super) fn version(claim: &AddressClaim) -> u64 {
    let version = claim.metadata.resource_version.as_deref();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}
