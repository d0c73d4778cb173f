//! What is to be written, decided and not yet done.

use crds::{PeerSliceSpec, PodConfigAllowanceSpec, PodConfigStatus};

use super::seen::Claimed;

/// What brings one object, or the slices of one segment, to what they should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Status {
        namespace: String,
        name: String,
        uid: String,
        status: Box<PodConfigStatus>,
    },
    PutAllowance {
        namespace: String,
        spec: Box<PodConfigAllowanceSpec>,
    },
    /// Says whether this installation has PodConfigs that the policy speaks of.
    PolicyUse {
        name: String,
        uid: String,
        installation: String,
        in_use: bool,
    },
    Slices {
        namespace: String,
        /// By name; what is put comes before what is deleted, so that no peer is missing in between.
        put: Vec<(String, PeerSliceSpec)>,
        delete: Vec<String>,
    },
    /// Deletes a report, if a look at what is there now says so too.
    Sweep(Orphan),
    /// Deletes a claim of a node that is gone, if a look at what is there now says that its pod is, too.
    SweepClaim { name: String, claim: Claimed },
}

/// A report that nobody seems to stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub namespace: String,
    /// The name of the pod, and of the report.
    pub pod: String,
    pub pod_uid: String,
    pub node: String,
    /// The report as it was: one that has changed since is not deleted.
    pub uid: String,
    pub version: String,
}
