//! Address allocation for links. Lookups never block: missing claims are acquired in the background, and
//! the pods that are affected are notified when the result has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crds::{AddressClaim, Reason};
use ipnetwork::IpNetwork;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::range::Range;

/// Pure: state machine that acquires one address for a link.
pub mod acquire;
/// Pure: fields and labels of a claim.
pub mod claim_meta;
/// Pure: which pod takes an address over from which.
pub mod lineage;
/// Pure: operations on claims, as state machines.
pub mod operation;
/// Pure: requests to the backend and its responses.
pub mod protocol;
/// Pure: state machine that releases a claim.
mod release;
/// Pure: the claims that this node holds, acquires and releases.
mod state;
/// Pure: verifies that a claim, or its pod, still exists.
mod verify;

use self::claim_meta::ClaimName;
use self::lineage::Lineage;
use self::operation::ClaimOperation;
use self::protocol::{ClaimOutcome, ClaimRequest, ClaimResponse};
pub use self::state::{AllocatorState, Counts, Now, TaskId};

/// Number of operations started together.
const BATCH: usize = 64;

/// Key of a pod's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkKey {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub link: String,
}

/// The addresses that a link needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    pub domain: String,
    /// All of these.
    pub addresses: Vec<IpAddr>,
    /// One of each of these.
    pub ranges: Vec<Range>,
    /// Parts of the ranges that are used by others: no new address is chosen from them.
    pub excluded: Vec<IpNetwork>,
    /// Why nothing new is claimed; held addresses are kept.
    pub refusal: Option<(Reason, String)>,
    /// An earlier pod of this name may have held addresses: its claims are looked up first.
    pub may_return: bool,
    /// Controller and revision of the pod, which decide about hand-over.
    pub lineage: Lineage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// One address for each range, in order.
    Held(Vec<IpAddr>),
    Pending(String),
    Refused(Reason, String),
}

/// Handle to the claims of this node. Cheap to clone.
#[derive(Clone)]
pub struct ClaimAllocator(Arc<Shared>);

struct Shared {
    state: Mutex<AllocatorState>,
    backend: Backend,
    /// The last logged error.
    last_error: Mutex<String>,
    /// Held while a synchronous backend runs due operations.
    at_work: Mutex<()>,
}

/// Executes a request and returns its response.
pub type SyncBackend = Box<dyn Fn(&ClaimRequest) -> ClaimResponse + Send + Sync>;

/// Access to the store of the claims.
pub struct Backend {
    /// Executes requests synchronously; without it, a thread of the source runs the operations after `wake`.
    pub sync: Option<SyncBackend>,
    /// Called when there may be operations that are due, or due earlier.
    pub wake: Box<dyn Fn() + Send + Sync>,
    /// Called with the uid of a pod when the result for one of its links has changed.
    pub notify: Box<dyn Fn(String) + Send + Sync>,
}

