//! Pure: rate-limited work queue with delays. An object is written at most once a second; failed keys are
//! requeued with exponential backoff.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use workqueue::{Attempts, Backoff};

use super::reconcile_key::{Delay, ReconcileKey, Requeue};

/// Minimum interval between writes of one object.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Delay of a new namespace's allowance: its policy may follow.
pub const POLICY_GRACE: Duration = Duration::from_secs(10);
/// Delay before an orphaned object is deleted: its pod or node may reappear.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const MAX_RETRY: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);

/// Keys to reconcile, ordered by due time.
#[derive(Debug, Default)]
pub struct WorkQueue {
    states: HashMap<ReconcileKey, KeyState>,
    schedule: BTreeSet<(Instant, ReconcileKey)>,
}

#[derive(Debug, Default)]
struct KeyState {
    due: Option<Instant>,
    not_before: Option<Instant>,
    is_running: bool,
    attempts: Attempts,
}

/// Result of one reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// The object is as desired.
    Unchanged,
    Written,
    /// With the delay that the server requested.
    Failed(Option<Duration>),
}

impl Delay {
    fn duration(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Batch => MIN_INTERVAL,
            Self::PolicyGrace => POLICY_GRACE,
            Self::OrphanGrace => ORPHAN_GRACE,
        }
    }
}

impl WorkQueue {
    /// Enqueues a key. An earlier due time of the same key wins.
    pub fn add(&mut self, requeue: Requeue, now: Instant) {
        let at = now + requeue.delay.duration();
        let state = self.states.entry(requeue.key.clone()).or_default();
        let at = state.not_before.map_or(at, |not_before| at.max(not_before));
        if state.due.is_some_and(|due| due <= at) {
            return;
        }
        let before = state.due.replace(at);
        if state.is_running {
            return;
        }
        if let Some(before) = before {
            self.schedule.remove(&(before, requeue.key.clone()));
        }
        self.schedule.insert((at, requeue.key));
    }

