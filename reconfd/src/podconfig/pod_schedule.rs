//! When which pod is reconciled: the dirty ones in the next pass, the others when their applied
//! state says so.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use node::sandbox::Extent;

use super::{applied::AppliedState, rate_limit::NamespaceBuckets};

/// Indexes of pod ends to announce, with their extent.
pub type Announcements = Vec<(u32, Extent)>;

/// Pods by uid.
#[derive(Debug, Default)]
pub struct PodSchedule {
    /// Pods of the next pass.
    dirty: BTreeSet<String>,
    applied: HashMap<String, AppliedState>,
    namespace_buckets: NamespaceBuckets,
}

impl PodSchedule {
    pub fn enqueue(&mut self, uids: impl IntoIterator<Item = String>) {
        self.dirty.extend(uids);
    }

    /// Enqueues a pod with a state that this holds for.
    pub fn enqueue_if(&mut self, uid: &str, is_meant: impl FnOnce(&mut AppliedState) -> bool) {
        if self.applied.get_mut(uid).is_some_and(is_meant) {
            self.dirty.insert(uid.to_owned());
        }
    }

    /// Enqueues all pods with a state that this holds for.
    pub fn enqueue_where(&mut self, is_meant: impl Fn(&AppliedState) -> bool) {
        let meant = self.applied.iter().filter(|(_, state)| is_meant(state));
        self.dirty.extend(meant.map(|(uid, _)| uid.clone()));
    }

    /// Enqueues the pods that are due without an event.
    pub fn enqueue_due(&mut self, now: Instant) {
        for (uid, applied) in &mut self.applied {
            if applied.take_due(now) {
                self.dirty.insert(uid.clone());
            }
        }
    }

    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub fn take_dirty(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.dirty)
    }

    /// When the next pod is due, or the next announcement.
    pub fn next_due(&self) -> Option<Instant> {
        self.applied.values().filter_map(AppliedState::next).min()
    }

    pub fn applied(&self, uid: &str) -> Option<&AppliedState> {
        self.applied.get(uid)
    }

    pub fn applied_mut(&mut self, uid: &str) -> Option<&mut AppliedState> {
        self.applied.get_mut(uid)
    }

    /// The state of a pod, an empty one if it has none.
    pub fn state_of(&mut self, uid: &str) -> &mut AppliedState {
        self.applied.entry(uid.to_owned()).or_default()
    }

    /// As `state_of`, with the limits of the namespaces.
    pub fn limited_state_of(&mut self, uid: &str) -> (&mut AppliedState, &mut NamespaceBuckets) {
        let applied = self.applied.entry(uid.to_owned()).or_default();
        (applied, &mut self.namespace_buckets)
    }

    /// Forgets the state of a pod; it stays dirty if it is.
    pub fn forget(&mut self, uid: &str) -> Option<AppliedState> {
        self.applied.remove(uid)
    }

    /// All pods with a state.
    pub fn uids(&self) -> impl Iterator<Item = &String> {
        self.applied.keys()
    }

    /// All states, by pod.
    pub fn states(&self) -> impl Iterator<Item = (&String, &AppliedState)> {
        self.applied.iter()
    }

    /// No state can be relied on until its pod was observed.
    pub fn mark_all_unseen(&mut self) {
        self.applied
            .values_mut()
            .for_each(|applied| applied.seen = false);
    }

    /// The announcements that are due, by pod.
    pub fn take_announcements(&mut self, now: Instant) -> Vec<(String, Announcements)> {
        let due = self.applied.iter_mut().filter_map(|(uid, applied)| {
            let links = applied.take_announcements(now);
            (!links.is_empty()).then(|| (uid.clone(), links))
        });
        due.collect()
    }

    /// How many links overlap a network.
    pub fn conflicts(&self) -> usize {
        self.applied.values().map(|applied| applied.conflicts).sum()
    }

    /// Age of the oldest change that is not applied.
    pub fn oldest_unapplied(&self) -> Duration {
        let unapplied = self.applied.values();
        let oldest = unapplied
            .filter_map(|applied| applied.unapplied_since)
            .min();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirty(schedule: &mut PodSchedule) -> Vec<String> {
        schedule.take_dirty().into_iter().collect()
    }

    #[test]
    fn a_pod_is_enqueued_once_when_it_is_due() {
        let (mut schedule, now) = (PodSchedule::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        schedule.state_of("a").requeue_at(later);
        schedule.state_of("b").requeue_at(now);
        schedule.enqueue_due(now);
        assert_eq!(dirty(&mut schedule), ["b"]);
        assert_eq!(schedule.next_due(), Some(later));
        schedule.enqueue_due(now);
        assert!(!schedule.has_dirty());
    }

    #[test]
    fn only_pods_with_a_matching_state_are_enqueued() {
        let mut schedule = PodSchedule::default();
        schedule.state_of("a").is_incomplete = true;
        schedule.state_of("b").seen = true;
        schedule.enqueue_where(|state| state.is_incomplete);
        schedule.enqueue_if("b", |state| state.is_incomplete);
        schedule.enqueue_if("c", |_| true);
        assert_eq!(dirty(&mut schedule), ["a"]);
        schedule.enqueue_if("b", |state| std::mem::take(&mut state.seen));
        assert_eq!(dirty(&mut schedule), ["b"]);
    }

    #[test]
    fn a_forgotten_pod_stays_dirty() {
        let mut schedule = PodSchedule::default();
        schedule.state_of("a").conflicts = 2;
        schedule.enqueue(["a".to_owned()]);
        assert!(schedule.forget("a").is_some());
        assert_eq!(schedule.conflicts(), 0);
        assert!(schedule.has_dirty() && schedule.applied("a").is_none());
    }
}
