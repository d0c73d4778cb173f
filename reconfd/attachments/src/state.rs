//! All attachments of a node: what is stored, what is requested, and which operation is next. It mirrors the store: an
//! entry is in it exactly if it has a file.

/// What a slot needs.
mod action;
/// Which operation of a pod is next.
mod decide;
/// GC of a network.
mod garbage;
/// What the daemon states.
mod inputs;
/// What is reported.
mod outcome;
/// One pod.
pub(crate) mod pod;
/// Which pod is next.
mod queue;
/// Results that the rules do not allow any more.
mod refusal;
/// One slot of a pod.
pub(crate) mod slot;

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

pub use self::garbage::Garbage;
pub use self::pod::{CheckMode, LinkRequest, PodRequest, Sandbox, Takeover, Target, Wanted};
pub use self::refusal::Refusal;

use self::{
    action::Action,
    decide::{Choice, Node},
    pod::{Asked, Pod},
    queue::Queue,
    slot::SlotState,
};
use crate::{
    entry::{Entry, PodRef, Slot},
    limits::{Limits, Rates},
    operation::{EndResult, Ending, Operation, Terms},
    status::Event,
};

/// Between two failures more is not counted as time of failing: the machine may have slept.
const MOST_BETWEEN_TRIES: Duration = Duration::from_secs(600);

/// The attachments of a node.
#[derive(Debug)]
pub struct Attachments {
    limits: Limits,
    boot_id: String,
    pods: HashMap<String, Pod>,
    /// The pod of each container with something stored, and of each current one.
    containers: HashMap<String, String>,
    queue: Queue,
    rates: Rates,
    running: HashMap<String, Running>,
    /// The network whose GC runs.
    held_network: Option<String>,
    is_draining: bool,
    unreadable: usize,
    lost: usize,
}

/// An operation to carry out. It ends with [`Attachments::complete`].
#[derive(Debug)]
pub struct Work {
    pub uid: String,
    pub operation: Operation,
}

#[derive(Clone, Debug)]
struct Running {
    slot: Slot,
    action: Action,
    is_attaching: bool,
    /// Of its chains; none: they are not known yet.
    networks: Option<BTreeSet<String>>,
}

impl Running {
    fn is_of(&self, network: &str) -> bool {
        let networks = self.networks.as_ref();
        networks.is_none_or(|networks| networks.contains(network))
    }
}

impl Attachments {
    /// What the store has. Files that are left alone are only counted.
    pub fn new(
        limits: Limits,
        boot_id: impl Into<String>,
        entries: Vec<Entry>,
        unreadable: usize,
        now: Instant,
    ) -> Self {
        let mut attachments = Self {
            queue: Queue::new(limits.parallel),
            limits,
            boot_id: boot_id.into(),
            pods: HashMap::new(),
            containers: HashMap::new(),
            rates: Rates::default(),
            running: HashMap::new(),
            held_network: None,
            is_draining: false,
            unreadable,
            lost: 0,
        };
        let spread = attachments.limits.check_every
            / u32::try_from(entries.len().max(1)).unwrap_or(u32::MAX);
        for (place, entry) in (0..).zip(entries) {
            // All at once, they would keep new pods waiting.
            let check_due = now + attachments.limits.baseline_after + spread * place;
            attachments.restore(entry, check_due);
        }
        attachments
    }

    fn restore(&mut self, entry: Entry, check_due: Instant) {
        let PodRef { uid, namespace, .. } = entry.pod.clone();
        let slot = entry.slot();
        self.containers
            .insert(slot.container_id.clone(), uid.clone());
        let state = SlotState {
            check_due: Some(check_due),
            stored: Some(Box::new(entry)),
            ..SlotState::default()
        };
        let pod = self.pods.entry(uid.clone()).or_default();
        pod.slots.insert(slot, state);
        self.queue.add(&uid, &namespace);
    }

    /// When [`Self::next`] may have something that it has not now.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    /// The next operation, within the limits.
    pub fn next(&mut self, now: Instant) -> Option<Work> {
        while let Some(uid) = self.queue.pop(now) {
            if let Some(work) = self.begin(&uid, now) {
                return Some(work);
            }
            self.queue.done(&uid);
            self.drop_if_idle(&uid);
        }
        None
    }