    /// Due time of the first key.
    pub fn next_due(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// Removes and returns a due key. It is not returned again before `done`.
    pub fn pop(&mut self, now: Instant) -> Option<ReconcileKey> {
        self.schedule.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = self.schedule.pop_first()?;
        if let Some(state) = self.states.get_mut(&key) {
            (state.due, state.is_running) = (None, true);
        }
        Some(key)
    }

    /// Ends a reconciliation; a failed key is requeued.
    pub fn done(&mut self, key: &ReconcileKey, result: ReconcileResult, now: Instant) {
        let Some(state) = self.states.get_mut(key) else {
            return;
        };
        state.is_running = false;
        match result {
            ReconcileResult::Unchanged => state.attempts.reset(),
            ReconcileResult::Written => {
                state.attempts.reset();
                state.not_before = Some(now + MIN_INTERVAL);
            }
            ReconcileResult::Failed(requested) => {
                let delay = state.attempts.failed(&BACKOFF, now);
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
    pub fn forget(&mut self, key: &ReconcileKey) {
        let Some(state) = self.states.remove(key) else {
            return;
        };
        if state.is_running {
            let is_running = true;
            let state = KeyState {
                is_running,
                ..KeyState::default()
            };
            self.states.insert(key.clone(), state);
        } else if let Some(due) = state.due {
            self.schedule.remove(&(due, key.clone()));
        }
    }

    /// Drops idle keys whose minimum interval has passed.
    pub fn prune(&mut self, now: Instant) {
        self.states.retain(|_, state| {
            state.is_running || state.due.is_some() || state.not_before.is_some_and(|at| at > now)
        });
    }

    /// Number of queued and running keys.
    pub fn len(&self) -> usize {
        let running = self.states.values().filter(|state| state.is_running);
        self.schedule.len() + running.count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> ReconcileKey {
        ReconcileKey::status("t", "data")
    }

    fn marked(delay: Delay, now: Instant) -> WorkQueue {
        let mut queue = WorkQueue::default();
        queue.add(key().after(delay), now);
        queue
    }

    #[test]
    fn the_first_after_a_quiet_time_is_done_at_once() {
        let now = Instant::now();
        assert_eq!(marked(Delay::Now, now).pop(now), Some(key()));
    }

    #[test]
    fn what_is_written_is_not_written_again_within_a_second() {
        let now = Instant::now();
        let mut queue = marked(Delay::Now, now);
        queue.pop(now).unwrap();
        queue.done(&key(), ReconcileResult::Written, now);
        for _ in 0..100 {
            queue.add(key().after(Delay::Now), now);
        }
        assert_eq!(queue.pop(now + MIN_INTERVAL / 2), None);
        assert_eq!(queue.pop(now + MIN_INTERVAL), Some(key()));
        assert_eq!(queue.pop(now + MIN_INTERVAL), None);
    }

    #[test]
    fn what_needed_no_write_waits_for_nothing() {
        let now = Instant::now();
        let mut queue = marked(Delay::Now, now);
        queue.pop(now).unwrap();
        queue.done(&key(), ReconcileResult::Unchanged, now);
        queue.add(key().after(Delay::Now), now);
        assert_eq!(queue.pop(now), Some(key()));
    }

    #[test]
    fn a_job_under_way_is_done_once_more_when_something_happens_meanwhile() {
        let now = Instant::now();
        let mut queue = marked(Delay::Now, now);
        queue.pop(now).unwrap();
        queue.add(key().after(Delay::Now), now);
        assert_eq!(queue.pop(now + MIN_INTERVAL), None, "it is running");
        queue.done(&key(), ReconcileResult::Written, now);
        assert_eq!(queue.next_due(), Some(now + MIN_INTERVAL));
    }

    #[test]
    fn what_waits_for_more_is_done_at_once_when_all_of_it_is_there() {
        let now = Instant::now();
        let mut queue = marked(Delay::Batch, now);
        assert_eq!(queue.pop(now), None);
        queue.add(key().after(Delay::Now), now);
        queue.add(key().after(Delay::Batch), now);
        assert_eq!(queue.pop(now), Some(key()));
    }

    #[test]
    fn what_failed_is_tried_again_ever_less_often_or_when_the_server_says() {
        let now = Instant::now();
        let mut queue = marked(Delay::Now, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let at = queue.next_due().unwrap();
            queue.pop(at).unwrap();
            queue.done(&key(), ReconcileResult::Failed(None), at);
            waits.push(queue.next_due().unwrap() - at);
        }
        assert_eq!(waits[..3], [1, 2, 4].map(|n| FIRST_RETRY * n));
        assert_eq!(waits[11], MAX_RETRY);
        let at = queue.next_due().unwrap();
        queue.pop(at).unwrap();
        let asked = MAX_RETRY * 2;
        queue.done(&key(), ReconcileResult::Failed(Some(asked)), at);
        assert_eq!(queue.next_due(), Some(at + asked));
    }

    #[test]
    fn an_object_that_is_made_anew_does_not_wait_for_what_the_old_one_was_written() {
        let now = Instant::now();
        let mut queue = marked(Delay::Now, now);
        queue.pop(now).unwrap();
        queue.done(&key(), ReconcileResult::Written, now);
        queue.add(key().after(Delay::Now), now);
        queue.forget(&key());
        assert_eq!(queue.len(), 0);
        queue.add(key().after(Delay::Now), now);
        assert_eq!(queue.pop(now), Some(key()));
        // Under way, it is not begun a second time.
        queue.forget(&key());
        queue.add(key().after(Delay::Now), now);
        assert_eq!(queue.pop(now), None);
        queue.done(&key(), ReconcileResult::Unchanged, now);
        assert_eq!(queue.pop(now), Some(key()));
    }

    #[test]
    fn nothing_is_kept_of_what_is_done() {
        let now = Instant::now();
        let mut queue = marked(Delay::Now, now);
        queue.pop(now).unwrap();
        queue.done(&key(), ReconcileResult::Written, now);
        queue.prune(now);
        assert_eq!(queue.states.len(), 1, "the minimum interval has not passed");
        queue.prune(now + MIN_INTERVAL);
        assert!(queue.states.is_empty());
        assert_eq!(queue.len(), 0);
    }
}
