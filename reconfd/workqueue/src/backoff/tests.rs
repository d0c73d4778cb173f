use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Milliseconds of a first delay and of a longest one.
fn limits() -> impl Strategy<Value = (u64, u64)> {
    (1..10_000_u64).prop_flat_map(|first| (Just(first), first..600_000))
}

fn backoff((first, max): (u64, u64)) -> Backoff {
    Backoff::new(Duration::from_millis(first), Duration::from_millis(max))
}

proptest! {
    #[test]
    fn a_delay_is_twice_the_one_before_until_it_is_the_longest(limits in limits(), failures in 1..100_u32) {
        let (backoff, now, mut attempts) = (backoff(limits), Instant::now(), Attempts::default());
        let mut expected = limits.0;
        for _ in 0..failures {
            prop_assert_eq!(attempts.failed(&backoff, now), Duration::from_millis(expected));
            expected = (expected * 2).min(limits.1);
        }
    }

    #[test]
    fn the_delay_that_is_foretold_is_the_one_that_follows(limits in limits(), gaps in prop::collection::vec(0..20_000_u64, 1..20)) {
        let backoff = backoff(limits).with_reset_after(10 * SECOND);
        let (mut now, mut attempts) = (Instant::now(), Attempts::default());
        for gap in gaps {
            now += Duration::from_millis(gap);
            let foretold = attempts.delay(&backoff, now);
            prop_assert_eq!(attempts.failed(&backoff, now), foretold);
        }
    }

    #[test]
    fn only_a_time_without_failures_that_is_longer_than_the_limit_resets_it(limits in limits(), failures in 1..20_u32, gap in 0..20_u64) {
        let backoff = backoff(limits).with_reset_after(10 * SECOND);
        let (now, mut attempts) = (Instant::now(), Attempts::default());
        (0..failures).for_each(|_| _ = attempts.failed(&backoff, now));
        let later = attempts.delay(&backoff, now + Duration::from_secs(gap));
        let expected = if gap > 10 { backoff.first } else { attempts.delay(&backoff, now) };
        prop_assert_eq!(later, expected);
    }

    #[test]
    fn jitter_lengthens_a_delay_and_doubles_it_at_most(limits in limits(), failures in 0..20_u32) {
        let (backoff, now, mut attempts) = (backoff(limits), Instant::now(), Attempts::default());
        (0..failures).for_each(|_| _ = attempts.failed(&backoff, now));
        let (exact, varied) = (attempts.delay(&backoff, now), attempts.delay(&backoff.with_jitter(), now));
        prop_assert!((exact..=2 * exact).contains(&varied), "{varied:?} for {exact:?}");
    }

    #[test]
    fn free_failures_have_no_delay_and_double_nothing(limits in limits(), free in 0..5_u32, failures in 0..10_u32) {
        let (backoff, now) = (backoff(limits), Instant::now());
        let (mut plain, mut after_free) = (Attempts::default(), Attempts::default());
        for _ in 0..free {
            prop_assert_eq!(after_free.failed(&backoff.with_free(free), now), Duration::ZERO);
        }
        for _ in 0..failures {
            prop_assert_eq!(after_free.failed(&backoff.with_free(free), now), plain.failed(&backoff, now));
        }
    }
}

#[test]
fn success_starts_over_and_failures_without_end_overflow_nothing() {
    let (backoff, now) = (Backoff::new(SECOND, 60 * SECOND), Instant::now());
    let mut attempts = Attempts {
        failures: u32::MAX,
        last: Some(now),
    };
    assert_eq!(attempts.failed(&backoff, now), 60 * SECOND);
    assert!(attempts.has_failed());
    attempts.reset();
    assert!(!attempts.has_failed());
    assert_eq!(attempts.failed(&backoff, now), SECOND);
}

#[test]
fn exhausted_attempts_wait_longest_until_they_start_over() {
    let (mut attempts, now) = (Attempts::default(), Instant::now());
    attempts.exhaust(now);
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
    for _ in 0..3 {
        assert_eq!(attempts.failed(&backoff, now), Duration::from_secs(300));
    }
    attempts.reset();
    assert_eq!(attempts.failed(&backoff, now), Duration::from_secs(1));
}
