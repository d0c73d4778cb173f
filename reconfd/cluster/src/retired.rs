//! Pure: deleted PeerSlices, which stay in force for a while. A controller removes a peer by writing the slice
//! without it; a slice that is deleted as a whole was nearly always deleted by hand, or with its definition, and
//! comes back. Tunnels go on until then.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kubeio::watch::ObjectKey;

/// A slice that has not come back after this time is gone. Longer than a controller needs to restart.
const RETENTION: Duration = Duration::from_secs(300);

/// The deletion time of each.
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

    /// When the next slice expires.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|since| *since + RETENTION).min()
    }

    /// Takes the expired slices.
    pub fn expired(&mut self, now: Instant) -> Vec<ObjectKey> {
        let is_over = |since: Instant| since + RETENTION <= now;
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
        assert!(retired.expired(now + RETENTION).is_empty());
        assert_eq!(retired.next(), None);
    }

    #[test]
    fn a_slice_that_does_not_come_back_is_gone_once() {
        let (mut retired, now) = (Retired::default(), Instant::now());
        retired.deleted(key(), now);
        retired.deleted(key(), now + RETENTION / 2);
        assert_eq!(retired.next(), Some(now + RETENTION));
        assert_eq!(retired.expired(now + RETENTION), [key()]);
        assert!(retired.expired(now + RETENTION).is_empty());
    }

    #[test]
    fn while_none_can_come_back_none_is_gone() {
        let (mut retired, now) = (Retired::default(), Instant::now());
        retired.deleted(key(), now);
        retired.restart(now + RETENTION);
        assert!(retired.expired(now + RETENTION).is_empty());
        assert_eq!(retired.expired(now + 2 * RETENTION), [key()]);
    }
}
