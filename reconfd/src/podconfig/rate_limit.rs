//! Token buckets that limit link creation per pod and per namespace: a flapping label, PodConfig or
//! policy must not keep the kernel busy. Only creation is limited; deletion is immediate.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Burst size, and the interval in which one token is added.
#[derive(Debug)]
struct Rate {
    at_once: u32,
    each: Duration,
}

/// The burst is what a pod usually may have, so that new pods are not slowed down.
const OF_POD: Rate = Rate {
    at_once: 32,
    each: Duration::from_millis(250),
};
/// The burst is what a full node has; the rate is a fifth of what the kernel can create.
const OF_NAMESPACE: Rate = Rate {
    at_once: 2048,
    each: Duration::from_millis(5),
};

/// Refilled by time alone; by default with the rate of a pod.
#[derive(Debug)]
pub struct TokenBucket {
    rate: &'static Rate,
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl Default for TokenBucket {
    fn default() -> Self {
        Self::at(&OF_POD)
    }
}

impl TokenBucket {
    fn at(rate: &'static Rate) -> Self {
        Self {
            rate,
            full_at: None,
        }
    }

    /// Takes a token, or returns when the next one is available.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let (at_once, each) = (self.rate.at_once, self.rate.each);
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + each;
        let latest = now + each * at_once;
        if full_at > latest {
            return Err(now + (full_at - latest));
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

/// The bucket of each namespace.
#[derive(Debug, Default)]
pub struct NamespaceBuckets(HashMap<String, TokenBucket>);

impl NamespaceBuckets {
    /// Takes a token for a pod of the namespace, or returns when the next one is available.
    pub fn take(&mut self, namespace: &str, now: Instant) -> Result<(), Instant> {
        if !self.0.contains_key(namespace) {
            // A full bucket equals a new one.
            self.0
                .retain(|_, bucket| bucket.full_at.is_some_and(|at| at > now));
            self.0
                .insert(namespace.into(), TokenBucket::at(&OF_NAMESPACE));
        }
        self.0
            .get_mut(namespace)
            .map_or(Ok(()), |bucket| bucket.take(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: u32 = OF_POD.at_once;
    const EACH: Duration = OF_POD.each;

    #[test]
    fn a_pod_gets_all_of_its_links_at_once_and_then_one_at_a_time() {
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(bucket.take(now), Ok(()));
        }
        assert_eq!(bucket.take(now), Err(now + EACH));
        assert_eq!(bucket.take(now + EACH), Ok(()));
        assert_eq!(bucket.take(now + EACH), Err(now + 2 * EACH));
    }

    #[test]
    fn what_is_refused_costs_nothing_and_peace_brings_all_of_it_back() {
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        (0..10 * AT_ONCE).for_each(|_| {
            let _ = bucket.take(now);
        });
        let later = now + EACH * AT_ONCE;
        let got = (0..2 * AT_ONCE).filter(|_| bucket.take(later).is_ok());
        assert_eq!(got.count(), AT_ONCE as usize);
    }

    #[test]
    fn a_namespace_whose_objects_flap_waits_and_its_neighbour_does_not() {
        let (mut namespace_buckets, now) = (NamespaceBuckets::default(), Instant::now());
        let made = (0..10_000).filter(|_| namespace_buckets.take("flapping", now).is_ok());
        assert_eq!(made.count(), OF_NAMESPACE.at_once as usize);
        assert!(namespace_buckets.take("flapping", now).is_err());
        assert_eq!(namespace_buckets.take("quiet", now), Ok(()));
    }

    #[test]
    fn namespaces_at_peace_are_forgotten() {
        let (mut namespace_buckets, now) = (NamespaceBuckets::default(), Instant::now());
        for number in 0..100 {
            let later = now + Duration::from_secs(number);
            assert_eq!(namespace_buckets.take(&format!("n{number}"), later), Ok(()));
        }
        assert_eq!(namespace_buckets.0.len(), 1);
    }
}
