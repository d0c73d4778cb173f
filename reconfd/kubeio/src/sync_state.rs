//! Pure: sync state of watches. A list that failed, or is no longer permitted, counts as unknown and not as empty.

use std::collections::BTreeMap;

/// Sync state of all watches of a program, by an id of its choice.
#[derive(Debug)]
pub struct SyncState<I> {
    watches: BTreeMap<I, WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    is_synced: bool,
    last_error: Option<String>,
}

impl<I> Default for SyncState<I> {
    fn default() -> Self {
        Self {
            watches: BTreeMap::new(),
        }
    }
}

impl<I: Ord> FromIterator<I> for SyncState<I> {
    fn from_iter<T: IntoIterator<Item = I>>(ids: T) -> Self {
        let mut state = Self::default();
        ids.into_iter().for_each(|id| state.open(id));
        state
    }
}

impl<I: Ord> SyncState<I> {
    /// A watch that is not synced yet.
    pub fn open(&mut self, id: I) {
        self.watches.insert(id, WatchState::default());
    }

    pub fn close(&mut self, id: &I) {
        self.watches.remove(id);
    }

    /// A list of the watch is complete. Returns whether the watch has recovered from an error.
    pub fn synced(&mut self, id: &I) -> bool {
        let Some(watch) = self.watches.get_mut(id) else {
            return false;
        };
        watch.is_synced = true;
        watch.last_error.take().is_some()
    }

    /// The watch delivered an object. Returns whether it has recovered from an error.
    pub fn received(&mut self, id: &I) -> bool {
        let watch = self.watches.get_mut(id);
        watch.is_some_and(|watch| watch.last_error.take().is_some())
    }

    /// The watch failed. Returns whether the error is new. `is_lost`: the watch is no longer synced.
    pub fn failed(&mut self, id: &I, why: &str, is_lost: bool) -> bool {
        let Some(watch) = self.watches.get_mut(id) else {
            return false;
        };
        watch.is_synced &= !is_lost;
        watch.last_error.replace(why.to_owned()).as_deref() != Some(why)
    }

    /// Whether all of these watches are synced.
    pub fn are_synced(&self, of: impl Fn(&I) -> bool) -> bool {
        self.watches
            .iter()
            .all(|(id, watch)| watch.is_synced || !of(id))
    }

    /// Whether one of these watches fails at the moment.
    pub fn is_any_failing(&self, of: impl Fn(&I) -> bool) -> bool {
        self.watches
            .iter()
            .any(|(id, watch)| watch.last_error.is_some() && of(id))
    }

    /// The watches that are not synced, each with its current error.
    pub fn unsynced(&self) -> impl Iterator<Item = (&I, Option<&str>)> {
        let unsynced = self.watches.iter().filter(|(_, watch)| !watch.is_synced);
        unsynced.map(|(id, watch)| (id, watch.last_error.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_when_all_of_its_lists_are() {
        let mut sync: SyncState<_> = [("pods", "a"), ("pods", "b"), ("policies", "")]
            .into_iter()
            .collect();
        let are_synced = |sync: &SyncState<_>, kind| sync.are_synced(|id: &(_, _)| id.0 == kind);
        sync.synced(&("pods", "a"));
        sync.synced(&("policies", ""));
        assert!(!are_synced(&sync, "pods") && are_synced(&sync, "policies"));
        sync.synced(&("pods", "b"));
        assert!(are_synced(&sync, "pods"));
        assert_eq!(sync.unsynced().count(), 0);
    }

    #[test]
    fn what_may_no_longer_be_read_is_unknown_until_it_was_listed_anew() {
        let mut sync: SyncState<_> = ["policies"].into_iter().collect();
        sync.synced(&"policies");
        assert!(sync.failed(&"policies", "connection refused", false));
        assert!(sync.are_synced(|_| true), "it comes back");
        assert!(sync.failed(&"policies", "forbidden", true));
        assert!(!sync.are_synced(|_| true));
        let unsynced: Vec<_> = sync.unsynced().collect();
        assert_eq!(unsynced, [(&"policies", Some("forbidden"))]);
        assert!(sync.synced(&"policies"));
        assert!(sync.are_synced(|_| true));
    }

    #[test]
    fn the_same_fault_is_news_once_until_the_watch_goes_on() {
        let mut sync: SyncState<_> = ["pods"].into_iter().collect();
        assert!(sync.failed(&"pods", "refused", false));
        assert!(!sync.failed(&"pods", "refused", false));
        assert!(sync.is_any_failing(|_| true));
        assert!(sync.received(&"pods"));
        assert!(!sync.is_any_failing(|_| true));
        assert!(sync.failed(&"pods", "refused", false));
    }

    #[test]
    fn a_watch_that_is_closed_holds_nothing_up() {
        let mut sync: SyncState<_> = ["a", "b"].into_iter().collect();
        sync.synced(&"a");
        sync.close(&"b");
        assert!(sync.are_synced(|_| true));
        assert!(!sync.failed(&"b", "late", true));
    }
}
