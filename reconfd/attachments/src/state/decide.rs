//! Which operation of a pod comes next: deletions first, then attachments in the order of the request, then CHECK.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    CheckMode,
    action::Action,
    pod::{Asked, Pod},
    slot::SlotState,
};
use crate::entry::{Entry, Phase, Slot, Why};

/// What holds for all pods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) boot_id: &'a str,
    /// Everything is detached.
    pub(crate) is_draining: bool,
    pub(crate) now: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Run(Slot, Action),
    /// The backoff of the first one, or the next CHECK.
    Wait(Instant),
    Idle,
}

/// The next operation of a pod.
pub(crate) fn next(pod: &Pod, node: Node<'_>) -> Choice {
    let actions = actions(pod, node);
    let mut earliest: Option<Instant> = None;
    let mut wait = |at: Instant| earliest = Some(earliest.map_or(at, |first| first.min(at)));
    for (slot, action) in in_order(pod, &actions) {
        let state = pod.slots.get(slot);
        if !can_begin(pod, slot, action, node.now) {
            continue;
        }
        match state.and_then(|state| state.due(action)) {
            Some(at) if at > node.now => wait(at),
            _ => return Choice::Run(slot.clone(), action),
        }
    }
    earliest.map_or(Choice::Idle, Choice::Wait)
}

/// What each slot needs.
fn actions<'a>(pod: &'a Pod, node: Node<'_>) -> BTreeMap<&'a Slot, Action> {
    let slots = pod.slots.iter();
    let mut actions: BTreeMap<&Slot, Action> = slots
        .filter_map(|(slot, state)| Some((slot, action(pod, slot, state, node)?)))
        .map(|(slot, action)| (slot, probed(pod, slot, action)))
        .collect();
    // What is made on a link that is deleted is deleted before, and made again on the next one.
    loop {
        let ending: BTreeSet<Slot> = actions
            .iter()
            .filter(|(_, action)| is_ending(action))
            .map(|(slot, _)| (*slot).clone())
            .collect();
        let mut has_changed = false;
        for (slot, state) in &pod.slots {
            let Some(stored) = &state.stored else {
                continue;
            };
            let is_deleted = matches!(
                actions.get(slot),
                Some(Action::Delete(_) | Action::Withdraw)
            );
            if !is_deleted && parents(slot, stored).any(|parent| ending.contains(&parent)) {
                actions.insert(slot, Action::Delete(Why::ParentDeleted));
                has_changed = true;
            }
        }
        if !has_changed {
            return actions;
        }
    }
}

/// Whether what is stored in the slot goes.
fn is_ending(action: &Action) -> bool {
    matches!(
        action,
        Action::Delete(_) | Action::Withdraw | Action::Change(_)
    )
}

/// A change that deletes other links for it is one that is known to run.
fn probed(pod: &Pod, slot: &Slot, action: Action) -> Action {
    let (Action::Change(Why::Changed), Asked::Attach(wanted)) = (action, pod.asked(slot)) else {
        return action;
    };
    let ready_for = pod
        .slots
        .get(slot)
        .and_then(|state| state.ready_for.as_ref());
    let has_children = pod
        .slots
        .iter()
        .any(|(other, state)| is_child(other, state, slot));
    match has_children && ready_for != Some(&wanted.spec_hash) {
        true => Action::Probe,
        false => action,
    }
}

/// Whether an entry is made on the one in `slot`.
fn is_child(other: &Slot, state: &SlotState, slot: &Slot) -> bool {
    let stored = state.stored.as_ref().filter(|_| other != slot);
    stored.is_some_and(|stored| parents(other, stored).any(|parent| parent == *slot))
}

/// The slots that an entry is made on.
fn parents<'a>(slot: &'a Slot, stored: &'a Entry) -> impl Iterator<Item = Slot> + 'a {
    let after = stored.after.iter();
    after.map(|ifname| Slot::new(&slot.container_id, ifname))
}

