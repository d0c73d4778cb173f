//! Pure: sans-I/O state machines of claim operations: each yields backend requests, consumes responses, and ends in
//! an outcome.

use std::sync::Arc;

use crds::AddressClaim;

use super::{
    acquire::Acquire,
    protocol::{ClaimOutcome, ClaimRequest, ClaimResponse},
    release::Release,
    verify::Verify,
};

/// An operation on a claim.
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

    /// The uid of a successor that was to get the claim and is gone.
    pub fn gone_successor(&self) -> Option<&str> {
        match self {
            Self::Release(release) => release.gone_successor(),
            Self::Acquire(_) | Self::Verify(_) => None,
        }
    }

    /// Short description for logs.
    pub fn describe(&self) -> String {
        match self {
            Self::Acquire(acquire) => acquire.describe(),
            Self::Release(release) => format!("release {}", release.name()),
            Self::Verify(verify) => format!("verify {}", verify.name()),
        }
    }
}
