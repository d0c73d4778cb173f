//! Pending write actions.

use crds::{PeerSliceSpec, PodConfigAllowanceSpec, PodConfigStatus};

use super::objects::ClaimInfo;

/// A write that brings one object, or the slices of one segment, to the desired state.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    UpdateStatus {
        namespace: String,
        name: String,
        uid: String,
        status: Box<PodConfigStatus>,
    },
    ApplyAllowance {
        namespace: String,
        spec: Box<PodConfigAllowanceSpec>,
    },
    /// Adds this installation to the policy's `inUseBy`, or removes it.
    UpdatePolicyUse {
        name: String,
        uid: String,
        installation: String,
        in_use: bool,
    },
    ApplySlices {
        namespace: String,
        /// By name. Applied before the deletions, so that no peer is missing in between.
        put: Vec<(String, PeerSliceSpec)>,
        delete: Vec<String>,
    },
    /// Deletes a report if the live objects confirm that it is orphaned.
    DeleteReport(OrphanReport),
    /// Deletes a claim of a deleted node if the live objects confirm that its pod is gone, too.
    DeleteClaim { name: String, claim: ClaimInfo },
}

/// A report without a pod or node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanReport {
    pub namespace: String,
    /// Name of the pod and of the report.
    pub pod: String,
    pub pod_uid: String,
    pub node: String,
    /// UID and resource version of the report; a changed report is not deleted.
    pub uid: String,
    pub version: String,
}
