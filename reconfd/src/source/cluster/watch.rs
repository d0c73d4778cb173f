//! One kind of object, watched for good. A watch that ends begins anew, and a list that can not be had is
//! unknown and not empty: nothing is taken for gone but what the API said is gone, or what a whole list
//! no longer holds.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, Instant},
};

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt as _, future::ready};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        utils::Backoff,
        watcher::{self, Config, Event, ExponentialBackoff, watcher},
    },
};
use serde::de::DeserializeOwned;

/// After a failure the next try comes so soon, and each further one after twice the time.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A watch that went on for so long begins with the shortest wait again.
const RESET_AFTER: Duration = Duration::from_secs(30);

/// What one watch says.
pub type WatchResult<K> = Result<Event<K>, watcher::Error>;

/// Namespace (empty for an object of the cluster) and name.
pub type ObjectKey = (String, String);

/// All objects of a kind, as far as the selection goes.
pub fn objects<K>(api: Api<K>, selection: Config) -> impl Stream<Item = WatchResult<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut expiry = ExpiredWatch::default();
    watcher(api, selection)
        .filter(move |result| ready(!expiry.is_harmless(result, Instant::now())))
        .backoff(watch_backoff())
        .map(|result| result.map(|event| event.modify(strip_managed_fields)))
}

/// `410 Expired`, as every watch gets it from an API server that has started anew: the server answers, and the
/// next thing to do is to list, at once. One that comes again and again is a failure like any other.
#[derive(Debug, Default)]
struct ExpiredWatch(Option<Instant>);

impl ExpiredWatch {
    fn is_harmless<K>(&mut self, result: &WatchResult<K>, now: Instant) -> bool {
        // Of the other errors the watcher begins no list.
        let is_expired =
            matches!(result, Err(watcher::Error::WatchError(status)) if status.code == 410);
        is_expired
            && self
                .0
                .replace(now)
                .is_none_or(|last| now.saturating_duration_since(last) > RESET_AFTER)
    }
}

/// How long it is waited after a failure. That a list begins is no success yet: one that fails again and
/// again, because the kind is not installed or may not be read, is asked for ever less often.
struct WatchBackoff {
    waits: ExponentialBackoff,
    failed: Option<Instant>,
}

fn watch_backoff() -> WatchBackoff {
    let waits = ExponentialBuilder::default()
        .with_min_delay(MIN_BACKOFF)
        .with_max_delay(MAX_BACKOFF)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times();
    WatchBackoff {
        waits: waits.into(),
        failed: None,
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let failed = self.failed.replace(Instant::now());
        if failed.is_some_and(|failed| failed.elapsed() > RESET_AFTER) {
            self.waits.reset();
        }
        self.waits.next()
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {}
}

/// Who wrote which field is half of an object's bytes and of no use here.
fn strip_managed_fields(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
}

/// What a watch has told of which objects there are, so that a list that begins anew says exactly what
/// came and what went. Pure.
#[derive(Debug, Default)]
pub struct KnownKeys {
    known: BTreeSet<ObjectKey>,
    /// The objects of the list that is under way.
    listing: Option<BTreeSet<ObjectKey>>,
    is_synced: bool,
}

/// One object came, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectEvent<K> {
    Applied(Box<K>),
    Deleted(ObjectKey),
}

impl KnownKeys {
    /// Whether a whole list has been heard once.
    pub fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Whether the object is there, as far as was heard.
    pub fn knows(&self, key: &ObjectKey) -> bool {
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

    /// The list is whole: what it does not hold is gone.
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
    use crate::source::Pod;

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
        let mut watch_backoff = watch_backoff();
        let first = watch_backoff.next();
        for _ in 0..10 {
            // What a list that begins does.
            Backoff::reset(&mut watch_backoff);
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
    fn an_object_that_nobody_knew_can_not_go() {
        let mut keys = KnownKeys::default();
        assert!(after(&mut keys, vec![Event::Delete(pod("a"))]).is_empty());
        assert!(!keys.is_synced());
    }
}
