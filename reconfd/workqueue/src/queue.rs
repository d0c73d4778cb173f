//! A work queue with delays: one entry per key, a minimum interval between changes of one key, and
//! backoff for keys that failed.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

use crate::{Attempts, Backoff};

/// Keys to work on, ordered by due time. A key is in it once, however often it is added, and is not
/// returned again while its work runs.
#[derive(Debug)]
pub struct WorkQueue<K> {
    min_interval: Duration,
    backoff: Backoff,
    states: HashMap<K, KeyState>,
    schedule: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Default)]
struct KeyState {
    due: Option<Instant>,
    not_before: Option<Instant>,
    is_running: bool,
    attempts: Attempts,
}

/// Result of the work on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do.
    Unchanged,
    /// The minimum interval begins.
    Changed,
    /// Requeued after the backoff, or after this delay if it is longer.
    Failed(Option<Duration>),
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// An empty queue. `min_interval` is the time between a change of a key and its next work.
    pub fn new(min_interval: Duration, backoff: Backoff) -> Self {
        Self {
            min_interval,
            backoff,
            states: HashMap::new(),
            schedule: BTreeSet::new(),
        }
    }

    /// Enqueues a key for this time, or for when its minimum interval or backoff has passed. An
    /// earlier due time of the same key wins.
    pub fn add(&mut self, key: K, at: Instant) {
        let state = self.states.entry(key.clone()).or_default();
        let at = state.not_before.map_or(at, |not_before| at.max(not_before));
        if state.due.is_some_and(|due| due <= at) {
            return;
        }
        let before = state.due.replace(at);
        if state.is_running {
            return;
        }
        if let Some(before) = before {
            self.schedule.remove(&(before, key.clone()));
        }
        self.schedule.insert((at, key));
    }

    /// Enqueues a key for this time, regardless of its minimum interval and backoff.
    pub fn expedite(&mut self, key: K, at: Instant) {
        self.forget(&key);
        self.add(key, at);
    }

    /// Due time of the first key.
    pub fn next_due(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// Removes and returns a due key, the one that has waited longest. It is not returned again
    /// before `done`.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        self.schedule.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = self.schedule.pop_first()?;
        if let Some(state) = self.states.get_mut(&key) {
            (state.due, state.is_running) = (None, true);
        }
        Some(key)
    }

    /// Ends the work on a key. One that failed is requeued, and so is one that was added meanwhile.
    pub fn done(&mut self, key: &K, outcome: Outcome, now: Instant) {
        let Some(state) = self.states.get_mut(key) else {
            return;
        };
        state.is_running = false;
        match outcome {
            Outcome::Unchanged => state.attempts.reset(),
            Outcome::Changed => {
                state.attempts.reset();
                state.not_before = Some(now + self.min_interval);
            }
            Outcome::Failed(requested) => {
                let delay = state.attempts.failed(&self.backoff, now);
                state.not_before = Some(now + delay.max(requested.unwrap_or_default()));
                state.due = state.not_before;
            }
        }
        let not_before = state.not_before;
        if let Some(due) = &mut state.due {
            *due = not_before.map_or(*due, |not_before| (*due).max(not_before));
            self.schedule.insert((*due, key.clone()));
        }
    }

    /// Drops the state of a deleted object: one recreated under the same name is not rate-limited.
    /// Running work stays known, so that it is not begun a second time.
    pub fn forget(&mut self, key: &K) {
        if self.remove(key) {
            let state = KeyState {
                is_running: true,
                ..KeyState::default()
            };
            self.states.insert(key.clone(), state);
        }
    }

    /// Drops a key that will not be used again. Returns whether its work was running.
    pub fn remove(&mut self, key: &K) -> bool {
        let Some(state) = self.states.remove(key) else {
            return false;
        };
        if let Some(due) = state.due {
            self.schedule.remove(&(due, key.clone()));
        }
        state.is_running
    }

    /// Drops idle keys whose minimum interval has passed.
    pub fn prune(&mut self, now: Instant) {
        self.states.retain(|_, state| {
            state.is_running || state.due.is_some() || state.not_before.is_some_and(|at| at > now)
        });
    }

    /// Whether the last work on the key failed.
    pub fn has_failed(&self, key: &K) -> bool {
        let state = self.states.get(key);
        state.is_some_and(|state| state.attempts.has_failed())
    }

    /// Number of queued and running keys.
    pub fn len(&self) -> usize {
        let running = self.states.values().filter(|state| state.is_running);
        self.schedule.len() + running.count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
