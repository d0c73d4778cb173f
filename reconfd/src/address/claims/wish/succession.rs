//! Pure: the address is that of another pod of the same controller. Who waits for it is written on the claim, where
//! the daemon of that pod sees it; it hands the address over when the time has come and its own link is gone.

use std::sync::Arc;

use crds::{AddressClaim, claim::ClaimSuccessor};

use super::{
    super::errand::{End, Told},
    State, Wish,
};

impl Wish {
    pub(super) fn wait_for(&mut self, claim: Arc<AddressClaim>) -> Option<End> {
        let own = self.claimant.successor();
        let born = |next: &ClaimSuccessor| next.created.as_ref().map(|time| time.0);
        match claim.spec.successor.clone() {
            Some(next) if next == own => self.taken_by(claim),
            // The youngest is to have it.
            Some(next) if next.pod.uid != own.pod.uid && born(&next) >= born(&own) => {
                self.go_to(State::LookUpSuccessor(claim, next.pod))
            }
            _ => self.go_to(State::Announce(claim)),
        }
    }

    /// `claim`: as it was before.
    pub(super) fn follow_succession(
        &mut self,
        claim: Arc<AddressClaim>,
        told: Told,
    ) -> Option<End> {
        match told {
            Told::PodIsThere => self.taken_by(claim),
            Told::PodIsGone => self.go_to(State::Announce(claim)),
            Told::Claim(now) => self.taken_by(now),
            Told::Overtaken | Told::Missing => self.go_to(State::Read(claim.spec.address)),
            other => Some(End::Failed(format!("unexpected response: {other:?}"))),
        }
    }
}
