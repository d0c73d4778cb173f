//! Watch of one kind of object. A watch that ends is restarted, and a list that fails is unknown, not empty: an
//! object counts as deleted only by a delete event, or when a complete list does not contain it.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, future::ready};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _, utils,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use workqueue::{Attempts, Backoff};

const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// The backoff restarts after a watch has run for this time.
const RESET_AFTER: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF)
    .with_reset_after(RESET_AFTER)
    .with_jitter();

/// An event of a watch, or its error.
pub type WatchResult<K> = Result<Event<K>, watcher::Error>;

/// Namespace (empty for a cluster-scoped object) and name.
pub type ObjectKey = (String, String);

/// All selected objects of a kind.
pub fn objects<K>(api: Api<K>, selection: Config) -> impl Stream<Item = WatchResult<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut expiry = ExpiredWatch::default();
    watcher(api, selection)
        .filter(move |result| ready(!expiry.is_harmless(result, Instant::now())))
        .backoff(WatchBackoff::default())
        .map(|result| result.map(|event| event.modify(strip_managed_fields)))
}

/// `410 Expired`, which every watch gets from a restarted API server: the server is available, and a relist follows
/// at once. A repeated one is a failure like any other.
#[derive(Debug, Default)]
struct ExpiredWatch(Option<Instant>);

impl ExpiredWatch {
    fn is_harmless<K>(&mut self, result: &WatchResult<K>, now: Instant) -> bool {
        // After other errors the watcher does not relist.
        let is_expired =
            matches!(result, Err(watcher::Error::WatchError(status)) if status.code == 410);
        is_expired
            && self
                .0
                .replace(now)
                .is_none_or(|last| now.saturating_duration_since(last) > RESET_AFTER)
    }
}

/// Backoff of a watch. The start of a list is no success yet: a list that keeps failing, because the kind is not
/// installed or may not be read, is retried ever less often.
#[derive(Default)]
struct WatchBackoff(Attempts);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.failed(&BACKOFF, Instant::now()))
    }
}

impl utils::Backoff for WatchBackoff {
    fn reset(&mut self) {}
}

/// Managed fields are half of an object's size, and not used here.
fn strip_managed_fields(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
}

/// The keys of the objects that a watch has reported. A relist yields exact additions and deletions. Pure.
#[derive(Debug, Default)]
pub struct KnownKeys {
    known: BTreeSet<ObjectKey>,
    /// The keys of the list in progress.
    listing: Option<BTreeSet<ObjectKey>>,
    is_synced: bool,
}

/// An object was created or changed, or it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectEvent<K> {
    Applied(Box<K>),
    Deleted(ObjectKey),
}

impl KnownKeys {
    /// Whether a list was completed once.
    pub fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Whether the object exists, as far as known.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.known.contains(key)
    }

    pub fn take<K: Resource>(&mut self, event: Event<K>) -> Vec<ObjectEvent<K>> {
        match event {
            Event::Apply(object) => vec![self.applied(object)],
            Event::Delete(object) => self.deleted(&key(&object)).into_iter().collect(),
            Event::Init => {
                self.listing = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(key(&object));
                }
                vec![self.applied(object)]
            }
            Event::InitDone => self.listed(),
        }
    }

    fn applied<K: Resource>(&mut self, object: K) -> ObjectEvent<K> {
        self.known.insert(key(&object));
        ObjectEvent::Applied(Box::new(object))
    }

    fn deleted<K>(&mut self, key: &ObjectKey) -> Option<ObjectEvent<K>> {
        self.known
            .remove(key)
            .then(|| ObjectEvent::Deleted(key.clone()))
    }

    /// The list is complete: objects that it does not contain are deleted.
    fn listed<K>(&mut self) -> Vec<ObjectEvent<K>> {
        self.is_synced = true;
        let listing = self.listing.take().unwrap_or_default();
        let missing = self.known.difference(&listing);
        let missing: Vec<ObjectKey> = missing.cloned().collect();
        missing.iter().filter_map(|key| self.deleted(key)).collect()
    }
}

pub fn key(object: &impl Resource) -> ObjectKey {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;

    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some("t".into());
        pod.metadata.name = Some(name.into());
        pod
    }

    fn after(keys: &mut KnownKeys, events: Vec<Event<Pod>>) -> Vec<String> {
        let events = events.into_iter().flat_map(|event| keys.take(event));
        let word = |events: ObjectEvent<Pod>| match events {
            ObjectEvent::Applied(pod) => format!("+{}", pod.name_any()),
            ObjectEvent::Deleted((_, name)) => format!("-{name}"),
        };
        events.map(word).collect()
    }

    #[test]
    fn what_a_whole_list_no_longer_holds_is_gone() {
        let mut keys = KnownKeys::default();
        let first = vec![
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitApply(pod("b")),
            Event::InitDone,
        ];
        assert_eq!(after(&mut keys, first), ["+a", "+b"]);
        let second = vec![Event::Init, Event::InitApply(pod("b")), Event::InitDone];
        assert_eq!(after(&mut keys, second), ["+b", "-a"]);
    }

    #[test]
    fn a_list_that_breaks_off_takes_nothing_away() {
        let mut keys = KnownKeys::default();
        let whole = vec![Event::Init, Event::InitApply(pod("a")), Event::InitDone];
        after(&mut keys, whole);
        let broken = vec![Event::Init, Event::InitApply(pod("b")), Event::Init];
        assert_eq!(after(&mut keys, broken), ["+b"]);
        let again = vec![Event::InitApply(pod("a")), Event::InitDone];
        assert_eq!(after(&mut keys, again), ["+a", "-b"]);
    }

    #[test]
    fn a_list_that_fails_again_and_again_is_asked_for_ever_less_often() {
        let mut watch_backoff = WatchBackoff::default();
        let first = watch_backoff.next();
        for _ in 0..10 {
            // What a list that begins does.
            utils::Backoff::reset(&mut watch_backoff);
            watch_backoff.next();
        }
        assert!(first < Some(2 * MIN_BACKOFF), "{first:?}");
        assert!(watch_backoff.next() >= Some(MAX_BACKOFF));
    }

    #[test]
    fn an_expired_watch_is_no_failure_unless_it_expires_again_and_again() {
        let (mut expiry, now) = (ExpiredWatch::default(), Instant::now());
        let error = |code| -> WatchResult<Pod> {
            let status = kube::core::Status {
                code,
                ..kube::core::Status::default()
            };
            Err(watcher::Error::WatchError(Box::new(status)))
        };
        assert!(!expiry.is_harmless(&error(500), now));
        assert!(!expiry.is_harmless(&Ok(Event::Apply(pod("a"))), now));
        assert!(expiry.is_harmless(&error(410), now));
        assert!(!expiry.is_harmless(&error(410), now + RESET_AFTER));
        assert!(!expiry.is_harmless(&error(410), now + 2 * RESET_AFTER));
        assert!(expiry.is_harmless(&error(410), now + 4 * RESET_AFTER));
    }

    #[test]
    fn an_unknown_object_cannot_be_deleted() {
        let mut keys = KnownKeys::default();
        assert!(after(&mut keys, vec![Event::Delete(pod("a"))]).is_empty());
        assert!(!keys.is_synced());
    }
}
