//! Pure: timing of discovery and of writes.

use std::time::{Duration, Instant};

/// Interval of API discovery.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);
/// Interval at which time-dependent states are evaluated.
pub const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum interval between writes; changes in between are batched.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Interval at which the head object is renewed without changes.
const RENEW_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum wait for the initial sync of all sources. Until then the networks published by the previous controller
/// stay in force.
const SYNC_TIMEOUT: Duration = Duration::from_secs(15);
/// Delay before a failed write is retried.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Due times of the publisher.
#[derive(Debug)]
pub struct Schedule {
    started_at: Instant,
    pub discover_at: Instant,
    pub tick_at: Instant,
    /// Set when something differs from what is published.
    pub is_changed: bool,
    pub written_at: Option<Instant>,
    pub renewed_at: Option<Instant>,
    not_before: Instant,
    /// Error of the last write.
    pub last_error: Option<String>,
}

impl Schedule {
    pub fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            discover_at: now,
            tick_at: now,
            is_changed: true,
            written_at: None,
            renewed_at: None,
            not_before: now,
            last_error: None,
        }
    }

    /// Time of the next write; `None`: not before the initial sync.
    pub fn write_at(&self, is_settled: bool, now: Instant) -> Option<Instant> {
        let age = now.saturating_duration_since(self.started_at);
        if age < SYNC_TIMEOUT && !is_settled {
            return None;
        }
        let paced = self
            .written_at
            .map_or(self.started_at, |written| written + MIN_INTERVAL);
        let renewal = self
            .renewed_at
            .map_or(self.started_at, |renewed| renewed + RENEW_INTERVAL);
        let due = if self.is_changed { paced } else { renewal };
        Some(due.min(renewal).max(self.not_before))
    }

    pub fn is_renewal_due(&self, now: Instant) -> bool {
        self.renewed_at
            .is_none_or(|at| now.saturating_duration_since(at) >= RENEW_INTERVAL)
    }

    pub fn discover_soon(&mut self, now: Instant) {
        self.discover_at = self.discover_at.min(now + MIN_INTERVAL);
    }

    /// Records a failed write. Returns whether the error is new.
    pub fn failed(&mut self, why: &str, now: Instant) -> bool {
        self.not_before = now + RETRY_DELAY;
        self.last_error.replace(why.to_owned()).as_deref() != Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_published_before_all_was_read_or_it_takes_too_long() {
        let now = Instant::now();
        let schedule = Schedule::new(now);
        assert_eq!(schedule.write_at(false, now), None);
        assert_eq!(schedule.write_at(true, now), Some(now));
        assert_eq!(schedule.write_at(false, now + SYNC_TIMEOUT), Some(now));
    }

    #[test]
    fn what_changes_is_written_soon_and_what_does_not_is_confirmed() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        (
            schedule.is_changed,
            schedule.written_at,
            schedule.renewed_at,
        ) = (false, Some(now), Some(now));
        assert_eq!(schedule.write_at(true, now), Some(now + RENEW_INTERVAL));
        schedule.is_changed = true;
        assert_eq!(schedule.write_at(true, now), Some(now + MIN_INTERVAL));
        assert!(
            !schedule.is_renewal_due(now + MIN_INTERVAL)
                && schedule.is_renewal_due(now + RENEW_INTERVAL)
        );
    }

    #[test]
    fn a_failed_write_is_retried_and_logged_once() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert!(schedule.failed("refused", now));
        assert!(!schedule.failed("refused", now));
        assert_eq!(schedule.write_at(true, now), Some(now + RETRY_DELAY));
    }
}
