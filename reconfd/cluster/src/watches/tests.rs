#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{pending, ready},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use address::claims::ClaimAllocator;
use crds::NetworkAttachmentDefinition;
use futures::FutureExt as _;
use hyper::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use store::{StoreWriter, scope::Scope};
use tokio::time::timeout;

use super::*;

fn options(namespaces: &[&str], has_runner: bool) -> Options {
    Options {
        node: "n".into(),
        scope: Scope {
            namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
            except_namespaces: Vec::new(),
        },
        installation: "default".into(),
        address_rest: Duration::ZERO,
        records: PathBuf::new(),
        has_runner,
    }
}

/// An API server whose lists are answered by `list`, with the number of the request; its watches stay silent.
fn api_server(list: impl Fn(usize) -> (u16, Value) + Clone + Send + 'static) -> Client {
    let requests = Arc::new(AtomicUsize::new(0));
    let service = move |request: Request<Body>| {
        if request
            .uri()
            .query()
            .is_some_and(|q| q.contains("watch=true"))
        {
            return pending().left_future();
        }
        let (code, body) = list(requests.fetch_add(1, Ordering::Relaxed));
        let body = Body::from(body.to_string().into_bytes());
        let response = Response::builder().status(code).body(body).unwrap();
        ready(Ok::<_, Infallible>(response)).right_future()
    };
    Client::new(tower::service_fn(service), "default")
}

fn missing() -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "404 page not found", "reason": "NotFound", "code": 404});
    (404, status)
}

fn definitions(items: Value) -> (u16, Value) {
    let list = json!({"kind": "NetworkAttachmentDefinitionList", "apiVersion": "k8s.cni.cncf.io/v1",
        "metadata": {"resourceVersion": "7"}, "items": items});
    (200, list)
}

fn definition(name: &str, spec: Value) -> Value {
    json!({"kind": "NetworkAttachmentDefinition", "apiVersion": "k8s.cni.cncf.io/v1",
        "metadata": {"name": name, "namespace": "networks"}, "spec": spec})
}

/// Watches of definitions alone.
fn open<'a>(client: &'a Client, options: &'a Options) -> DaemonWatches<'a> {
    let mut watches = DaemonWatches {
        client,
        options,
        ids: Vec::new(),
        updates: SelectAll::new(),
    };
    watches.visit::<NetworkAttachmentDefinition>();
    watches
}

fn watched(namespaces: &[&str], has_runner: bool) -> Vec<Option<String>> {
    let (client, options) = (api_server(|_| missing()), options(namespaces, has_runner));
    let watches = open(&client, &options);
    watches.ids.into_iter().map(|id| id.namespace).collect()
}

#[tokio::test]
async fn definitions_are_watched_where_there_is_a_runner() {
    assert_eq!(watched(&[], false), []);
    assert_eq!(watched(&[], true), [None]);
    let each = [Some("a".to_owned()), Some("b".to_owned())];
    assert_eq!(watched(&["a", "b"], true), each);
}

/// The updates up to the first list with objects, as text, and what the store holds then.
async fn followed(client: &Client) -> (Vec<String>, Vec<String>) {
    let options = options(&[], true);
    let mut watches = open(client, &options);
    let writer = StoreWriter::of_api();
    let stores = writer.stores();
    let scope = (Scope::default(), "default");
    let mut updater = StoreUpdater::new(writer, scope, ClaimAllocator::disabled());
    let mut texts = Vec::new();
    while !texts.contains(&"object".to_owned()) || texts.last().unwrap() != "synced" {
        let next = timeout(Duration::from_secs(20), watches.updates.next());
        let (_, update) = next.await.unwrap().unwrap();
        texts.push(match update {
            WatchUpdate::Object(apply) => {
                apply(&mut updater);
                "object".to_owned()
            }
            WatchUpdate::Synced => "synced".to_owned(),
            WatchUpdate::Failed(failure) => failure.code().to_string(),
        });
    }
    let stored = ["fast", "odd", "slow"]
        .into_iter()
        .filter(|name| {
            let definition = stores.get::<NetworkAttachmentDefinition>("networks", name);
            definition.is_some()
        })
        .map(str::to_owned);
    (texts, stored.collect())
}

#[tokio::test]
async fn a_missing_definition_of_the_kind_holds_nothing_up_and_is_followed_later() {
    let client = api_server(|number| match number {
        0 | 1 => missing(),
        _ => definitions(json!([definition("fast", json!({"config": "{}"}))])),
    });
    let (texts, stored) = followed(&client).await;
    assert_eq!(texts, ["synced", "synced", "object", "synced"]);
    assert_eq!(stored, ["fast"]);
}

#[tokio::test]
async fn a_definition_that_cannot_be_parsed_hides_no_other() {
    let client = api_server(|_| {
        definitions(json!([
            definition("fast", json!({"config": "{}"})),
            definition("odd", json!({"config": 7})),
            definition("slow", json!({})),
        ]))
    });
    let (texts, stored) = followed(&client).await;
    assert_eq!(texts, ["object", "object", "object", "synced"]);
    assert_eq!(stored, ["fast", "slow"]);
}
