//! Pure: whether a claim, or the pod that has it, is still there.

use std::sync::Arc;

use crds::AddressClaim;

use super::{
    errand::{Ask, End, Told},
    paper::Name,
};

#[derive(Clone, Debug)]
pub struct Doubt {
    claim: Arc<AddressClaim>,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Claim,
    Pod,
}

impl Doubt {
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

    pub fn name(&self) -> Name {
        Name::of(&self.claim)
    }

    pub fn next(&self) -> Ask {
        match self.of {
            Of::Claim => Ask::Get(self.name()),
            Of::Pod => Ask::LookUp(self.claim.spec.pod.clone()),
        }
    }

    pub fn heard(&mut self, told: Told) -> End {
        match told {
            Told::Claim(claim) if is_as_before(&claim, &self.claim) => End::Held(claim),
            Told::Claim(_) | Told::Missing => End::Gone,
            Told::PodIsThere => End::PodIsThere,
            Told::PodIsGone => End::PodIsGone,
            Told::Failed(why) => End::Failed(why),
            other => End::Failed(format!("an answer to something else: {other:?}")),
        }
    }
}

fn is_as_before(now: &AddressClaim, before: &AddressClaim) -> bool {
    (&now.spec.pod, &now.spec.link, &now.spec.node)
        == (&before.spec.pod, &before.spec.link, &before.spec.node)
}