fn action(pod: &Pod, slot: &Slot, state: &SlotState, node: Node<'_>) -> Option<Action> {
    let asked = pod.asked(slot);
    let Some(stored) = &state.stored else {
        let may_begin =
            !node.is_draining && !pod.has_ended && !pod.ended.contains(&slot.container_id);
        return match asked {
            Asked::Attach(_) if may_begin => Some(Action::Attach),
            Asked::TakeOver(_) if may_begin && !state.is_taken_over => Some(Action::TakeOver),
            _ => None,
        };
    };
    if stored.phase == Phase::Detached {
        let stays = matches!(asked, Asked::Unknown | Asked::Keep | Asked::TakeOver(_))
            && end(pod, slot, stored, asked, node).is_none();
        return (!stays).then_some(Action::Forget);
    }
    if let Some(why) = end(pod, slot, stored, asked, node) {
        return Some(Action::Delete(why));
    }
    match asked {
        // What is requested now is another attachment: it is made at once.
        Asked::Attach(wanted) if state.is_refused() && wanted.spec_hash != stored.spec_hash => {
            return Some(Action::Delete(Why::Changed));
        }
        Asked::Attach(_) | Asked::Keep if state.is_refused() => return Some(Action::Withdraw),
        _ => {}
    }
    let wanted = match (&stored.phase, asked) {
        // A DEL in progress goes on, whatever is requested now; so does the undoing of an ADD.
        (Phase::Deleting(deletion), _) => return Some(Action::Delete(deletion.why)),
        (Phase::Adding, _) => return Some(Action::Delete(Why::CutOff)),
        (_, Asked::Unknown | Asked::Keep) => return None,
        (_, Asked::Nothing | Asked::TakeOver(_)) => {
            return Some(Action::Delete(Why::NotRequested));
        }
        (_, Asked::OtherSandbox) => return Some(Action::Delete(Why::SandboxEnded)),
        (_, Asked::Attach(wanted)) => wanted,
    };
    if wanted.spec_hash != stored.spec_hash {
        return Some(Action::Change(Why::Changed));
    }
    if stored.phase == Phase::Added {
        return Some(Action::Judge);
    }
    if state.needs_repair {
        return Some(Action::Change(Why::Drifted));
    }
    if wanted.requester != stored.requester || wanted.after != stored.after {
        return Some(Action::Adopt);
    }
    let has_check = wanted.check != CheckMode::Never
        && !stored.chain.disable_check
        && stored.chain.cni_version.has_check();
    // Where no plugin passed the first CHECK, a later one says nothing.
    let says_something = stored
        .baseline
        .as_ref()
        .is_none_or(|baseline| !baseline.is_empty());
    (has_check && says_something).then_some(Action::Check)
}

/// Why an entry has to go, whatever its phase is.
fn end(pod: &Pod, slot: &Slot, stored: &Entry, asked: Asked<'_>, node: Node<'_>) -> Option<Why> {
    let why = if stored.netns.boot_id != node.boot_id {
        Why::Rebooted
    } else if pod.has_ended {
        Why::PodEnded
    } else if pod.ended.contains(&slot.container_id) || matches!(asked, Asked::OtherSandbox) {
        Why::SandboxEnded
    } else if node.is_draining {
        Why::Uninstall
    } else {
        return None;
    };
    // The reason that is stored stays, but for a namespace that may not be opened any more.
    match &stored.phase {
        Phase::Deleting(deletion) if why != Why::Rebooted => Some(deletion.why),
        _ => Some(why),
    }
}

/// Deletions from the last link to the first, then the rest in the order of the request, CHECK last.
fn in_order<'a>(pod: &Pod, actions: &BTreeMap<&'a Slot, Action>) -> Vec<(&'a Slot, Action)> {
    let mut sorted: Vec<(&Slot, Action)> = actions
        .iter()
        .map(|(slot, action)| (*slot, *action))
        .collect();
    sorted.sort_by_key(|(slot, action)| {
        let stored = pod.slots.get(*slot).and_then(|state| state.stored.as_ref());
        let stored = stored.map_or(0, |stored| i64::from(stored.order));
        match action {
            Action::Delete(_) | Action::Withdraw | Action::Forget | Action::TakeOver => {
                (0, -stored)
            }
            Action::Probe | Action::Change(_) | Action::Attach => (1, place(pod, slot)),
            Action::Judge | Action::Adopt => (2, place(pod, slot)),
            Action::Check => (3, place(pod, slot)),
        }
    });
    sorted
}

fn place(pod: &Pod, slot: &Slot) -> i64 {
    let links = pod.request.iter().flat_map(|request| &request.links);
    let place = links
        .into_iter()
        .position(|link| link.ifname == slot.ifname);
    place.map_or(i64::MAX, |place| i64::try_from(place).unwrap_or(i64::MAX))
}

/// Whether the links that it depends on are attached, and those that depend on it are gone.
fn can_begin(pod: &Pod, slot: &Slot, action: Action, now: Instant) -> bool {
    let parents_are_there = || missing_parent(pod, slot).is_none();
    match action {
        Action::Delete(_) | Action::Withdraw => has_no_children(pod, slot, now),
        Action::Change(_) => has_no_children(pod, slot, now) && parents_are_there(),
        Action::Attach => parents_are_there(),
        Action::Probe
        | Action::Judge
        | Action::Adopt
        | Action::Check
        | Action::TakeOver
        | Action::Forget => true,
    }
}

/// The requested link that this one waits for.
pub(crate) fn missing_parent<'a>(pod: &'a Pod, slot: &Slot) -> Option<&'a str> {
    let Asked::Attach(wanted) = pod.asked(slot) else {
        return None;
    };
    let mut after = wanted.after.iter();
    let parent = after.find(|ifname| {
        let parent = Slot::new(&slot.container_id, *ifname);
        let is_requested = matches!(pod.asked(&parent), Asked::Attach(_) | Asked::Keep);
        **ifname != slot.ifname && is_requested && !pod.is_attached(&parent)
    });
    parent.map(String::as_str)
}

/// A child whose DEL has failed does not keep its parent.
fn has_no_children(pod: &Pod, slot: &Slot, now: Instant) -> bool {
    !pod.slots.iter().any(|(other, state)| {
        let is_waiting = state.is_del_waiting && state.not_before.is_some_and(|at| at > now);
        !is_waiting && is_child(other, state, slot)
    })
}
