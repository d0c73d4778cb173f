//! Who has which address, and how a link comes by one. Whoever asks never waits: what is missing is asked
//! for behind his back, and he is told when the answer has changed.

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
use crate::source::Trigger;

/// Pure: how a link comes by one address.
pub mod acquire;
/// Pure: what a claim says.
pub mod claim_meta;
/// Pure: which pod takes an address over from which.
pub mod lineage;
/// Pure: what is asked of the place where claims are kept.
pub mod operation;
/// Pure: a claim is given back.
mod release;
/// Pure: what this node holds, asks for and gives back.
mod state;
/// Pure: whether a claim, or its pod, is still there.
mod verify;

use self::claim_meta::ClaimName;
use self::lineage::Lineage;
use self::operation::{ClaimOperation, ClaimOutcome, ClaimRequest, ClaimResponse};
pub use self::state::{AllocatorState, Counts, Now, TaskId};

/// So many errands are begun at once.
const BATCH: usize = 64;

/// A link of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkKey {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub link: String,
}

/// The addresses that a link is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    pub domain: String,
    /// Each of these.
    pub addresses: Vec<IpAddr>,
    /// One of each of these.
    pub ranges: Vec<Range>,
    /// What of the ranges others have: none of it is chosen anew.
    pub excluded: Vec<IpNetwork>,
    /// Why nothing new is claimed; what is held stays.
    pub refusal: Option<(Reason, String)>,
    /// A pod of this name may have held addresses before: what it had is looked for first.
    pub may_return: bool,
    /// Whom the pod succeeds, and who succeeds it.
    pub lineage: Lineage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// One address for each range, in order.
    Held(Vec<IpAddr>),
    Pending(String),
    Refused(Reason, String),
}

/// The claims of this node. Cheap to clone.
#[derive(Clone)]
pub struct ClaimAllocator(Arc<Shared>);

struct Shared {
    state: Mutex<AllocatorState>,
    backend: Backend,
    /// What went wrong last.
    last_error: Mutex<String>,
    /// Held by who does what is due, on the spot.
    at_work: Mutex<()>,
}

/// Does what is asked, and says what came of it.
pub type SyncBackend = Box<dyn Fn(&ClaimRequest) -> ClaimResponse + Send + Sync>;

/// How the place is reached where claims are kept.
pub struct Backend {
    /// Answers on the spot; without it, whoever rings is served by a thread of the source's own.
    pub sync: Option<SyncBackend>,
    /// There may be something to do, or to do sooner.
    pub wake: Box<dyn Fn() + Send + Sync>,
    pub notify: Box<dyn Fn(Trigger) + Send + Sync>,
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

    /// Of a program that gives out no addresses.
    pub fn disabled() -> Self {
        let backend = Backend {
            sync: None,
            wake: Box::new(|| ()),
            notify: Box::new(|_| ()),
        };
        Self::new(AllocatorState::new("", "", Duration::ZERO), backend)
    }

    /// Which addresses the link has, or why it has none yet. When the answer has changed,
    /// [`Trigger::Claims`] is told.
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

    /// The link is to have no address, or none any more.
    pub fn drop_link(&self, key: &LinkKey) {
        self.state().drop_link(key);
    }

    /// The links of a pod that are there or wanted, with the addresses that they have: everything else that it
    /// holds is given back. Called when the links are gone.
    pub fn retain(&self, uid: &str, kept: &BTreeMap<String, BTreeSet<IpAddr>>) {
        self.state().retain(uid, kept, &now());
        self.kick();
    }

    /// Of a pod that nobody can look into these links are there: what its other links held is given back.
    pub fn retain_links(&self, uid: &str, links: &BTreeSet<String>) {
        self.state().retain_links(uid, links, &now());
        self.kick();
    }

    /// The pod and its links are proved gone from this node.
    pub fn release_pod(&self, uid: &str) {
        self.state().release_pod(uid, &now());
        self.kick();
    }

    /// Links that stand have these addresses: should the claim be gone, that very address is asked for.
    pub fn restore(&self, uid: &str, link: &str, addresses: &BTreeSet<IpAddr>) {
        self.state().restore(uid, link, addresses);
    }

    /// Gives back what is held for pods that are not there. `there` has all with a record, a link or a namespace.
    pub fn sweep(&self, live: &BTreeSet<String>) {
        let is_authoritative = self.0.backend.sync.is_some();
        self.state().sweep(live, is_authoritative, &now());
        self.kick();
    }

    /// The pods that have unreleased claims here.
    pub fn holders(&self) -> BTreeSet<String> {
        self.state().holders()
    }

    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// All claims of this node have been heard once.
    pub fn set_synced(&self) {
        let affected = self.state().set_synced();
        self.notify(affected, None);
    }

    /// A claim of this node is as this.
    pub fn applied(&self, claim: impl Into<Arc<AddressClaim>>) {
        let affected = self.state().applied(claim.into(), &now());
        self.notify(affected, None);
        (self.0.backend.wake)();
    }

    /// A claim is said to be gone from this node.
    pub fn deleted(&self, name: &ClaimName) {
        let affected = self.state().deleted(name, &now());
        self.notify(affected, None);
        (self.0.backend.wake)();
    }

    /// The names of all that are known of.
    pub fn names(&self) -> Vec<ClaimName> {
        self.state().names()
    }

    /// What is due, at most so many.
    pub fn take_due(&self, most: usize) -> Vec<(TaskId, ClaimOperation)> {
        self.state().take_due(Instant::now(), most)
    }

    pub fn complete(&self, id: TaskId, operation: ClaimOperation, outcome: ClaimOutcome) {
        self.complete_for(id, operation, outcome, None);
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.state().next_due()
    }

    /// Does what is due, on the spot; `asker` needs not be told.
    pub fn run_due(&self, key: Option<&str>) {
        let Some(tell) = &self.0.backend.sync else {
            return;
        };
        // Whoever comes while another does it has it done when he returns.
        let _at_work = self.0.at_work.lock();
        loop {
            let due = self.take_due(BATCH);
            if due.is_empty() {
                return;
            }
            for (id, mut operation) in due {
                let outcome = loop {
                    if let Some(outcome) = operation.handle(tell(&operation.next())) {
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

    /// The same last_error with many addresses is told once.
    fn log_failure(&self, operation: &ClaimOperation, why: &str) {
        let mut last = self
            .0
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last != why {
            tracing::warn!("{}: {why}; will retry", operation.describe());
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
                (self.0.backend.notify)(Trigger::Claims { uid });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, AllocatorState> {
        // A panic has been told by the panic hook; what the book says is looked up again in any case.
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
