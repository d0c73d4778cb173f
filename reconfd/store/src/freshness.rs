//! When the controller last confirmed that the published networks are complete. Measured by this machine's own
//! clock: a controller that has ended confirms nothing, and no other clock can be trusted.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use address::inventory::VALID_FOR;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

/// Time of the last confirmation, shared by all clones.
#[derive(Clone, Default)]
pub struct Freshness(Arc<RwLock<Option<Instant>>>);

impl Freshness {
    pub fn get(&self) -> Option<Instant> {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, confirmed: Option<Instant>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = confirmed;
    }

    /// Whether the confirmation has expired, or there was none.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.get()
            .is_none_or(|confirmed| now.saturating_duration_since(confirmed) > VALID_FOR)
    }
}

/// The time of a confirmation that is read for the first time: it may be old, and its controller may have ended.
/// A wrong clock makes it older until it is renewed, and never younger.
pub fn first_confirmation(renewed: &Time, clock: Timestamp, now: Instant) -> Option<Instant> {
    let age = clock.duration_since(renewed.0).unsigned_abs();
    now.checked_sub(age)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_old_confirmation_is_stale_when_it_is_read_for_the_first_time() {
        let (clock, now) = (Timestamp::now(), Instant::now());
        let renewed = |ago: i64| Time(clock - Duration::from_secs(ago.unsigned_abs()));
        let last = Freshness::default();
        assert!(last.is_stale(now), "there was no confirmation yet");
        for (ago, is_stale) in [(0, false), (100, false), (181, true), (1_000_000_000, true)] {
            last.set(first_confirmation(&renewed(ago), clock, now));
            assert_eq!(last.is_stale(now), is_stale, "{ago}");
        }
    }

    #[test]
    fn a_clock_that_is_behind_makes_nothing_younger() {
        let (clock, now) = (Timestamp::now(), Instant::now());
        let ahead = Time(clock + Duration::from_secs(3600));
        let last = Freshness::default();
        last.set(first_confirmation(&ahead, clock, now));
        assert!(last.is_stale(now));
    }
}
