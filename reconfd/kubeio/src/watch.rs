//! Watch of one kind of object. A watch that ends is restarted, and a list that fails is unknown, not empty: an
//! object counts as deleted only by a delete event, or when a complete list does not contain it.

use std::{
    collections::VecDeque,
    fmt::Debug,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::{
    Stream, StreamExt as _,
    future::ready as immediately,
    stream::{self, BoxStream},
};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _, utils,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use workqueue::{Attempts, Backoff};

/// Why a watch failed.
mod failure;
/// The keys of the objects that a watch has reported.
mod known_keys;
/// A kind whose definition may be missing.
mod missing;
pub use failure::WatchFailure;
pub use known_keys::{KnownKeys, ObjectEvent, ObjectKey, key};

const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// The backoff restarts after a watch has run for this time.
const RESET_AFTER: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF)
    .with_reset_after(RESET_AFTER)
    .with_jitter();
/// Delay before a lost kind is listed again.
const RELIST_DELAY: Duration = Duration::from_secs(5);

/// An event of the watcher of `kube`, or its error.
pub type WatchResult<K> = Result<Event<K>, watcher::Error>;

/// What a watch delivers.
#[derive(Debug)]
pub enum WatchUpdate<E> {
    /// An event of one object.
    Object(E),
    /// A list is complete; the objects that it does not contain were reported as deleted before.
    Synced,
    Failed(WatchFailure),
}

impl<E> WatchUpdate<E> {
    pub fn map<T>(self, event: impl FnOnce(E) -> T) -> WatchUpdate<T> {
        match self {
            Self::Object(object) => WatchUpdate::Object(event(object)),
            Self::Synced => WatchUpdate::Synced,
            Self::Failed(failure) => WatchUpdate::Failed(failure),
        }
    }
}

/// A watch of all selected objects of a kind. It never ends.
pub struct Watch<K> {
    events: BoxStream<'static, WatchResult<K>>,
    known: KnownKeys,
    /// Updates of the latest event that were not delivered yet.
    pending: VecDeque<WatchUpdate<ObjectEvent<K>>>,
}

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// After a failure it goes on where it was.
    pub fn open(api: Api<K>, selection: Config) -> Self {
        Self::of_events(objects(api, selection))
    }

    /// A kind that is forbidden or missing is listed again, and only a complete list makes it synced again.
    pub fn open_relisting(api: Api<K>, selection: Config) -> Self
    where
        K: Sync,
    {
        Self::of_events(relisted(api, selection))
    }

    /// A kind whose definition may be missing: then it is synced without objects, and followed once it is created.
    pub fn open_optional(api: Api<K>, selection: Config) -> Self
    where
        K: Resource<DynamicType = ()> + Sync,
    {
        Self::of_events(missing::empty_if_missing(relisted(api, selection)))
    }
}

impl<K> Watch<K> {
    pub fn of_events(events: impl Stream<Item = WatchResult<K>> + Send + 'static) -> Self {
        Self {
            events: events.boxed(),
            known: KnownKeys::default(),
            pending: VecDeque::new(),
        }
    }

    /// Whether the object exists, as far as known.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.known.contains(key)
    }
}

// No field is pinned by way of the watch.
impl<K> Unpin for Watch<K> {}

impl<K: Resource> Stream for Watch<K> {
    type Item = WatchUpdate<ObjectEvent<K>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(update) = self.pending.pop_front() {
                return Poll::Ready(Some(update));
            }
            match ready!(self.events.poll_next_unpin(context)) {
                Some(Ok(event)) => {
                    let is_synced = matches!(event, Event::InitDone);
                    let objects = self.known.take(event).into_iter();
                    let objects = objects.map(WatchUpdate::Object);
                    self.pending = objects
                        .chain(is_synced.then_some(WatchUpdate::Synced))
                        .collect();
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(WatchUpdate::Failed(WatchFailure(error))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

fn objects<K>(api: Api<K>, selection: Config) -> impl Stream<Item = WatchResult<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut expiry = ExpiredWatch::default();
    watcher(api, selection)
        .filter(move |result| immediately(!expiry.is_harmless(result, Instant::now())))
        .backoff(WatchBackoff::default())
        .map(|result| result.map(|event| event.modify(strip_managed_fields)))
}

fn relisted<K>(api: Api<K>, selection: Config) -> impl Stream<Item = WatchResult<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let start = move |delay: Duration| {
        let (api, selection) = (api.clone(), selection.clone());
        stream::once(async move {
            sleep(delay).await;
            objects(api, selection)
        })
        .flatten()
        .boxed()
    };
    let first = start(Duration::ZERO);
    stream::unfold((first, start), |(mut events, start)| async move {
        let mut result = events.next().await?;
        if let Err(error) = result {
            let failure = WatchFailure(error);
            if failure.is_lost() && !failure.is_of_list() {
                events = start(RELIST_DELAY);
            }
            result = Err(failure.0);
        }
        Some((result, (events, start)))
    })
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt as _;

    use super::*;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some("t".into());
        pod.metadata.name = Some(name.into());
        pod
    }

    fn error(code: u16) -> WatchResult<Pod> {
        let status = kube::core::Status {
            code,
            ..kube::core::Status::default()
        };
        Err(watcher::Error::WatchError(Box::new(status)))
    }

    #[test]
    fn a_list_is_synced_after_the_deletions_that_it_implies() {
        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(pod("a"))),
            Ok(Event::InitDone),
            error(500),
            Ok(Event::Init),
            Ok(Event::InitApply(pod("b"))),
            Ok(Event::InitDone),
        ];
        let mut watch = Watch::of_events(stream::iter(events));
        let mut texts = Vec::new();
        while let Some(Some(update)) = watch.next().now_or_never() {
            texts.push(match update {
                WatchUpdate::Object(ObjectEvent::Applied(pod)) => format!("+{}", pod.name_any()),
                WatchUpdate::Object(ObjectEvent::Deleted((_, name))) => format!("-{name}"),
                WatchUpdate::Synced => "synced".to_owned(),
                WatchUpdate::Failed(failure) => failure.code().to_string(),
            });
        }
        assert_eq!(texts, ["+a", "synced", "500", "+b", "-a", "synced"]);
        assert!(watch.contains(&key(&pod("b"))) && !watch.contains(&key(&pod("a"))));
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
        assert!(!expiry.is_harmless(&error(500), now));
        assert!(!expiry.is_harmless(&Ok(Event::Apply(pod("a"))), now));
        assert!(expiry.is_harmless(&error(410), now));
        assert!(!expiry.is_harmless(&error(410), now + RESET_AFTER));
        assert!(!expiry.is_harmless(&error(410), now + 2 * RESET_AFTER));
        assert!(expiry.is_harmless(&error(410), now + 4 * RESET_AFTER));
    }
}
