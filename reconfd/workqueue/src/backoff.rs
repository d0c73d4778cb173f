//! Exponential backoff: the delays are those of `backon`, the state is a count and a time.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// Beyond so many doublings every delay is the longest.
const MAX_DOUBLINGS: u32 = 64;
const HALF_A_MILLISECOND: Duration = Duration::from_micros(500);

/// Delays between attempts: each is twice the one before, up to a limit. A constant of its user;
/// [`Attempts`] is the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    reset_after: Option<Duration>,
    free: u32,
    has_jitter: bool,
}

/// The failures so far of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    failures: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// Delays in whole milliseconds, `first` after the first failure.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            reset_after: None,
            free: 0,
            has_jitter: false,
        }
    }

    /// Starts over after this time without a failure.
    #[must_use]
    pub const fn with_reset_after(mut self, time: Duration) -> Self {
        self.reset_after = Some(time);
        self
    }

    /// So many failures have no delay; `first` follows the next one.
    #[must_use]
    pub const fn with_free(mut self, failures: u32) -> Self {
        self.free = failures;
        self
    }

    /// Lengthens each delay at random, at most to twice of it: clients that failed together do not
    /// try again together.
    #[must_use]
    pub const fn with_jitter(mut self) -> Self {
        self.has_jitter = true;
        self
    }

    /// The delay after one more failure than these.
    fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free) else {
            return Duration::ZERO;
        };
        let mut delays = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(self.first)
            .with_max_delay(self.max)
            .without_max_times();
        if self.has_jitter {
            delays = delays.with_jitter();
        }
        let mut delays = delays.build().skip(doublings.min(MAX_DOUBLINGS) as usize);
        whole_milliseconds(delays.next().unwrap_or(self.max))
    }
}

impl Attempts {
    /// Counts a failure; returns the delay before the next attempt.
    pub fn failed(&mut self, backoff: &Backoff, now: Instant) -> Duration {
        let failures = self.recent(backoff, now);
        self.failures = failures.saturating_add(1);
        self.last = Some(now);
        backoff.delay(failures)
    }

    /// Counts so many failures that the next delay is the longest.
    pub fn exhaust(&mut self, now: Instant) {
        self.failures = MAX_DOUBLINGS;
        self.last = Some(now);
    }

    /// The delay if it failed now.
    pub fn delay(&self, backoff: &Backoff, now: Instant) -> Duration {
        backoff.delay(self.recent(backoff, now))
    }

    /// Whether there was a failure since the start or the last reset.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The failures that still count.
    fn recent(&self, backoff: &Backoff, now: Instant) -> u32 {
        let since_last = self.last.map(|last| now.saturating_duration_since(last));
        let is_over = |reset_after| since_last.is_some_and(|time| time > reset_after);
        match backoff.reset_after {
            Some(reset_after) if is_over(reset_after) => 0,
            _ => self.failures,
        }
    }
}

/// `backon` multiplies as `f32`, which is off by some nanoseconds.
fn whole_milliseconds(delay: Duration) -> Duration {
    let rounded = delay.saturating_add(HALF_A_MILLISECOND).as_millis();
    Duration::from_millis(rounded.try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
