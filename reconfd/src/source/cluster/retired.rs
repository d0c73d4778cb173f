//! Pure: PeerSlices that were deleted, and stay in force for a while. A controller takes a peer away by writing
//! the slice without it; a slice that is gone as a whole was nearly always deleted by hand, or with its
//! definition, and comes back. Tunnels go on until then.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::watch::ObjectKey;

/// A slice that has not come back after so long is gone. Longer than a controller needs to start anew.
const STAYS_FOR: Duration = Duration::from_secs(300);

/// When each was deleted.
#[derive(Debug, Default)]
pub struct Retired(BTreeMap<ObjectKey, Instant>);

impl Retired {
    pub fn deleted(&mut self, key: ObjectKey, now: Instant) {
        self.0.entry(key).or_insert(now);
    }

    pub fn came_back(&mut self, key: &ObjectKey) {
        self.0.remove(key);
    }

    /// The time during which no slice could come back does not count.
    pub fn restart(&mut self, now: Instant) {
        self.0.values_mut().for_each(|since| *since = now);
    }

    /// When the next of them is gone.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|since| *since + STAYS_FOR).min()
    }

    /// Those that are gone by now.
    pub fn expired(&mut self, now: Instant) -> Vec<ObjectKey> {
        let is_over = |since: Instant| since + STAYS_FOR <= now;
        let (over, stay): (BTreeMap<_, _>, _) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(_, since)| is_over(*since));
        self.0 = stay;
        over.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ObjectKey {
        ("t".into(), "vxlan-7-4789-0".into())
    }

    #[test]
    fn a_slice_that_comes_back_was_never_gone() {
        let (mut retired, now) = (Retired::default(), Instant::now());
        retired.deleted(key(), now);
        assert!(retired.expired(now).is_empty());
        retired.came_back(&key());
        assert!(retired.expired(now + STAYS_FOR).is_empty());
        assert_eq!(retired.next(), None);
    }

    #[test]
    fn a_slice_that_does_not_come_back_is_gone_once() {
        let (mut retired, now) = (Retired::default(), Instant::now());
        retired.deleted(key(), now);
        retired.deleted(key(), now + STAYS_FOR / 2);
        assert_eq!(retired.next(), Some(now + STAYS_FOR));
        assert_eq!(retired.expired(now + STAYS_FOR), [key()]);
        assert!(retired.expired(now + STAYS_FOR).is_empty());
    }

    #[test]
    fn while_none_can_come_back_none_is_gone() {
        let (mut retired, now) = (Retired::default(), Instant::now());
        retired.deleted(key(), now);
        retired.restart(now + STAYS_FOR);
        assert!(retired.expired(now + STAYS_FOR).is_empty());
        assert_eq!(retired.expired(now + 2 * STAYS_FOR), [key()]);
    }
}
