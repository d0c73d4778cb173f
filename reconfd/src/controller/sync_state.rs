//! Pure: sync state of the watches. A list that failed, or is no longer permitted, counts as unknown and not as
//! empty.

use std::{collections::BTreeMap, fmt};

use super::reconcile_key::ObjectKind;

/// Identifies a watch: a kind, in the whole cluster or in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId {
    pub kind: ObjectKind,
    pub namespace: Option<String>,
}

/// Sync state of all watches.
#[derive(Debug, Default)]
pub struct SyncState {
    watches: BTreeMap<WatchId, WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    is_synced: bool,
    last_error: Option<String>,
}

impl SyncState {
    /// No watch is synced yet.
    pub fn new(ids: impl IntoIterator<Item = WatchId>) -> Self {
        let unsynced = |id| (id, WatchState::default());
        Self {
            watches: ids.into_iter().map(unsynced).collect(),
        }
    }

    /// The initial list of the watch is complete.
    pub fn synced(&mut self, id: &WatchId) {
        if let Some(watch) = self.watches.get_mut(id) {
            (watch.is_synced, watch.last_error) = (true, None);
        }
    }

    /// The watch delivered an event.
    pub fn received(&mut self, id: &WatchId) {
        if let Some(watch) = self.watches.get_mut(id) {
            watch.last_error = None;
        }
    }

    /// The watch failed. Returns whether the error is new. `is_lost`: the watch is no longer synced.
    pub fn failed(&mut self, id: &WatchId, why: &str, is_lost: bool) -> bool {
        let Some(watch) = self.watches.get_mut(id) else {
            return false;
        };
        watch.is_synced &= !is_lost;
        watch.last_error.replace(why.to_owned()).as_deref() != Some(why)
    }

    /// Whether all watches of these kinds are synced.
    pub fn is_synced(&self, kinds: &[ObjectKind]) -> bool {
        let of_kinds = |id: &WatchId| kinds.contains(&id.kind);
        self.watches
            .iter()
            .all(|(id, watch)| watch.is_synced || !of_kinds(id))
    }

    /// Message that names the watches that are not synced, if any.
    pub fn unsynced(&self) -> Option<String> {
        let unsynced = self.watches.iter().filter(|(_, watch)| !watch.is_synced);
        let messages = unsynced.map(|(id, watch)| match &watch.last_error {
            Some(error) => format!("no list of {id}: {error}"),
            None => format!("no list of {id} yet"),
        });
        let messages: Vec<String> = messages.collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }
}

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind.as_str().replace("Policy", "Policie");
        write!(f, "{}s", name.trim_end_matches('s'))?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pods(namespace: &str) -> WatchId {
        WatchId {
            kind: ObjectKind::Pod,
            namespace: Some(namespace.into()),
        }
    }

    fn policies() -> WatchId {
        WatchId {
            kind: ObjectKind::PodConfigPolicy,
            namespace: None,
        }
    }

    #[test]
    fn a_kind_is_known_when_all_of_its_lists_are() {
        let mut sync = SyncState::new([pods("a"), pods("b"), policies()]);
        sync.synced(&pods("a"));
        sync.synced(&policies());
        assert!(
            !sync.is_synced(&[ObjectKind::Pod]) && sync.is_synced(&[ObjectKind::PodConfigPolicy])
        );
        sync.synced(&pods("b"));
        assert!(sync.is_synced(&[ObjectKind::Pod, ObjectKind::PodConfigPolicy]));
        assert_eq!(sync.unsynced(), None);
    }

    #[test]
    fn what_may_no_longer_be_read_is_unknown_until_it_was_listed_anew() {
        let mut sync = SyncState::new([policies()]);
        sync.synced(&policies());
        assert!(sync.failed(&policies(), "connection refused", false));
        assert!(
            sync.is_synced(&[ObjectKind::PodConfigPolicy]),
            "it comes back"
        );
        assert!(sync.failed(&policies(), "forbidden", true));
        assert!(!sync.is_synced(&[ObjectKind::PodConfigPolicy]));
        let missing = sync.unsynced().unwrap();
        assert_eq!(missing, "no list of PodConfigPolicies: forbidden");
        sync.synced(&policies());
        assert!(sync.is_synced(&[ObjectKind::PodConfigPolicy]));
    }

    #[test]
    fn the_same_fault_is_news_once_until_the_watch_goes_on() {
        let mut sync = SyncState::new([pods("a")]);
        assert!(sync.failed(&pods("a"), "refused", false));
        assert!(!sync.failed(&pods("a"), "refused", false));
        sync.received(&pods("a"));
        assert!(sync.failed(&pods("a"), "refused", false));
    }
}
