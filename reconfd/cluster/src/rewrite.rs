//! Pure: backoff for rewriting objects that others deleted or changed. The first rewrite is immediate, so that
//! readers of the object can go on; the delay grows while another writer keeps changing it, so that two writers of
//! one object do not keep the API busy.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kubeio::watch::ObjectKey;
use workqueue::{Attempts, Backoff};

/// Longer than a write's response and its watch event can be out of order; by then, an object that is gone because
/// its owner is gone is known to be so.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// The backoff restarts for an object that stayed unchanged for this time.
const RESET_AFTER: Duration = Duration::from_secs(600);
const BACKOFF: Backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF).with_reset_after(RESET_AFTER);

/// Objects that differ from what was written.
#[derive(Debug, Default)]
pub struct Rewrites(BTreeMap<ObjectKey, Rewrite>);

#[derive(Debug)]
struct Rewrite {
    due: Option<Instant>,
    last: Instant,
    attempts: Attempts,
}

impl Rewrites {
    /// The object at the API differs, or is gone.
    pub fn differs(&mut self, key: &ObjectKey, now: Instant) {
        let fresh = Rewrite {
            due: None,
            last: now,
            attempts: Attempts::default(),
        };
        let rewrite = self.0.entry(key.clone()).or_insert(fresh);
        let delay = rewrite.attempts.delay(&BACKOFF, now);
        rewrite.due.get_or_insert(now + delay);
    }

    /// The object at the API is as written.
    pub fn agrees(&mut self, key: &ObjectKey) {
        if let Some(rewrite) = self.0.get_mut(key) {
            rewrite.due = None;
        }
    }

    /// When the next rewrite is due.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|rewrite| rewrite.due).min()
    }

    /// Takes the due rewrites.
    pub fn due(&mut self, now: Instant) -> Vec<ObjectKey> {
        let is_due = |rewrite: &Rewrite| rewrite.due.is_some_and(|due| due <= now);
        let due = self.0.iter_mut().filter(|(_, rewrite)| is_due(rewrite));
        let due = due.map(|(key, rewrite)| {
            (rewrite.due, rewrite.last) = (None, now);
            rewrite.attempts.failed(&BACKOFF, now);
            key.clone()
        });
        let due = due.collect();
        self.0.retain(|_, rewrite| {
            rewrite.due.is_some() || now.saturating_duration_since(rewrite.last) <= RESET_AFTER
        });
        due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> ObjectKey {
        ("t".into(), "a".into())
    }

    #[test]
    fn the_first_time_it_is_written_within_a_second() {
        let (mut rewrites, now) = (Rewrites::default(), Instant::now());
        rewrites.differs(&key(), now);
        assert!(rewrites.due(now).is_empty());
        assert!(rewrites.next().unwrap() < now + Duration::from_secs(1));
        assert_eq!(rewrites.due(now + MIN_BACKOFF), [key()]);
        assert_eq!(rewrites.next(), None);
    }

    #[test]
    fn what_came_right_by_itself_is_not_written() {
        let (mut rewrites, now) = (Rewrites::default(), Instant::now());
        rewrites.differs(&key(), now);
        rewrites.agrees(&key());
        assert!(rewrites.due(now + MAX_BACKOFF).is_empty());
    }

    #[test]
    fn two_writers_of_one_object_undo_each_other_ever_less_often() {
        let (mut rewrites, begun) = (Rewrites::default(), Instant::now());
        let (mut now, mut waits) = (begun, Vec::new());
        for _ in 0..20 {
            rewrites.differs(&key(), now);
            let due = rewrites.next().unwrap();
            waits.push(due - now);
            now = due;
            assert_eq!(rewrites.due(now), [key()]);
        }
        assert_eq!(waits[..3], [1, 2, 4].map(|times| MIN_BACKOFF * times));
        assert_eq!(waits[19], MAX_BACKOFF);
        now += RESET_AFTER * 2;
        rewrites.differs(&key(), now);
        assert_eq!(rewrites.next(), Some(now + MIN_BACKOFF));
    }

    #[test]
    fn nothing_is_kept_of_what_stays_as_it_was_written() {
        let (mut rewrites, now) = (Rewrites::default(), Instant::now());
        rewrites.differs(&key(), now);
        rewrites.due(now + MIN_BACKOFF);
        rewrites.due(now + 2 * RESET_AFTER);
        assert!(rewrites.0.is_empty());
    }
}
