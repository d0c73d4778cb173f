//! Pure: releases a claim. It is first marked as released, and deleted only in the version that has been in
//! quarantine: taking it in the meantime writes it, so the deletion fails. A claim that differs from the known one is
//! left alone, and the allocator decides again.

use std::sync::Arc;

use crds::{AddressClaim, claim::ClaimSuccessor};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    claim_meta::{self, ClaimName},
    protocol::{ClaimOutcome, ClaimRequest, ClaimResponse},
};

#[derive(Clone, Debug)]
pub struct Release {
    claim: Arc<AddressClaim>,
    /// The release time; `None`: the quarantine is over, and the claim is deleted.
    released: Option<Time>,
    /// The pod to hand it over to, and whether that pod was found to exist.
    successor: Option<(ClaimSuccessor, bool)>,
    /// The uid of a successor that does not exist.
    gone_successor: Option<String>,
    /// The claim must be read first: it was written in the meantime, or a response was lost.
    must_read: bool,
}

impl Release {
    /// Hands the address over to an existing successor that waits for it; otherwise starts the quarantine.
    pub fn mark(claim: Arc<AddressClaim>, now: Time) -> Self {
        let successor = claim.spec.successor.clone();
        Self {
            claim,
            successor: successor.map(|next| (next, false)),
            released: Some(now),
            gone_successor: None,
            must_read: false,
        }
    }

    /// Deletes the claim after the quarantine.
    pub fn delete(claim: Arc<AddressClaim>) -> Self {
        Self {
            claim,
            released: None,
            successor: None,
            gone_successor: None,
            must_read: false,
        }
    }

    pub fn claim(&self) -> &Arc<AddressClaim> {
        &self.claim
    }

    pub fn name(&self) -> ClaimName {
        ClaimName::of(&self.claim)
    }

    pub fn gone_successor(&self) -> Option<&str> {
        self.gone_successor.as_deref()
    }

    pub fn next(&self) -> ClaimRequest {
        match (&self.released, &self.successor) {
            _ if self.must_read => ClaimRequest::Get(self.name()),
            (_, Some((next, false))) => ClaimRequest::CheckPod(next.pod.clone()),
            (_, Some((next, true))) => {
                let theirs = claim_meta::handed_over((*self.claim).clone(), next.clone());
                ClaimRequest::Replace(Arc::new(theirs))
            }
            (Some(now), None) => {
                let released = claim_meta::released((*self.claim).clone(), now.clone());
                ClaimRequest::Replace(Arc::new(released))
            }
            (None, None) => ClaimRequest::Delete(self.claim.clone()),
        }
    }

    pub fn handle(&mut self, response: ClaimResponse) -> Option<ClaimOutcome> {
        match response {
            ClaimResponse::Claim(claim) if self.must_read => self.read(claim),
            ClaimResponse::Claim(claim) if self.successor.is_some() => {
                Some(ClaimOutcome::HandedOver(claim))
            }
            ClaimResponse::Claim(claim) => Some(ClaimOutcome::Released(claim)),
            ClaimResponse::PodExists => {
                self.successor.iter_mut().for_each(|next| next.1 = true);
                None
            }
            ClaimResponse::PodGone => {
                self.gone_successor = self.successor.take().map(|(next, _)| next.pod.uid);
                None
            }
            ClaimResponse::Deleted | ClaimResponse::NotFound => Some(ClaimOutcome::Gone),
            ClaimResponse::Conflict => {
                self.must_read = true;
                None
            }
            ClaimResponse::Failed(why) => {
                self.must_read = true;
                Some(ClaimOutcome::Failed(why))
            }
            other => Some(ClaimOutcome::Failed(format!(
                "unexpected response: {other:?}"
            ))),
        }
    }

    fn read(&mut self, claim: Arc<AddressClaim>) -> Option<ClaimOutcome> {
        let is_same = claim.metadata.uid == self.claim.metadata.uid
            && claim.spec.pod == self.claim.spec.pod
            && claim.spec.node == self.claim.spec.node
            && claim.spec.installation == self.claim.spec.installation;
        let is_as_known = claim.metadata.resource_version == self.claim.metadata.resource_version;
        match &claim.spec.released {
            _ if !is_same => Some(ClaimOutcome::Gone),
            _ if is_as_known => {
                self.must_read = false;
                None
            }
            Some(_) => Some(ClaimOutcome::Released(claim)),
            None => Some(ClaimOutcome::Held(claim)),
        }
    }
}
