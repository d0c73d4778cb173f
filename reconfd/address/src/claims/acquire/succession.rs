//! Pure: the address is held by another pod of the same controller. The waiting pod is registered on the claim, where
//! the holder's daemon sees it; that daemon hands the address over when it is due and its own link is deleted.

use std::sync::Arc;

use crds::{AddressClaim, claim::ClaimSuccessor};

use super::{
    super::protocol::{ClaimOutcome, ClaimResponse},
    Acquire, State,
};

impl Acquire {
    pub(super) fn wait_for(&mut self, claim: Arc<AddressClaim>) -> Option<ClaimOutcome> {
        let own = self.claimant.successor();
        let created = |next: &ClaimSuccessor| next.created.as_ref().map(|time| time.0);
        match claim.spec.successor.clone() {
            Some(next) if next == own => self.taken_by(claim),
            // The youngest successor has priority.
            Some(next) if next.pod.uid != own.pod.uid && created(&next) >= created(&own) => {
                self.transition(State::CheckSuccessor(claim, next.pod))
            }
            _ => self.transition(State::Announce(claim)),
        }
    }

    /// `claim`: as it was before.
    pub(super) fn advance_succession(
        &mut self,
        claim: Arc<AddressClaim>,
        response: ClaimResponse,
    ) -> Option<ClaimOutcome> {
        match response {
            ClaimResponse::PodExists => self.taken_by(claim),
            ClaimResponse::PodGone => self.transition(State::Announce(claim)),
            ClaimResponse::Claim(now) => self.taken_by(now),
            ClaimResponse::Conflict | ClaimResponse::NotFound => {
                self.transition(State::Read(claim.spec.address))
            }
            other => Some(ClaimOutcome::Failed(format!(
                "unexpected response: {other:?}"
            ))),
        }
    }
}
