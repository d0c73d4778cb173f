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
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A watch that went on for so long begins with the shortest wait again.
const PEACE: Duration = Duration::from_secs(30);

/// What one watch says.
pub type Said<K> = Result<Event<K>, watcher::Error>;

/// Namespace (empty for an object of the cluster) and name.
pub type Key = (String, String);

/// All objects of a kind, as far as the selection goes.
pub fn objects<K>(api: Api<K>, selection: Config) -> impl Stream<Item = Said<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut expiry = Expiry::default();
    watcher(api, selection)
        .filter(move |said| ready(!expiry.is_harmless(said, Instant::now())))
        .backoff(patience())
        .map(|said| said.map(|event| event.modify(lighten)))
}

/// `410 Expired`, as every watch gets it from an API server that has started anew: the server answers, and the
/// next thing to do is to list, at once. One that comes again and again is a failure like any other.
#[derive(Debug, Default)]
struct Expiry(Option<Instant>);

impl Expiry {
    fn is_harmless<K>(&mut self, said: &Said<K>, now: Instant) -> bool {
        // Of the other errors the watcher begins no list.
        let is_expired =
            matches!(said, Err(watcher::Error::WatchError(status)) if status.code == 410);
        is_expired
            && self
                .0
                .replace(now)
                .is_none_or(|last| now.saturating_duration_since(last) > PEACE)
    }
}

/// How long it is waited after a failure. That a list begins is no success yet: one that fails again and
/// again, because the kind is not installed or may not be read, is asked for ever less often.
struct Patience {
    waits: ExponentialBackoff,
    failed: Option<Instant>,
}

fn patience() -> Patience {
    let waits = ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times();
    Patience {
        waits: waits.into(),
        failed: None,
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let failed = self.failed.replace(Instant::now());
        if failed.is_some_and(|failed| failed.elapsed() > PEACE) {
            self.waits.reset();
        }
        self.waits.next()
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

/// Who wrote which field is half of an object's bytes and of no use here.
fn lighten(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
}

/// What a watch has told of which objects there are, so that a list that begins anew says exactly what
/// came and what went. Pure.
#[derive(Debug, Default)]
pub struct Ledger {
    known: BTreeSet<Key>,
    /// The objects of the list that is under way.
    listing: Option<BTreeSet<Key>>,
    is_complete: bool,
}

/// One object came, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News<K> {
    Came(Box<K>),
    Went(Key),
}

impl Ledger {
    /// Whether a whole list has been heard once.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether the object is there, as far as was heard.
    pub fn knows(&self, key: &Key) -> bool {
        self.known.contains(key)
    }

    pub fn take<K: Resource>(&mut self, event: Event<K>) -> Vec<News<K>> {
        match event {
            Event::Apply(object) => vec![self.came(object)],
            Event::Delete(object) => self.went(&key(&object)).into_iter().collect(),
            Event::Init => {
                self.listing = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(key(&object));
                }
                vec![self.came(object)]
            }
            Event::InitDone => self.listed(),
        }
    }

    fn came<K: Resource>(&mut self, object: K) -> News<K> {
        self.known.insert(key(&object));
        News::Came(Box::new(object))
    }

    fn went<K>(&mut self, key: &Key) -> Option<News<K>> {
        self.known.remove(key).then(|| News::Went(key.clone()))
    }

    /// The list is whole: what it does not hold is gone.
    fn listed<K>(&mut self) -> Vec<News<K>> {
        self.is_complete = true;
        let listing = self.listing.take().unwrap_or_default();
        let missing = self.known.difference(&listing);
        let missing: Vec<Key> = missing.cloned().collect();
        missing.iter().filter_map(|key| self.went(key)).collect()
    }
}

pub fn key(object: &impl Resource) -> Key {
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

    fn after(ledger: &mut Ledger, events: Vec<Event<Pod>>) -> Vec<String> {
        let news = events.into_iter().flat_map(|event| ledger.take(event));
        let word = |news: News<Pod>| match news {
            News::Came(pod) => format!("+{}", pod.name_any()),
            News::Went((_, name)) => format!("-{name}"),
        };
        news.map(word).collect()
    }

    #[test]
    fn what_a_whole_list_no_longer_holds_is_gone() {
        let mut ledger = Ledger::default();
        let first = vec![
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitApply(pod("b")),
            Event::InitDone,
        ];
        assert_eq!(after(&mut ledger, first), ["+a", "+b"]);
        let second = vec![Event::Init, Event::InitApply(pod("b")), Event::InitDone];
        assert_eq!(after(&mut ledger, second), ["+b", "-a"]);
    }

    #[test]
    fn a_list_that_breaks_off_takes_nothing_away() {
        let mut ledger = Ledger::default();
        let whole = vec![Event::Init, Event::InitApply(pod("a")), Event::InitDone];
        after(&mut ledger, whole);
        let broken = vec![Event::Init, Event::InitApply(pod("b")), Event::Init];
        assert_eq!(after(&mut ledger, broken), ["+b"]);
        let again = vec![Event::InitApply(pod("a")), Event::InitDone];
        assert_eq!(after(&mut ledger, again), ["+a", "-b"]);
    }

    #[test]
    fn a_list_that_fails_again_and_again_is_asked_for_ever_less_often() {
        let mut patience = patience();
        let first = patience.next();
        for _ in 0..10 {
            // What a list that begins does.
            Backoff::reset(&mut patience);
            patience.next();
        }
        assert!(first < Some(2 * FIRST_WAIT), "{first:?}");
        assert!(patience.next() >= Some(LONGEST_WAIT));
    }

    #[test]
    fn an_expired_watch_is_no_failure_unless_it_expires_again_and_again() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        let error = |code| -> Said<Pod> {
            let status = kube::core::Status {
                code,
                ..kube::core::Status::default()
            };
            Err(watcher::Error::WatchError(Box::new(status)))
        };
        assert!(!expiry.is_harmless(&error(500), now));
        assert!(!expiry.is_harmless(&Ok(Event::Apply(pod("a"))), now));
        assert!(expiry.is_harmless(&error(410), now));
        assert!(!expiry.is_harmless(&error(410), now + PEACE));
        assert!(!expiry.is_harmless(&error(410), now + 2 * PEACE));
        assert!(expiry.is_harmless(&error(410), now + 4 * PEACE));
    }

    #[test]
    fn an_object_that_nobody_knew_can_not_go() {
        let mut ledger = Ledger::default();
        assert!(after(&mut ledger, vec![Event::Delete(pod("a"))]).is_empty());
        assert!(!ledger.is_complete());
    }
}
