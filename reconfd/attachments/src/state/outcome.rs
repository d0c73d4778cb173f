//! What is reported: of a pod, and of all.

use std::collections::BTreeSet;

use super::{Attachments, LinkRequest, Sandbox, Target, decide, pod::Pod, slot::SlotState};
use crate::{
    entry::{Entry, Phase, Slot},
    status::{Counts, Failure, FailureReason, Leaving, LinkState, PodOutcome},
};

impl Attachments {
    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// What is stored.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let slots = self.pods.values().flat_map(|pod| pod.slots.values());
        slots.filter_map(|slot| slot.stored.as_deref())
    }

    /// Whether an operation is in progress that may attach in this slot; what it has stored is not among the entries yet.
    pub fn is_attaching(&self, slot: &Slot) -> bool {
        let mut running = self.running.values();
        running.any(|running| running.is_attaching && running.slot == *slot)
    }

    /// What is stored for a pod.
    pub fn entries_of(&self, uid: &str) -> impl Iterator<Item = &Entry> {
        let slots = self
            .pods
            .get(uid)
            .into_iter()
            .flat_map(|pod| pod.slots.values());
        slots.filter_map(|slot| slot.stored.as_deref())
    }

    /// Whether a container has something stored, or an operation that may store it.
    pub fn has_container(&self, container_id: &str) -> bool {
        let Some(uid) = self.containers.get(container_id) else {
            return false;
        };
        let running = self.running.get(uid).map(|running| &running.slot);
        let slots = self.pods.get(uid).into_iter().flat_map(|pod| &pod.slots);
        let mut stored = slots.filter(|(_, state)| state.stored.is_some());
        running.is_some_and(|slot| slot.container_id == container_id)
            || stored.any(|(slot, _)| slot.container_id == container_id)
    }

    /// The interfaces of a pod that are taken from Multus, or were since its newest request.
    pub fn taken_over(&self, uid: &str) -> impl Iterator<Item = &Slot> {
        let slots = self.pods.get(uid).into_iter().flat_map(|pod| &pod.slots);
        let is_taken = |state: &SlotState| {
            let stored = state.stored.as_deref();
            state.is_taken_over || stored.is_some_and(Entry::is_of_multus)
        };
        slots.filter_map(move |(slot, state)| is_taken(state).then_some(slot))
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            unreadable: self.unreadable,
            lost: self.lost,
            ..Counts::default()
        };
        self.entries().for_each(|entry| counts.add(entry));
        counts
    }

    /// State of all links of a pod.
    pub fn outcome(&self, uid: &str) -> PodOutcome {
        let Some(pod) = self.pods.get(uid) else {
            return PodOutcome::default();
        };
        let request = pod.request.as_ref();
        let links = request.map_or(&[][..], |request| &request.links);
        let sandbox = request.and_then(|request| request.sandbox.as_ref());
        let mut names = BTreeSet::new();
        let states = links.iter().map(|link| match names.insert(&link.ifname) {
            true => self.link_state(uid, pod, sandbox, link),
            false => LinkState::Failed(Failure::new(
                FailureReason::NameTaken,
                format!("another link of the pod has the name {}", link.ifname),
            )),
        });
        let links = states.collect();
        let requested = |slot: &Slot| {
            sandbox.is_some_and(|sandbox| sandbox.container_id == slot.container_id)
                && names.contains(&slot.ifname)
        };
        let slots = pod.slots.iter().filter(|(slot, _)| !requested(slot));
        PodOutcome {
            leaving: slots.filter_map(|(_, state)| leaving(state)).collect(),
            links,
        }
    }

    fn link_state(
        &self,
        uid: &str,
        pod: &Pod,
        sandbox: Option<&Sandbox>,
        link: &LinkRequest,
    ) -> LinkState {
        let Some(sandbox) = sandbox else {
            return LinkState::Pending("the pod's sandbox is not known".into());
        };
        let slot = Slot::new(&sandbox.container_id, &link.ifname);
        let none = SlotState::default();
        let state = pod.slots.get(&slot).unwrap_or(&none);
        let is_same = |stored: &Entry| match &link.target {
            Target::Attach(wanted) => wanted.spec_hash == stored.spec_hash,
            Target::Keep | Target::TakeOver(_) => true,
        };
        if let Target::TakeOver(_) = link.target {
            return taken_over(state);
        }
        let running = self.running.get(uid).filter(|running| running.slot == slot);
        match state.stored.as_deref() {
            // The next specification may not have been able to run.
            Some(stored) if stored.phase == Phase::Attached && !is_same(stored) => changing(state),
            Some(stored) if stored.phase == Phase::Attached => LinkState::Attached {
                entry: Box::new(stored.clone()),
                degraded: state.failure.clone().or(state.degraded.clone()),
            },
            Some(stored) if stored.deletion().is_some() => {
                LinkState::Detaching(state.failure.clone())
            }
            _ => match (&state.failure, &state.waiting) {
                (Some(failure), _) => LinkState::Failed(failure.clone()),
                (None, Some(what)) => LinkState::Pending(what.clone()),
                (None, None) if running.is_some_and(|running| running.is_attaching) => {
                    LinkState::Attaching
                }
                (None, None) => LinkState::Pending(waits_for(pod, &slot)),
            },
        }
    }
}

fn taken_over(state: &SlotState) -> LinkState {
    let is_stored = state.stored.is_some();
    let is_detached = state
        .stored
        .as_ref()
        .is_some_and(|stored| stored.phase == Phase::Detached);
    match is_detached || (state.is_taken_over && !is_stored) {
        true => LinkState::Detached,
        false => LinkState::Detaching(state.failure.clone()),
    }
}

fn changing(state: &SlotState) -> LinkState {
    match &state.failure {
        Some(failure) => LinkState::Failed(failure.clone()),
        None => LinkState::Detaching(None),
    }
}

fn waits_for(pod: &Pod, slot: &Slot) -> String {
    match decide::missing_parent(pod, slot) {
        Some(parent) => format!("waits for the link {parent}"),
        None => "not begun yet".into(),
    }
}

fn leaving(state: &SlotState) -> Option<Leaving> {
    let stored = state.stored.as_deref()?;
    let deletion = stored.deletion()?;
    Some(Leaving {
        id: stored.id(),
        ifname: stored.chain.ifname.clone(),
        requester: stored.requester.clone(),
        why: deletion.why,
        failure: state.failure.clone(),
    })
}

impl Counts {
    pub(super) fn add(&mut self, entry: &Entry) {
        *match entry.phase {
            Phase::Adding => &mut self.adding,
            Phase::Added => &mut self.added,
            Phase::Attached => &mut self.attached,
            Phase::Deleting(_) | Phase::Detached => &mut self.deleting,
        } += 1;
    }
}
