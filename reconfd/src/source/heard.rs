//! When it was last heard that the published networks are all there are: told by this machine's own clock,
//! for a controller that has ended says nothing, and no other clock is to be trusted.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

/// What was last said counts for so long; the controller says it ten times as often.
pub const HOLDS_FOR: Duration = Duration::from_secs(180);

/// A clone tells the same.
#[derive(Clone, Default)]
pub struct LastHeard(Arc<RwLock<Option<Instant>>>);

impl LastHeard {
    pub fn get(&self) -> Option<Instant> {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, heard: Option<Instant>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = heard;
    }

    /// Whether it counts no more.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.get()
            .is_none_or(|heard| now.saturating_duration_since(heard) > HOLDS_FOR)
    }
}

/// When something was heard that is seen for the first time: it may have been said long ago, by a controller
/// that is no more. A clock that goes wrong makes it older, until it is said again, and never younger.
pub fn first_heard(said: &Time, clock: Timestamp, now: Instant) -> Option<Instant> {
    let age = clock.duration_since(said.0).unsigned_abs();
    now.checked_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_long_ago_is_not_news_when_it_is_seen_for_the_first_time() {
        let (clock, now) = (Timestamp::now(), Instant::now());
        let said = |ago: i64| Time(clock - Duration::from_secs(ago.unsigned_abs()));
        let last = LastHeard::default();
        assert!(last.is_stale(now), "nothing was heard yet");
        for (ago, is_stale) in [(0, false), (100, false), (181, true), (1_000_000_000, true)] {
            last.set(first_heard(&said(ago), clock, now));
            assert_eq!(last.is_stale(now), is_stale, "{ago}");
        }
    }

    #[test]
    fn a_clock_that_is_behind_makes_nothing_younger() {
        let (clock, now) = (Timestamp::now(), Instant::now());
        let ahead = Time(clock + Duration::from_secs(3600));
        let last = LastHeard::default();
        last.set(first_heard(&ahead, clock, now));
        assert!(last.is_stale(now));
    }
}
