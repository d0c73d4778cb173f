//! Pure: a claim is given back: marked as released, or deleted, and never when it is another's by now.

use crds::AddressClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    errand::{Ask, End, Told},
    paper::{self, Name},
};

#[derive(Clone, Debug)]
pub struct Farewell {
    claim: AddressClaim,
    /// When it was released; none: it is deleted.
    released: Option<Time>,
    /// It must be read first: somebody has written it, or an answer was lost.
    reads: bool,
}

impl Farewell {
    /// The address rests.
    pub fn rest(claim: AddressClaim, now: Time) -> Self {
        Self {
            claim,
            released: Some(now),
            reads: false,
        }
    }

    /// The address is free.
    pub fn delete(claim: AddressClaim) -> Self {
        Self {
            claim,
            released: None,
            reads: false,
        }
    }

    pub fn claim(&self) -> &AddressClaim {
        &self.claim
    }

    pub fn name(&self) -> Name {
        Name::of(&self.claim)
    }

    pub fn next(&self) -> Ask {
        match &self.released {
            _ if self.reads => Ask::Get(self.name()),
            None => Ask::Delete(Box::new(self.claim.clone())),
            Some(now) => Ask::Replace(Box::new(paper::released(self.claim.clone(), now.clone()))),
        }
    }

    pub fn heard(&mut self, told: Told) -> Option<End> {
        match told {
            Told::Claim(claim) if self.reads => self.read(*claim),
            Told::Claim(claim) => Some(End::Rests(claim)),
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

    fn read(&mut self, claim: AddressClaim) -> Option<End> {
        let is_same = claim.metadata.uid == self.claim.metadata.uid
            && claim.spec.pod == self.claim.spec.pod
            && claim.spec.node == self.claim.spec.node
            && claim.spec.installation == self.claim.spec.installation;
        if !is_same {
            return Some(End::Gone);
        }
        if self.released.is_some() && claim.spec.released.is_some() {
            return Some(End::Rests(Box::new(claim)));
        }
        self.claim = claim;
        self.reads = false;
        None
    }
}
