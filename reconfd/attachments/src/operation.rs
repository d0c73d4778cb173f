//! One operation on one attachment, as a state machine without I/O: it yields requests, consumes responses, and ends
//! with what is stored then. Each request that changes something outside is preceded by the write that says so, so an
//! operation may be cut off at any request: what is stored tells the next daemon what to do.

/// ADD, and the judgement of its result.
mod attach;
/// CHECK.
mod check;
/// DEL, and the removal of the entry.
mod delete;
/// DEL of what Multus attached.
mod multus;
/// Requests and responses.
mod protocol;
/// What it is about.
mod scope;

use std::time::Duration;

pub use self::protocol::{Opened, Request, Response};

use crate::{
    entry::{Entry, Why},
    ports::Ready,
    status::{Change, Event, Failure, FailureReason},
};

/// An operation after a response.
#[derive(Debug)]
pub enum Progress {
    Next(Box<Operation>),
    End(Ending),
}

/// The end of an operation.
#[derive(Debug, PartialEq)]
pub struct Ending {
    /// What is stored for the slot; none: no file.
    pub stored: Option<Box<Entry>>,
    pub result: EndResult,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndResult {
    Attached,
    Detached,
    /// What Multus attached is undone, or was not there.
    TakenOver,
    /// The next chain, of this specification, can run.
    Ready(String),
    /// Requester and place were stored.
    Adopted,
    /// Moved to `lost`.
    Lost,
    /// To be begun again soon; no failure.
    Waiting(String),
    Failed(Failure),
    CheckPassed,
    CheckFailed(Failure),
}

/// Limits of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// An attachment whose namespace is gone is lost after failing for so long.
    pub lost_after: Duration,
    /// Time since the try before, if that failed and this daemon made it.
    pub failing_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preflight,
    Open,
    BeforeAdd,
    Create,
    Add,
    RemoveUnrun,
    SaveResult,
    Judge,
    SetRoutes,
    SaveAttached,
    SaveDeleting,
    BeforeDel,
    Del,
    AfterDel,
    SaveFailed,
    Remove,
    Lose,
    Check,
    SaveBaseline,
    ReadMultus,
    Look,
    RemoveMultus,
    SaveDetached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Probe,
    Attach,
    Delete,
    Judge,
    Check,
    Adopt,
    TakeOver,
}

/// One operation on one slot.
#[derive(Clone, Debug)]
pub struct Operation {
    goal: Goal,
    step: Step,
    /// What is stored; none: no file.
    stored: Option<Box<Entry>>,
    /// The entry that is worked on.
    entry: Box<Entry>,
    /// What is attached once the entry is gone.
    next: Option<Box<Entry>>,
    /// Whether the namespace is open.
    is_alive: bool,
    terms: Terms,
    /// Why an ADD is undone.
    failure: Option<Failure>,
    /// Why the newest DEL failed.
    del_failure: Option<Failure>,
    /// Whether Multus has a file of the entry.
    is_found: bool,
    events: Vec<Event>,
}

impl Operation {
    /// Attaches an entry in phase `Adding` to an empty slot.
    pub fn attach(next: Entry, terms: Terms) -> Self {
        Self::new(Goal::Attach, Step::Preflight, None, next, terms)
    }

    /// Deletes what is stored, and attaches `next` in its place, if the next chain can run at all.
    pub fn change(stored: Entry, why: Why, next: Entry, terms: Terms) -> Self {
        let mut operation = Self::delete(stored, why, terms);
        operation.step = Step::Preflight;
        operation.next = Some(Box::new(next));
        operation
    }

    /// Only finds out whether the next chain can run at all.
    pub fn probe(stored: Entry, next: Entry, terms: Terms) -> Self {
        let entry = stored.clone();
        let mut operation = Self::new(Goal::Probe, Step::Preflight, Some(stored), entry, terms);
        operation.next = Some(Box::new(next));
        operation
    }

    /// Deletes what is stored.
    pub fn delete(stored: Entry, why: Why, terms: Terms) -> Self {
        let entry = stored.clone().deleting(why);
        let mut operation = Self::new(Goal::Delete, Step::Open, Some(stored), entry, terms);
        if why == Why::Rebooted {
            // A cookie of an earlier boot may be another namespace's in this one.
            operation.step = operation.first_step_of_delete();
        }
        operation
    }

