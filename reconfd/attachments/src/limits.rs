//! Rates, shares and times of the engine.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use workqueue::Backoff;

const MINUTE: Duration = Duration::from_secs(60);

/// Limits of one node. The default is what the specification states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Chains that run at the same time.
    pub parallel: usize,
    /// Attachments of the node.
    pub node: Rate,
    /// Attachments of one namespace.
    pub namespace: Rate,
    /// Between tries of one attachment.
    pub backoff: Backoff,
    /// Until a result is judged again that could not be judged.
    pub judge_after: Duration,
    /// Failing without a namespace for so long makes an attachment lost.
    pub lost_after: Duration,
    /// Between ADD and the CHECK that is the baseline.
    pub baseline_after: Duration,
    /// Between two CHECKs, and between two repairs.
    pub check_every: Duration,
    /// The shortest time between two CHECKs that events of links cause.
    pub check_at_least: Duration,
    /// How long the namespace of an ended sandbox is held for DEL.
    pub hold: Duration,
}

/// A burst, and the time in which one more is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub each: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel: 4,
            // The bursts are what a node and a namespace start at once; the rates are for what flaps.
            node: Rate::new(128, Duration::from_millis(100)),
            namespace: Rate::new(64, Duration::from_millis(500)),
            backoff: Backoff::new(Duration::from_secs(1), 5 * MINUTE),
            judge_after: Duration::from_secs(1),
            lost_after: 24 * 60 * MINUTE,
            baseline_after: Duration::from_secs(2),
            check_every: 5 * MINUTE,
            check_at_least: Duration::from_secs(10),
            hold: Duration::from_secs(10),
        }
    }
}

impl Rate {
    pub const fn new(burst: u32, each: Duration) -> Self {
        Self { burst, each }
    }

    /// The time at which a bucket is full after one more, or when one more is available.
    fn take(self, full_at: Option<Instant>, now: Instant) -> Result<Instant, Instant> {
        let full_at = full_at.map_or(now, |at| at.max(now)) + self.each;
        let latest = now + self.each * self.burst;
        match full_at > latest {
            true => Err(now + (full_at - latest)),
            false => Ok(full_at),
        }
    }
}

/// Token buckets of the node and of each namespace.
#[derive(Debug, Default)]
pub struct Rates {
    node: Option<Instant>,
    namespaces: HashMap<String, Instant>,
}

impl Rates {
    /// Takes a token of both, or of none and returns when to ask again.
    pub fn take(&mut self, limits: &Limits, namespace: &str, now: Instant) -> Result<(), Instant> {
        let own = self.namespaces.get(namespace).copied();
        if own.is_none() {
            // A full bucket equals a new one.
            self.namespaces.retain(|_, full_at| *full_at > now);
        }
        let own = limits.namespace.take(own, now)?;
        self.node = Some(limits.node.take(self.node, now)?);
        self.namespaces.insert(namespace.to_owned(), own);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_flaps_waits_and_another_does_not() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut rates = Rates::default();
        let made = (0..1000).filter(|_| rates.take(&limits, "flapping", now).is_ok());
        assert_eq!(made.count(), 64);
        let again = rates.take(&limits, "flapping", now);
        assert_eq!(again, Err(now + Duration::from_millis(500)));
        assert_eq!(rates.take(&limits, "quiet", now), Ok(()));
    }

    #[test]
    fn a_node_has_a_rate_over_all_namespaces() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut rates = Rates::default();
        let names: Vec<String> = (0..300).map(|number| format!("n{number}")).collect();
        let made = names
            .iter()
            .filter(|name| rates.take(&limits, name, now).is_ok());
        assert_eq!(made.count(), 128);
        let later = now + Duration::from_secs(1);
        let made = names
            .iter()
            .filter(|name| rates.take(&limits, name, later).is_ok());
        assert_eq!(made.count(), 10, "ten a second");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut rates = Rates::default();
        for number in 0..100 {
            let later = now + Duration::from_secs(number);
            assert_eq!(rates.take(&limits, &format!("n{number}"), later), Ok(()));
        }
        assert_eq!(rates.namespaces.len(), 1);
    }
}
