//! Pure: a claim is given back. It is marked as released first, and deleted only in the very version that has
//! rested: whoever takes it meanwhile writes it, and so the deletion fails. What is found otherwise than it was
//! known is left alone, and the book decides anew.

use std::sync::Arc;

use crds::{AddressClaim, claim::ClaimSuccessor};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    errand::{Ask, End, Told},
    paper::{self, Name},
};

#[derive(Clone, Debug)]
pub struct Farewell {
    claim: Arc<AddressClaim>,
    /// When it was released; none: it has rested, and is deleted.
    released: Option<Time>,
    /// To whom it is handed over, and whether that pod was found to be there.
    successor: Option<(ClaimSuccessor, bool)>,
    /// The uid of a successor that is not there.
    gone_successor: Option<String>,
    /// It must be read first: it was written meanwhile, or an answer was lost.
    reads: bool,
}

impl Farewell {
    /// The address is the successor's, if one waits for it and is there; else it rests.
    pub fn rest(claim: Arc<AddressClaim>, now: Time) -> Self {
        let successor = claim.spec.successor.clone();
        Self {
            claim,
            successor: successor.map(|next| (next, false)),
            released: Some(now),
            gone_successor: None,
            reads: false,
        }
    }

    /// The address has rested, and is free.
    pub fn free(claim: Arc<AddressClaim>) -> Self {
        Self {
            claim,
            released: None,
            successor: None,
            gone_successor: None,
            reads: false,
        }
    }

    pub fn claim(&self) -> &Arc<AddressClaim> {
        &self.claim
    }

    pub fn name(&self) -> Name {
        Name::of(&self.claim)
    }

    pub fn gone_successor(&self) -> Option<&str> {
        self.gone_successor.as_deref()
    }

    pub fn next(&self) -> Ask {
        match (&self.released, &self.successor) {
            _ if self.reads => Ask::Get(self.name()),
            (_, Some((next, false))) => Ask::LookUp(next.pod.clone()),
            (_, Some((next, true))) => {
                let theirs = paper::handed_over((*self.claim).clone(), next.clone());
                Ask::Replace(Arc::new(theirs))
            }
            (Some(now), None) => {
                let released = paper::released((*self.claim).clone(), now.clone());
                Ask::Replace(Arc::new(released))
            }
            (None, None) => Ask::Delete(self.claim.clone()),
        }
    }

    pub fn heard(&mut self, told: Told) -> Option<End> {
        match told {
            Told::Claim(claim) if self.reads => self.read(claim),
            Told::Claim(claim) if self.successor.is_some() => Some(End::HandedOver(claim)),
            Told::Claim(claim) => Some(End::Rests(claim)),
            Told::PodIsThere => {
                self.successor.iter_mut().for_each(|next| next.1 = true);
                None
            }
            Told::PodIsGone => {
                self.gone_successor = self.successor.take().map(|(next, _)| next.pod.uid);
                None
            }
            Told::Deleted | Told::Missing => Some(End::Gone),
            Told::Overtaken => {
                self.reads = true;
                None
            }
            Told::Failed(why) => {
                self.reads = true;
                Some(End::Failed(why))
            }
            other => Some(End::Failed(format!(
                "an answer to something else: {other:?}"
            ))),
        }
    }

    fn read(&mut self, claim: Arc<AddressClaim>) -> Option<End> {
        let is_same = claim.metadata.uid == self.claim.metadata.uid
            && claim.spec.pod == self.claim.spec.pod
            && claim.spec.node == self.claim.spec.node
            && claim.spec.installation == self.claim.spec.installation;
        let is_as_known = claim.metadata.resource_version == self.claim.metadata.resource_version;
        match &claim.spec.released {
            _ if !is_same => Some(End::Gone),
            _ if is_as_known => {
                self.reads = false;
                None
            }
            Some(_) => Some(End::Rests(claim)),
            None => Some(End::Held(claim)),
        }
    }
}
