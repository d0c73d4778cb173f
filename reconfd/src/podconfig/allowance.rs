//! How many links a pod may be given in a while: a label, a PodConfig or a policy that flaps must not
//! keep the kernel busy. Links are only made that slowly; what must go, goes at once.

use std::time::{Duration, Instant};

/// So many at once: as many as a pod usually may have, so that no burst of new pods is slowed.
const AT_ONCE: u32 = 32;
/// Behind them, one in each such span.
const EACH: Duration = Duration::from_millis(250);

/// Filled again by time alone.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When as many are there as there can be.
    full_at: Option<Instant>,
}

impl Allowance {
    /// Takes one, or says when there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + EACH;
        let latest = now + EACH * AT_ONCE;
        if full_at > latest {
            return Err(now + (full_at - latest));
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_all_of_its_links_at_once_and_then_one_at_a_time() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.take(now), Ok(()));
        }
        assert_eq!(allowance.take(now), Err(now + EACH));
        assert_eq!(allowance.take(now + EACH), Ok(()));
        assert_eq!(allowance.take(now + EACH), Err(now + 2 * EACH));
    }

    #[test]
    fn what_is_refused_costs_nothing_and_peace_brings_all_of_it_back() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        (0..10 * AT_ONCE).for_each(|_| {
            let _ = allowance.take(now);
        });
        let later = now + EACH * AT_ONCE;
        let got = (0..2 * AT_ONCE).filter(|_| allowance.take(later).is_ok());
        assert_eq!(got.count(), AT_ONCE as usize);
    }
}
