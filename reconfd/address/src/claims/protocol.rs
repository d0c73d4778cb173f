//! Pure: requests to the backend where claims are kept, its responses, and what an operation comes to.

use std::sync::Arc;

use crds::{AddressClaim, ClaimPod, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::claim_meta::{Block, ClaimName};

/// A request to the backend.
#[derive(Clone, Debug)]
pub enum ClaimRequest {
    /// Creates the claim, if none of its name exists.
    Create(Arc<AddressClaim>),
    Get(ClaimName),
    /// All claims with this owner label.
    ListByOwner {
        domain: String,
        owner: String,
    },
    /// All claims to addresses of a block.
    ListBlock {
        domain: String,
        block: Block,
    },
    /// Writes this version, if uid and resourceVersion still match.
    Replace(Arc<AddressClaim>),
    /// Deletes it, on the same condition.
    Delete(Arc<AddressClaim>),
    /// Whether this very pod exists: a live lookup, never from a cache.
    CheckPod(ClaimPod),
}

/// The response of the backend.
#[derive(Clone, Debug)]
pub enum ClaimResponse {
    /// The current claim.
    Claim(Arc<AddressClaim>),
    /// The claim was deleted.
    Deleted,
    /// A claim of that name exists.
    Exists,
    NotFound,
    /// The claim was written by another writer in the meantime.
    Conflict,
    Listed(Vec<Arc<AddressClaim>>, Time),
    PodExists,
    /// The pod does not exist, has another uid, or has ended.
    PodGone,
    /// No response, or an inconclusive one: the request may have been executed or not.
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

/// The outcome of an attempt.
#[derive(Clone, Debug)]
pub enum ClaimOutcome {
    /// The claim is held by the requesting link.
    Held(Arc<AddressClaim>),
    Refused(Reason, String),
    /// The address belongs to another pod, described by the text.
    Taken(Arc<AddressClaim>, String),
    /// The claim is released.
    Released(Arc<AddressClaim>),
    /// The claim belongs to the successor.
    HandedOver(Arc<AddressClaim>),
    /// The claim is gone, or belongs to another pod.
    Gone,
    PodExists,
    PodGone,
    /// To be retried.
    Failed(String),
}
