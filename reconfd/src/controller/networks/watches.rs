//! The watches of all served sources, merged into one stream of events. They are opened and closed with their
//! kinds.

use std::future::ready;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::watcher::{Config, Event},
};
use kubeio::watch::{KnownKeys, ObjectEvent, ObjectKey, WatchResult, key};
use serde_json::json;
use tokio::sync::oneshot;

use super::sources::SourceEvent;
use crate::{
    address::sources::{ALL, Extracted, Selector, SourceKind, read},
    controller::watches::{code_of, error_message, watched},
};

/// Watch timeout in seconds: a running watch does not notice that its permission was revoked, but a restart does.
const WATCH_TIMEOUT: u32 = 20;

/// Number of the source, and its event.
pub type SourceMessage = (usize, SourceEvent);

/// The open watches.
pub struct SourceWatches {
    client: Client,
    open: Vec<Option<Open>>,
    pub events: SelectAll<BoxStream<'static, SourceMessage>>,
}

struct Open {
    resource: ApiResource,
    /// Ends the watch when dropped.
    _stop: oneshot::Sender<()>,
}

impl SourceWatches {
    pub fn new(client: &Client) -> Self {
        let mut events = SelectAll::new();
        // A stream that never yields, so that `SelectAll` does not end without watches.
        events.push(stream::pending().boxed());
        Self {
            client: client.clone(),
            open: ALL.iter().map(|_| None).collect(),
            events,
        }
    }

    /// Opens a watch unless it is already open.
    pub fn open(&mut self, at: usize, resource: &ApiResource) {
        let is_open = self.open[at]
            .as_ref()
            .is_some_and(|open| open.resource == *resource);
        if is_open {
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let events = events(&self.client, &ALL[at], resource);
        let events = events.map(move |event| (at, event)).take_until(stopped);
        self.events.push(events.boxed());
        self.open[at] = Some(Open {
            resource: resource.clone(),
            _stop: stop,
        });
    }

    /// Restarts an open watch with a new list.
    pub fn restart(&mut self, at: usize) {
        if let Some(open) = self.open[at].take() {
            self.open(at, &open.resource);
        }
    }

    pub fn close(&mut self, at: usize) {
        self.open[at] = None;
    }
}

fn events(
    client: &Client,
    source_kind: &'static SourceKind,
    resource: &ApiResource,
) -> BoxStream<'static, SourceEvent> {
    let (api, selection) = selection(client, source_kind, resource);
    let events = watched(api, selection)
        .scan(KnownKeys::default(), move |known, result| {
            ready(Some(stream::iter(take(source_kind, known, result))))
        })
        .flatten();
    stream::iter([SourceEvent::Restarted]).chain(events).boxed()
}

fn selection(
    client: &Client,
    source_kind: &SourceKind,
    resource: &ApiResource,
) -> (Api<DynamicObject>, Config) {
    let client = client.clone();
    let (all, whole) = (
        |client| Api::all_with(client, resource),
        Config::default().timeout(WATCH_TIMEOUT),
    );
    let named = |name: &str| whole.clone().fields(&format!("metadata.name={name}"));
    match source_kind.selector {
        Selector::All => (all(client), whole),
        Selector::Named("", name) => (all(client), named(name)),
        Selector::Named(namespace, name) => (
            Api::namespaced_with(client, namespace, resource),
            named(name),
        ),
        Selector::Labelled(namespace, label) => (
            Api::namespaced_with(client, namespace, resource),
            whole.labels(label),
        ),
    }
}

fn take(
    source_kind: &SourceKind,
    known: &mut KnownKeys,
    result: WatchResult<DynamicObject>,
) -> Vec<SourceEvent> {
    let event = match result {
        Ok(event) => event,
        Err(error) => {
            let code = code_of(&error);
            return vec![SourceEvent::Failed {
                why: describe_error(source_kind, &error_message(&error), code),
                code,
            }];
        }
    };
    let is_synced = matches!(event, Event::InitDone);
    let news = known.take(event).into_iter();
    let objects = news.map(|news| match news {
        ObjectEvent::Applied(object) => {
            let (key, extracted) = read_object(source_kind, *object);
            SourceEvent::Object(key, Some(extracted))
        }
        ObjectEvent::Deleted(key) => SourceEvent::Object(key, None),
    });
    objects
        .chain(is_synced.then_some(SourceEvent::Synced))
        .collect()
}

/// Reads the networks of an object and drops the rest.
fn read_object(source_kind: &SourceKind, object: DynamicObject) -> (ObjectKey, Extracted) {
    let key = key(&object);
    let mut value = object.data;
    if let Some(fields) = value.as_object_mut() {
        let metadata = json!({"namespace": key.0, "name": key.1});
        fields.insert("metadata".into(), metadata);
    }
    let extracted = read(source_kind, &value);
    (key, extracted)
}

/// Error message with the permission that is missing.
fn describe_error(source_kind: &SourceKind, message: &str, code: u16) -> String {
    let place = match source_kind.selector {
        Selector::Named(namespace, _) | Selector::Labelled(namespace, _)
            if !namespace.is_empty() =>
        {
            format!(" in namespace {namespace}")
        }
        _ => String::new(),
    };
    let resource = match source_kind.group {
        "" => source_kind.plural.to_owned(),
        group => format!("{}.{group}", source_kind.plural),
    };
    let grant = match code {
        401 | 403 => format!("; grant the controller list and watch of {resource}{place}"),
        _ => String::new(),
    };
    format!("list and watch {resource}{place}: {message}{grant}")
}
