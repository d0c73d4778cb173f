//! What the engine calls: the runner, which executes chains, and the host, which knows pods, policies and the kernel.
//! Both are the daemon's. Calls come from threads of the engine and may block, within the limits of each chain.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    sync::Arc,
};

use serde_json::Value;

use cni::{FrozenChain, request::ValidAttachment};

use crate::{
    entry::{Entry, Facts, MultusFile, Slot},
    status::Failure,
};

/// The pod's network namespace. Without one, plugins get an empty `CNI_NETNS`.
pub type NetnsFd = Option<Arc<OwnedFd>>;

/// Executes frozen chains.
///
/// Chains of one container never run at the same time, whoever asked for them: when the daemon ends during a chain,
/// the runner ends that chain before it begins another one of the container.
pub trait Runner: Send + Sync {
    /// Binaries, VERSION, STATUS.
    fn preflight(&self, chain: &FrozenChain) -> Result<Ready, Failure>;
    /// ADD forward. A failed chain is not deleted here: the engine does it.
    fn add(&self, entry: &Entry, netns: NetnsFd) -> AddOutcome;
    /// DEL backward: with `result` as the previous result, and of the plugins that remain. The first try halts at an
    /// error; later ones run all of them.
    fn del(&self, entry: &Entry, netns: NetnsFd) -> DelOutcome;
    /// CHECK forward, of the plugins at these places of the chain, or of all.
    fn check(&self, entry: &Entry, which: Option<&BTreeSet<usize>>, netns: NetnsFd)
    -> CheckOutcome;
    /// GC of a chain's network: what is not among these is deleted. Every plugin runs.
    fn collect(
        &self,
        chain: &FrozenChain,
        valid: &BTreeSet<ValidAttachment>,
    ) -> Result<(), Failure>;
    /// What Multus has stored of an interface that it attached at pod start.
    fn read_multus(&self, slot: &Slot) -> Result<Option<MultusFile>, Failure>;
    /// Removes that, as libcni does after DEL. A missing file counts as removed.
    fn remove_multus(&self, entry: &Entry) -> Result<(), Failure>;
}

/// Knows pods, policies and the kernel.
pub trait Host: Send + Sync {
    /// Opens the namespace that the entry was stored for, and verifies it by its cookie.
    fn open(&self, entry: &Entry) -> Netns;
    /// Before ADD: the name is free in the pod. Returns what the judge must know of the time before.
    fn before_add(&self, entry: &Entry, netns: &OwnedFd) -> Result<Option<Value>, Failure>;
    /// After ADD: whether result and kernel are as the rule allows. Must give the same answer when it is asked again.
    fn judge(&self, entry: &Entry, netns: &OwnedFd) -> Verdict;
    /// After a result with gateways was accepted: sets default routes through the link in place of those that were noted
    /// before ADD. Once more, it changes nothing.
    fn set_default_routes(&self, entry: &Entry, netns: &OwnedFd) -> Result<(), Failure>;
    /// What of these routes is not there any more.
    fn check_default_routes(&self, entry: &Entry, netns: &OwnedFd) -> Option<Failure>;
    /// Before what Multus attached is deleted: what the kernel shows of it, by its name, else by the
    /// MAC address of its result.
    fn look(&self, entry: &Entry, netns: &OwnedFd) -> Result<Facts, Failure>;
    /// Before DEL: gives a renamed link its name back, and the pod its default routes. Of an entry without a result, returns one that the kernel shows.
    fn before_del(&self, entry: &Entry, netns: &OwnedFd) -> Result<Option<Value>, Failure>;
    /// After DEL: whether the link is gone.
    fn after_del(&self, entry: &Entry, netns: &OwnedFd) -> Remains;
}

/// A chain that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    /// Of the binaries, by type: frozen with the chain.
    pub digests: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AddOutcome {
    /// With the final result.
    Added(Value),
    /// A plugin failed, or a limit was reached. Earlier ones have run: with the result of the last that succeeded.
    Failed(Failure, Option<Value>),
    /// No plugin has run.
    NotRun(Failure),
    /// The connection broke: plugins may have run.
    Unknown(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DelOutcome {
    Deleted,
    /// With the places of the plugins that failed or did not run.
    Failed(BTreeSet<usize>, Failure),
    /// No plugin has run. With `RunnerUnavailable` it counts as no try; a chain that cannot run, because a binary is
    /// gone or another one, has failed, so that such tries have an end.
    NotRun(Failure),
    /// The connection broke: plugins may have run.
    Unknown(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    pub passed: BTreeSet<usize>,
    /// Of the first plugin that did not pass.
    pub failure: Option<Failure>,
    /// Whether all plugins that were asked for have run.
    pub is_complete: bool,
}

#[derive(Clone, Debug)]
pub enum Netns {
    Open(Arc<OwnedFd>),
    Gone,
    /// Neither open nor known to be gone.
    Unknown(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted(Facts),
    /// DEL follows.
    Refused(Facts, Failure),
    /// The judge waits for something, such as a claim of the address; it is asked again.
    Later(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    Nothing,
    /// DEL left the link, and it was deleted.
    Deleted(Failure),
    /// DEL left the link, and it cannot be deleted. It is looked at again after the backoff.
    Link(Failure),
}
