//! What is reported about an attachment.

use serde_json::Value;

use crate::entry::{Entry, PodRef, Requester, Why};

/// Why something did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: FailureReason,
    /// For people; without configurations.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureReason {
    PluginFailed,
    PluginTimeout,
    PluginNotFound,
    /// STATUS says 50: not yet.
    PluginNotAvailable,
    ResultInvalid,
    /// The interface name exists in the pod, or another link of the pod has it.
    NameTaken,
    /// DEL succeeded, and the link was still there.
    DetachIncomplete,
    Drifted,
    /// The pod's network namespace could not be opened, though it is not known to be gone.
    SandboxUnknown,
    /// The entry could not be written or removed.
    StoreFailed,
    /// The runner did not execute the chain.
    RunnerUnavailable,
    /// The judge's own reason.
    Judged(&'static str),
}

/// State of one requested link.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkState {
    /// Not begun, or it waits for the reason given.
    Pending(String),
    Attaching,
    /// Attached with this result. A failed CHECK, or an entry that could not be written, is stated beside it.
    Attached {
        entry: Box<Entry>,
        degraded: Option<Failure>,
    },
    /// An earlier attachment of the same name must go first.
    Detaching(Option<Failure>),
    /// What Multus attached is undone.
    Detached,
    /// The newest try failed; the next one follows the backoff.
    Failed(Failure),
}

/// State of a link that is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    pub id: String,
    pub ifname: String,
    pub requester: Requester,
    pub why: Why,
    pub failure: Option<Failure>,
}

/// State of all links of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodOutcome {
    /// In the order of the request.
    pub links: Vec<LinkState>,
    /// What is stored and not requested.
    pub leaving: Vec<Leaving>,
}

/// Something that happened. It is sent after it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub pod: PodRef,
    pub ifname: String,
    pub network: String,
    pub requester: Requester,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// With the final result.
    Attached(Option<Value>),
    Detached(Why),
    AttachFailed(Failure),
    DetachFailed(Failure),
    /// DEL has succeeded, the link stayed, and the kernel's link was deleted.
    DetachIncomplete(Failure),
    /// It waits for something that is no failure.
    Waiting(String),
    CheckPassed,
    CheckFailed(Failure),
    /// The file is in `lost`; nothing is tried again.
    Lost(Failure),
}

/// Number of entries by state, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub adding: usize,
    pub added: usize,
    pub attached: usize,
    pub deleting: usize,
    /// Files that are left alone.
    pub unreadable: usize,
    /// Files in `lost`, as far as [`crate::engine::Engine::count_lost`] and later losses say.
    pub lost: usize,
}

impl Failure {
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, message }
    }
}
