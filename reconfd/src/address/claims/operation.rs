//! Pure: what is asked of the place where claims are kept, what it says, and how that ends. Who does the
//! asking is not known here.

use std::sync::Arc;

use crds::{AddressClaim, ClaimPod, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    acquire::Acquire,
    claim_meta::{Block, ClaimName},
    release::Release,
    verify::Verify,
};

/// One thing to ask.
#[derive(Clone, Debug)]
pub enum ClaimRequest {
    /// Make this claim, if there is none of its name.
    Create(Arc<AddressClaim>),
    Get(ClaimName),
    /// All claims with this owner's label.
    ListByOwner {
        domain: String,
        owner: String,
    },
    /// All claims to addresses of a block.
    ListBlock {
        domain: String,
        block: Block,
    },
    /// Write this version, if the claim is still what its uid and resourceVersion say.
    Replace(Arc<AddressClaim>),
    /// Delete it, on the same condition.
    Delete(Arc<AddressClaim>),
    /// Whether this very pod is there: by a look at it, never from memory.
    CheckPod(ClaimPod),
}

/// What was said.
#[derive(Clone, Debug)]
pub enum ClaimResponse {
    /// The claim as it is now.
    Claim(Arc<AddressClaim>),
    /// It was deleted.
    Deleted,
    /// There is one of that name.
    Exists,
    NotFound,
    /// Somebody else has written it meanwhile.
    Conflict,
    Listed(Vec<Arc<AddressClaim>>, Time),
    PodExists,
    /// No such pod, another of its name, or one that has ended.
    PodGone,
    /// No answer, or one that says nothing: it may have been done or not.
    Failed(String),
}

impl ClaimRequest {
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Get(_) => "get",
            Self::ListByOwner { .. } | Self::ListBlock { .. } => "list",
            Self::Replace(_) => "update",
            Self::Delete(_) => "delete",
            Self::CheckPod(_) => "look",
        }
    }
}

impl ClaimResponse {
    pub fn result(&self) -> &'static str {
        match self {
            Self::Exists | Self::Conflict => "conflict",
            Self::Failed(_) => "failed",
            _ => "ok",
        }
    }
}

/// How an errand ended, for now.
#[derive(Clone, Debug)]
pub enum ClaimOutcome {
    /// The claim stands, and is the asker's.
    Held(Arc<AddressClaim>),
    Refused(Reason, String),
    /// The address is another's, who is called so in words.
    Taken(Arc<AddressClaim>, String),
    /// The claim is given back.
    Released(Arc<AddressClaim>),
    /// The claim is the successor's.
    HandedOver(Arc<AddressClaim>),
    /// The claim is not there any more, or is another's.
    Gone,
    PodExists,
    PodGone,
    /// To be tried again.
    Failed(String),
}

/// One after the other: what to ask next, and what follows from the answer.
#[derive(Clone, Debug)]
pub enum ClaimOperation {
    Acquire(Box<Acquire>),
    Release(Box<Release>),
    Verify(Box<Verify>),
}

impl ClaimOperation {
    pub fn next(&self) -> ClaimRequest {
        match self {
            Self::Acquire(acquire) => acquire.next(),
            Self::Release(release) => release.next(),
            Self::Verify(verify) => verify.next(),
        }
    }

    pub fn handle(&mut self, response: ClaimResponse) -> Option<ClaimOutcome> {
        match self {
            Self::Acquire(acquire) => acquire.handle(response),
            Self::Release(release) => release.handle(response),
            Self::Verify(verify) => Some(verify.handle(response)),
        }
    }

    /// The claim that it is about, if there is one already.
    pub fn claim(&self) -> Option<&Arc<AddressClaim>> {
        match self {
            Self::Acquire(_) => None,
            Self::Release(release) => Some(release.claim()),
            Self::Verify(verify) => Some(verify.claim()),
        }
    }

    /// The uid of a successor that was to have the claim and is not there.
    pub fn gone_successor(&self) -> Option<&str> {
        match self {
            Self::Release(release) => release.gone_successor(),
            Self::Acquire(_) | Self::Verify(_) => None,
        }
    }

    /// What it is about, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Acquire(acquire) => acquire.describe(),
            Self::Release(release) => format!("give {} back", release.name()),
            Self::Verify(verify) => format!("look after {}", verify.name()),
        }
    }
}
