//! Pure: verifies that a claim, or its pod, still exists.

use std::sync::Arc;

use crds::AddressClaim;

use super::{
    claim_meta::ClaimName,
    protocol::{ClaimOutcome, ClaimRequest, ClaimResponse},
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
    /// For a claim that was reported as deleted.
    pub fn of_claim(claim: Arc<AddressClaim>) -> Self {
        Self {
            claim,
            of: Of::Claim,
        }
    }

    /// For a claim whose pod is not known on this node.
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
