//! Pure: whether a claim, or the pod that has it, is still there.

use std::sync::Arc;

use crds::AddressClaim;

use super::{
    claim_meta::ClaimName,
    operation::{ClaimOutcome, ClaimRequest, ClaimResponse},
};

#[derive(Clone, Debug)]
pub struct Verify {
    claim: Arc<AddressClaim>,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Claim,
    Pod,
}

impl Verify {
    /// Somebody says that it is gone.
    pub fn of_claim(claim: Arc<AddressClaim>) -> Self {
        Self {
            claim,
            of: Of::Claim,
        }
    }

    /// Nobody here speaks of its pod.
    pub fn of_pod(claim: Arc<AddressClaim>) -> Self {
        Self { claim, of: Of::Pod }
    }

    pub fn claim(&self) -> &Arc<AddressClaim> {
        &self.claim
    }

    pub fn name(&self) -> ClaimName {
        ClaimName::of(&self.claim)
    }

    pub fn next(&self) -> ClaimRequest {
        match self.of {
            Of::Claim => ClaimRequest::Get(self.name()),
            Of::Pod => ClaimRequest::CheckPod(self.claim.spec.pod.clone()),
        }
    }

    pub fn handle(&mut self, response: ClaimResponse) -> ClaimOutcome {
        match response {
            ClaimResponse::Claim(claim) if is_as_before(&claim, &self.claim) => {
                ClaimOutcome::Held(claim)
            }
            ClaimResponse::Claim(_) | ClaimResponse::NotFound => ClaimOutcome::Gone,
            ClaimResponse::PodExists => ClaimOutcome::PodExists,
            ClaimResponse::PodGone => ClaimOutcome::PodGone,
            ClaimResponse::Failed(why) => ClaimOutcome::Failed(why),
            other => ClaimOutcome::Failed(format!("unexpected response: {other:?}")),
        }
    }
}

fn is_as_before(now: &AddressClaim, before: &AddressClaim) -> bool {
    (&now.spec.pod, &now.spec.link, &now.spec.node)
        == (&before.spec.pod, &before.spec.link, &before.spec.node)
}
