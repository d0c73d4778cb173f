//! The watches of all served sources, merged into one stream of events. They are opened and closed with their
//! kinds.

use address::sources::{ALL, Extracted, Selector, SourceKind, read};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::watcher::Config,
};
use kubeio::watch::{ObjectEvent, ObjectKey, Watch, WatchFailure, WatchUpdate};
use serde_json::json;
use tokio::sync::oneshot;

use super::sources::SourceEvent;

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
    let updates = Watch::open_relisting(api, selection);
    let events = updates.map(move |update| source_event(source_kind, update));
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

fn source_event(
    source_kind: &SourceKind,
    update: WatchUpdate<ObjectEvent<DynamicObject>>,
) -> SourceEvent {
    match update {
        WatchUpdate::Object(event) => {
            let (key, object) = event.into_parts();
            let extracted = object.map(|object| read_object(source_kind, &key, object));
            SourceEvent::Object(key, extracted)
        }
        WatchUpdate::Synced => SourceEvent::Synced,
        WatchUpdate::Failed(failure) => SourceEvent::Failed {
            code: failure.code(),
            why: describe_error(source_kind, &failure),
        },
    }
}

/// Reads the networks of an object and drops the rest.
fn read_object(source_kind: &SourceKind, key: &ObjectKey, object: DynamicObject) -> Extracted {
    let mut value = object.data;
    if let Some(fields) = value.as_object_mut() {
        let metadata = json!({"namespace": key.0, "name": key.1});
        fields.insert("metadata".into(), metadata);
    }
    read(source_kind, &value)
}

/// Error message with the permission that is missing.
fn describe_error(source_kind: &SourceKind, failure: &WatchFailure) -> String {
    let message = failure.message();
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
    let grant = match failure.code() {
        401 | 403 => format!("; grant the controller list and watch of {resource}{place}"),
        _ => String::new(),
    };
    format!("list and watch {resource}{place}: {message}{grant}")
}