    /// Judges a result that is stored.
    pub fn judge(stored: Entry, terms: Terms) -> Self {
        let entry = stored.clone();
        Self::new(Goal::Judge, Step::Open, Some(stored), entry, terms)
    }

    /// Runs CHECK; the first one is the baseline of later ones.
    pub fn check(stored: Entry, terms: Terms) -> Self {
        let entry = stored.clone();
        Self::new(Goal::Check, Step::Open, Some(stored), entry, terms)
    }

    /// Stores who requests the same attachment now, and its place among others.
    pub fn adopt(stored: Entry, next: Entry, terms: Terms) -> Self {
        let mut entry = stored.clone();
        (entry.requester, entry.after, entry.order) = (next.requester, next.after, next.order);
        Self::new(Goal::Adopt, Step::SaveAttached, Some(stored), entry, terms)
    }

    fn new(goal: Goal, step: Step, stored: Option<Entry>, entry: Entry, terms: Terms) -> Self {
        Self {
            goal,
            step,
            stored: stored.map(Box::new),
            entry: Box::new(entry),
            next: None,
            is_alive: false,
            terms,
            failure: None,
            del_failure: None,
            is_found: false,
            events: Vec::new(),
        }
    }

    /// The current request.
    pub fn request(&self) -> Request {
        let entry = || self.entry.clone();
        match self.step {
            Step::Preflight => {
                let chain = &self.next.as_ref().unwrap_or(&self.entry).chain;
                Request::Preflight(Box::new(chain.clone()))
            }
            Step::Open => Request::Open(entry()),
            Step::BeforeAdd => Request::BeforeAdd(entry()),
            Step::Create => Request::Create(entry()),
            Step::Add => Request::Add(entry()),
            Step::SaveResult
            | Step::SaveDetached
            | Step::SaveAttached
            | Step::SaveDeleting
            | Step::SaveFailed
            | Step::SaveBaseline => Request::Save(entry()),
            Step::Judge => Request::Judge(entry()),
            Step::SetRoutes => Request::SetRoutes(entry()),
            Step::BeforeDel => Request::BeforeDel(entry()),
            Step::Del => Request::Del(entry()),
            Step::AfterDel => Request::AfterDel(entry()),
            Step::Remove | Step::RemoveUnrun => Request::Remove(self.entry.id()),
            Step::Lose => Request::Lose(self.entry.id()),
            Step::Check => Request::Check(entry(), self.entry.baseline.clone()),
            Step::ReadMultus => Request::ReadMultus(self.entry.slot()),
            Step::Look => Request::Look(entry()),
            Step::RemoveMultus => Request::RemoveMultus(entry()),
        }
    }

    /// Consumes the response to the current request.
    pub fn respond(self, response: Response) -> Progress {
        match (self.step, response) {
            (Step::Preflight, Response::Preflight(ready)) => self.preflight(ready),
            (Step::Open, Response::Opened(opened)) => self.opened(opened),
            (Step::BeforeAdd, Response::BeforeAdd(before)) => self.before_add(before),
            (Step::Create, Response::Stored(written)) => self.created(written),
            (Step::Add, Response::Add(outcome)) => self.added(outcome),
            (Step::RemoveUnrun, Response::Stored(removed)) => self.unrun(removed),
            (Step::SaveResult, Response::Stored(written)) => self.result_stored(written),
            (Step::Judge, Response::Judge(verdict)) => self.judged(verdict),
            (Step::SetRoutes, Response::SetRoutes(set)) => self.routes_set(set),
            (Step::SaveAttached, Response::Stored(written)) => self.attached(written),
            (Step::SaveDeleting, Response::Stored(written)) => self.delete_announced(written),
            (Step::BeforeDel, Response::BeforeDel(shown)) => self.before_del(shown),
            (Step::Del, Response::Del(outcome)) => self.deleted(outcome),
            (Step::AfterDel, Response::AfterDel(remains)) => self.after_del(remains),
            (Step::SaveFailed, Response::Stored(_)) => self.failure_stored(),
            (Step::Remove, Response::Stored(removed)) => self.removed(removed),
            (Step::Lose, Response::Stored(moved)) => self.lost(moved),
            (Step::Check, Response::Check(outcome)) => self.checked(outcome),
            (Step::SaveBaseline, Response::Stored(_)) => self.baseline_stored(),
            (Step::ReadMultus, Response::ReadMultus(file)) => self.multus_read(file),
            (Step::Look, Response::Look(facts)) => self.looked(facts),
            (Step::RemoveMultus, Response::RemoveMultus(removed)) => self.multus_removed(removed),
            (Step::SaveDetached, Response::Stored(written)) => self.detached_stored(written),
            (step, response) => {
                let message = format!("unexpected response to {step:?}: {response:?}");
                self.fail(Failure::new(FailureReason::RunnerUnavailable, message))
            }
        }
    }