    fn begin(&mut self, uid: &str, now: Instant) -> Option<Work> {
        let node = Node {
            boot_id: &self.boot_id,
            is_draining: self.is_draining,
            now,
        };
        let pod = self.pods.get(uid)?;
        let (slot, action) = match decide::next(pod, node) {
            Choice::Run(slot, action) => (slot, action),
            Choice::Wait(at) => {
                self.queue.add_at(uid, at);
                return None;
            }
            Choice::Idle => return None,
        };
        let operation = self.operation(pod, &slot, action, now)?;
        let networks = operation.networks();
        if let Some(at) = self.held_until(networks.as_ref(), now) {
            self.queue.add_at(uid, at);
            return None;
        }
        if operation.is_attaching() {
            let namespace = pod.request.as_ref().map(|request| &request.pod.namespace);
            let namespace = namespace.cloned().unwrap_or_default();
            if let Err(at) = self.rates.take(&self.limits, &namespace, now) {
                self.queue.add_at(uid, at);
                return None;
            }
        }
        let running = Running {
            slot,
            action,
            is_attaching: operation.is_attaching(),
            networks,
        };
        self.running.insert(uid.to_owned(), running);
        let uid = uid.to_owned();
        Some(Work { uid, operation })
    }

    fn operation(&self, pod: &Pod, slot: &Slot, action: Action, now: Instant) -> Option<Operation> {
        let state = pod.slots.get(slot)?;
        let last = state.last_failed_del;
        let failing_for = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let terms = Terms {
            lost_after: self.limits.lost_after,
            failing_for: failing_for.min(MOST_BETWEEN_TRIES),
        };
        let stored = || state.stored.as_deref().cloned();
        let wanted = match pod.asked(slot) {
            Asked::Attach(wanted) => Some(wanted),
            _ => None,
        };
        let next = || pod.entry(slot, wanted?);
        Some(match action {
            Action::Delete(why) => Operation::delete(stored()?, why, terms),
            Action::Withdraw => {
                let failure = state.refusal.as_ref()?.failure.clone();
                Operation::withdraw(stored()?, failure, terms)
            }
            Action::Change(why) => Operation::change(stored()?, why, next()?, terms),
            Action::Probe => Operation::probe(stored()?, next()?, terms),
            Action::Attach => Operation::attach(next()?, terms),
            Action::Judge => Operation::judge(stored()?, terms),
            Action::Adopt => Operation::adopt(stored()?, next()?, terms),
            Action::Check => Operation::check(stored()?, terms),
            Action::Forget => Operation::forget(stored()?, terms),
            Action::TakeOver => match pod.asked(slot) {
                Asked::TakeOver(takeover) => {
                    Operation::take_over(pod.unknown(slot, takeover)?, terms)
                }
                _ => return None,
            },
        })
    }

    /// Ends an operation. Returns what happened.
    pub fn complete(&mut self, uid: &str, ending: Ending, now: Instant) -> Vec<Event> {
        let Some(running) = self.running.remove(uid) else {
            return ending.events;
        };
        let Ending {
            stored,
            result,
            events,
        } = ending;
        self.lost += usize::from(result == EndResult::Lost);
        if let Some(pod) = self.pods.get_mut(uid) {
            let mode = match pod.asked(&running.slot) {
                Asked::Attach(wanted) => wanted.check,
                _ => CheckMode::Report,
            };
            let state = pod.slots.entry(running.slot.clone()).or_default();
            state.stored = stored;
            state.end(&self.limits, running.action, result, mode, now);
            let is_suspect = pod.slots.values().any(|state| state.hit_limit);
            self.queue.set_suspect(uid, is_suspect);
        }
        self.index(uid, &running.slot.container_id);
        self.queue.done(uid);
        self.wake(uid);
        self.drop_if_idle(uid);
        events
    }

    /// Keeps the index of containers.
    fn index(&mut self, uid: &str, container_id: &str) {
        let Some(pod) = self.pods.get_mut(uid) else {
            return;
        };
        pod.prune();
        if pod.uses(container_id) {
            return;
        }
        self.containers.remove(container_id);
        pod.ended.remove(container_id);
    }

    fn wake(&mut self, uid: &str) {
        let pod = self.pods.get(uid);
        let stored = pod.and_then(|pod| pod.slots.values().find_map(|slot| slot.stored.as_ref()));
        let request = pod.and_then(|pod| pod.request.as_ref());
        let pod = request
            .map(|request| &request.pod)
            .or(stored.map(|stored| &stored.pod));
        if let Some(pod) = pod {
            self.queue.add(uid, &pod.namespace);
        }
    }

    fn drop_if_idle(&mut self, uid: &str) {
        let is_idle = self.pods.get(uid).is_some_and(Pod::is_idle);
        if !is_idle || self.running.contains_key(uid) {
            return;
        }
        self.queue.remove(uid);
        let pod = self.pods.remove(uid);
        if let Some(container_id) = pod.as_ref().and_then(Pod::current) {
            self.containers.remove(container_id);
        }
    }
}
