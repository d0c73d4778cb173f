//! Pure: when networks are looked for and published.

use std::time::{Duration, Instant};

/// So often it is looked which kinds there are.
pub const LOOK: Duration = Duration::from_secs(2);
/// What depends on time alone is looked at so often.
pub const BEAT: Duration = Duration::from_secs(1);
/// What changes within so long is written together.
const PACE: Duration = Duration::from_millis(200);
/// So often it is said that all is still as it was said.
const RENEW: Duration = Duration::from_secs(30);
/// After the beginning nothing is published before all sources were read, for so long at most: until then
/// what an earlier controller published holds.
const BEGINNING: Duration = Duration::from_secs(15);
/// A write that failed is tried again after so long.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Clock {
    begun: Instant,
    pub look: Instant,
    pub beat: Instant,
    /// Set when something differs from what is published.
    pub is_changed: bool,
    pub written: Option<Instant>,
    pub renewed: Option<Instant>,
    not_before: Instant,
    /// Why it cannot be published.
    pub failing: Option<String>,
}

impl Clock {
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            look: now,
            beat: now,
            is_changed: true,
            written: None,
            renewed: None,
            not_before: now,
            failing: None,
        }
    }

    /// When there is something to be written, if there will be.
    pub fn write_at(&self, is_settled: bool, now: Instant) -> Option<Instant> {
        let age = now.saturating_duration_since(self.begun);
        if age < BEGINNING && !is_settled {
            return None;
        }
        let paced = self.written.map_or(self.begun, |written| written + PACE);
        let renewal = self.renewed.map_or(self.begun, |renewed| renewed + RENEW);
        let due = if self.is_changed { paced } else { renewal };
        Some(due.min(renewal).max(self.not_before))
    }

    pub fn is_renewal_due(&self, now: Instant) -> bool {
        self.renewed
            .is_none_or(|at| now.saturating_duration_since(at) >= RENEW)
    }

    pub fn look_soon(&mut self, now: Instant) {
        self.look = self.look.min(now + PACE);
    }

    /// It could not be written; whether that, and why, is news.
    pub fn failed(&mut self, why: &str, now: Instant) -> bool {
        self.not_before = now + AGAIN;
        self.failing.replace(why.to_owned()).as_deref() != Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_published_before_all_was_read_or_it_takes_too_long() {
        let now = Instant::now();
        let clock = Clock::new(now);
        assert_eq!(clock.write_at(false, now), None);
        assert_eq!(clock.write_at(true, now), Some(now));
        assert_eq!(clock.write_at(false, now + BEGINNING), Some(now));
    }

    #[test]
    fn what_changes_is_written_soon_and_what_does_not_is_confirmed() {
        let now = Instant::now();
        let mut clock = Clock::new(now);
        (clock.is_changed, clock.written, clock.renewed) = (false, Some(now), Some(now));
        assert_eq!(clock.write_at(true, now), Some(now + RENEW));
        clock.is_changed = true;
        assert_eq!(clock.write_at(true, now), Some(now + PACE));
        assert!(!clock.is_renewal_due(now + PACE) && clock.is_renewal_due(now + RENEW));
    }

    #[test]
    fn a_write_that_failed_is_tried_again_and_told_once() {
        let now = Instant::now();
        let mut clock = Clock::new(now);
        assert!(clock.failed("refused", now));
        assert!(!clock.failed("refused", now));
        assert_eq!(clock.write_at(true, now), Some(now + AGAIN));
    }
}