    fn preflight(mut self, ready: Result<Ready, Failure>) -> Progress {
        if self.goal == Goal::TakeOver {
            return self.multus_can_run(ready);
        }
        let Ready { digests } = match ready {
            Ok(ready) => ready,
            Err(failure) => {
                // What is attached stays as it is.
                self.entry = self.next.take().unwrap_or(self.entry);
                return self.attach_failed(failure);
            }
        };
        let next = self.next.as_mut().unwrap_or(&mut self.entry);
        if self.goal == Goal::Probe {
            let spec_hash = next.spec_hash.clone();
            return self.end(EndResult::Ready(spec_hash));
        }
        next.chain.digests = digests;
        self.to(Step::Open)
    }

    fn opened(mut self, opened: Opened) -> Progress {
        self.is_alive = opened == Opened::Alive;
        match (self.goal, opened) {
            (_, Opened::Unknown(failure)) => self.not_opened(failure),
            (Goal::Attach, Opened::Alive) => self.to(Step::BeforeAdd),
            (Goal::Judge, Opened::Alive) => self.to(Step::Judge),
            (Goal::Check, Opened::Alive) => self.to(Step::Check),
            (Goal::TakeOver, Opened::Alive) => self.to(Step::ReadMultus),
            (Goal::Judge, Opened::Gone) => {
                self.delete_for(Why::SandboxEnded);
                self.to(Step::SaveDeleting)
            }
            (Goal::Delete | Goal::Adopt | Goal::Probe, _) => {
                let step = self.first_step_of_delete();
                self.to(step)
            }
            (Goal::Attach | Goal::Check | Goal::TakeOver, Opened::Gone) => {
                let gone = "the pod's network namespace is gone";
                self.not_opened(Failure::new(FailureReason::SandboxUnknown, gone))
            }
        }
    }

    fn not_opened(self, failure: Failure) -> Progress {
        match self.goal {
            Goal::Attach => self.attach_failed(failure),
            Goal::Delete | Goal::TakeOver => self.delete_failed(failure),
            Goal::Judge | Goal::Check | Goal::Adopt | Goal::Probe => self.fail(failure),
        }
    }

    fn to(mut self, step: Step) -> Progress {
        self.step = step;
        Progress::Next(Box::new(self))
    }

    /// The working entry is to be deleted.
    fn delete_for(&mut self, why: Why) {
        *self.entry = self.entry.as_ref().clone().deleting(why);
    }

    /// The working entry is what is stored.
    fn is_stored(&mut self) {
        self.stored = Some(self.entry.clone());
    }

    fn event(&mut self, change: Change) {
        self.events.push(Event {
            pod: self.entry.pod.clone(),
            ifname: self.entry.chain.ifname.clone(),
            network: self.entry.chain.network.clone(),
            requester: self.entry.requester.clone(),
            change,
        });
    }

    fn fail(self, failure: Failure) -> Progress {
        self.end(EndResult::Failed(failure))
    }

    fn attach_failed(mut self, failure: Failure) -> Progress {
        self.event(Change::AttachFailed(failure.clone()));
        self.fail(failure)
    }

    fn end(self, result: EndResult) -> Progress {
        Progress::End(Ending {
            stored: self.stored,
            result,
            events: self.events,
        })
    }
}

fn store_failure(problem: String) -> Failure {
    Failure::new(FailureReason::StoreFailed, problem)
}