impl ClaimAllocator {
    pub fn new(state: AllocatorState, backend: Backend) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            backend,
            last_error: Mutex::default(),
            at_work: Mutex::default(),
        }))
    }

    /// An allocator that allocates nothing.
    pub fn disabled() -> Self {
        let backend = Backend {
            sync: None,
            wake: Box::new(|| ()),
            notify: Box::new(|_| ()),
        };
        Self::new(AllocatorState::new("", "", Duration::ZERO), backend)
    }

    /// Returns the addresses of the link, or why it has none yet. The pod is notified when the result has changed.
    pub fn allocate(&self, key: &LinkKey, request: &AddressRequest) -> Allocation {
        let allocation = self.state().allocate(key, request, &now());
        if !matches!(allocation, Allocation::Pending(_)) {
            return allocation;
        }
        if self.0.backend.sync.is_none() {
            (self.0.backend.wake)();
            return allocation;
        }
        self.run_due(Some(&key.uid));
        self.state().allocate(key, request, &now())
    }

    /// Drops the link's request: it needs no address.
    pub fn drop_link(&self, key: &LinkKey) {
        self.state().drop_link(key);
    }

    /// Keeps the addresses of the pod's present and desired links, and releases everything else that it holds. Called
    /// after links were deleted.
    pub fn retain(&self, uid: &str, kept: &BTreeMap<String, BTreeSet<IpAddr>>) {
        self.state().retain(uid, kept, &now());
        self.kick();
    }

    /// For a pod whose netns cannot be inspected: keeps what these present links hold, and releases the rest.
    pub fn retain_links(&self, uid: &str, links: &BTreeSet<String>) {
        self.state().retain_links(uid, links, &now());
        self.kick();
    }

    /// Releases all claims of the pod, which is proved gone from this node with its links.
    pub fn release_pod(&self, uid: &str) {
        self.state().release_pod(uid, &now());
        self.kick();
    }

    /// Records the addresses of present links: if such a claim is gone, the same address is acquired again.
    pub fn restore(&self, uid: &str, link: &str, addresses: &BTreeSet<IpAddr>) {
        self.state().restore(uid, link, addresses);
    }

    /// Releases claims of pods that are gone. `live`: all pods with a record, a link or a network namespace.
    pub fn sweep(&self, live: &BTreeSet<String>) {
        let is_authoritative = self.0.backend.sync.is_some();
        self.state().sweep(live, is_authoritative, &now());
        self.kick();
    }

    /// The pods with unreleased claims on this node.
    pub fn holders(&self) -> BTreeSet<String> {
        self.state().holders()
    }

    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// The initial list of this node's claims is complete.
    pub fn set_synced(&self) {
        let affected = self.state().set_synced();
        self.notify(affected, None);
    }

    /// The watch reports a claim of this node as created or changed.
    pub fn applied(&self, claim: impl Into<Arc<AddressClaim>>) {
        let affected = self.state().applied(claim.into(), &now());
        self.notify(affected, None);
        (self.0.backend.wake)();
    }

    /// The watch reports a claim as deleted, or moved to another node.
    pub fn deleted(&self, name: &ClaimName) {
        let affected = self.state().deleted(name, &now());
        self.notify(affected, None);
        (self.0.backend.wake)();
    }

    /// The names of all known claims.
    pub fn names(&self) -> Vec<ClaimName> {
        self.state().names()
    }

    /// Takes at most `most` due operations.
    pub fn take_due(&self, most: usize) -> Vec<(TaskId, ClaimOperation)> {
        self.state().take_due(Instant::now(), most)
    }

    pub fn complete(&self, id: TaskId, operation: ClaimOperation, outcome: ClaimOutcome) {
        self.complete_for(id, operation, outcome, None);
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.state().next_due()
    }

    /// Runs due operations on a synchronous backend; the pod `key` is not notified.
    pub fn run_due(&self, key: Option<&str>) {
        let Some(execute) = &self.0.backend.sync else {
            return;
        };
        // A concurrent caller waits here; its operations are done by the time it gets the lock.
        let _at_work = self.0.at_work.lock();
        loop {
            let due = self.take_due(BATCH);
            if due.is_empty() {
                return;
            }
            for (id, mut operation) in due {
                let outcome = loop {
                    if let Some(outcome) = operation.handle(execute(&operation.next())) {
                        break outcome;
                    }
                };
                self.complete_for(id, operation, outcome, key);
            }
        }
    }

    fn complete_for(
        &self,
        id: TaskId,
        operation: ClaimOperation,
        outcome: ClaimOutcome,
        key: Option<&str>,
    ) {
        if let ClaimOutcome::Failed(why) = &outcome {
            self.log_failure(&operation, why);
        }
        let affected = self.state().complete(id, operation, outcome, &now());
        self.notify(affected, key);
    }

    /// Logs an error once, although it may affect many addresses.
    fn log_failure(&self, operation: &ClaimOperation, why: &str) {
        let mut last = self
            .0
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last != why {
            tracing::warn!("cannot {}, will retry: {why}", operation.describe());
            why.clone_into(&mut last);
        }
    }

    fn kick(&self) {
        match self.0.backend.sync {
            Some(_) => self.run_due(None),
            None => (self.0.backend.wake)(),
        }
    }

    fn notify(&self, affected: BTreeSet<String>, key: Option<&str>) {
        for uid in affected {
            if key != Some(uid.as_str()) {
                (self.0.backend.notify)(uid);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, AllocatorState> {
        // The panic hook has logged the panic; the state is verified against the store in any case.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        time: Time(Timestamp::now()),
    }
}

#[cfg(test)]
mod tests;
