//! The watches of the controller, merged into one stream.

use std::{fmt::Debug, time::Duration};

use crds::{
    AddressClaim, PeerSlice, PodConfig, PodConfigAllowance, PodConfigPolicy, PodReport,
    ReservedNetworks,
};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::watcher::{Config, Error, Event},
};
use kubeio::{
    client::error_text,
    watch::{KnownKeys, ObjectEvent, WatchResult, key, objects},
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::{
    index::{IndexEvent, ObjectChange, Read},
    objects::Node,
    reconcile_key::ObjectKind,
    sync_state::WatchId,
};
use crate::{
    scope::Scope,
    source::{NamespaceMeta, Pod},
};

/// Delay before a forbidden or missing kind is listed again.
const RELIST_DELAY: Duration = Duration::from_secs(5);

/// An update of one watch.
#[derive(Debug)]
pub struct WatchMessage {
    pub watch: WatchId,
    pub update: WatchUpdate,
}

/// What a watch delivers.
#[derive(Debug)]
pub enum WatchUpdate {
    Object(Box<IndexEvent>),
    /// All objects of the watch have been message.
    Synced,
    Failed {
        why: String,
        /// The watch is no longer synced.
        is_lost: bool,
    },
}

/// Opens one watch per kind over the cluster, or one per served namespace.
pub fn watches(
    client: &Client,
    scope: &Scope,
) -> (Vec<WatchId>, SelectAll<BoxStream<'static, WatchMessage>>) {
    let mut watches = Watches {
        client: client.clone(),
        scope: scope.clone(),
        ids: Vec::new(),
        streams: SelectAll::new(),
    };
    watch_cluster(&mut watches);
    watch_namespaces(&mut watches);
    (watches.ids, watches.streams)
}

/// The kinds that are watched over the whole cluster.
fn watch_cluster(watches: &mut Watches) {
    watches.of_cluster(ObjectKind::Namespace, |namespace: Option<NamespaceMeta>| {
        let live = namespace.filter(|n| n.metadata.deletion_timestamp.is_none());
        ObjectChange::Namespace(live.map(|n| n.metadata.labels.unwrap_or_default()))
    });
    watches.of_cluster(ObjectKind::Node, |node: Option<Node>| {
        ObjectChange::Node(node.map(Into::into))
    });
    watches.of_cluster(
        ObjectKind::PodConfigPolicy,
        |policy: Option<Guarded<PodConfigPolicy>>| {
            ObjectChange::Policy(policy.map(|policy| Box::new(read(policy))))
        },
    );
    watches.of_cluster(
        ObjectKind::AddressClaim,
        |claim: Option<Guarded<AddressClaim>>| {
            ObjectChange::Claim(claim.and_then(|claim| read(claim).ok()).map(Into::into))
        },
    );
    watches.of_cluster(
        ObjectKind::ReservedNetworks,
        |networks: Option<Guarded<ReservedNetworks>>| {
            let spec = networks.and_then(|networks| read(networks).ok());
            ObjectChange::Networks(spec.map(|networks| Box::new(networks.spec)))
        },
    );
}

/// The kinds that are watched in the served namespaces.
fn watch_namespaces(watches: &mut Watches) {
    watches.of_namespaces(ObjectKind::Pod, |pod: Option<Pod>| {
        ObjectChange::Pod(pod.map(Into::into))
    });
    watches.of_namespaces(
        ObjectKind::PodConfig,
        |config: Option<Guarded<PodConfig>>| {
            ObjectChange::PodConfig(config.map(|config| Box::new(read(config))))
        },
    );
    watches.of_namespaces(
        ObjectKind::PodReport,
        |report: Option<Guarded<PodReport>>| {
            ObjectChange::PodReport(report.and_then(|report| read(report).ok()).map(Into::into))
        },
    );
    watches.of_namespaces(
        ObjectKind::PodConfigAllowance,
        |allowance: Option<Guarded<PodConfigAllowance>>| {
            ObjectChange::Allowance(
                allowance.map(|allowance| Box::new(read(allowance).map(|a| a.spec))),
            )
        },
    );
    watches.of_namespaces(
        ObjectKind::PeerSlice,
        |slice: Option<Guarded<PeerSlice>>| {
            ObjectChange::PeerSlice(slice.map(|slice| read(slice).map(|slice| slice.spec)))
        },
    );
}

/// An object that fails to deserialize does not fail the whole list.
type Guarded<K> = DeserializeGuard<K>;

fn read<K: Resource<DynamicType = ()>>(guarded: Guarded<K>) -> Read<K> {
    if let Err(invalid) = &guarded.0 {
        let (namespace, name) = key(&guarded);
        let kind = K::kind(&());
        tracing::warn!(%kind, namespace, name, "cannot parse object: {invalid}");
    }
    guarded.0.map_err(Box::new)
}

struct Watches {
    client: Client,
    scope: Scope,
    ids: Vec<WatchId>,
    streams: SelectAll<BoxStream<'static, WatchMessage>>,
}

impl Watches {
    fn of_cluster<K>(&mut self, kind: ObjectKind, change: fn(Option<K>) -> ObjectChange)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.add(Api::all(self.client.clone()), kind, None, change);
    }

    fn of_namespaces<K>(&mut self, kind: ObjectKind, change: fn(Option<K>) -> ObjectChange)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        if !self.scope.is_limited() {
            return self.of_cluster(kind, change);
        }
        for namespace in self.scope.namespaces.clone() {
            let api = Api::namespaced(self.client.clone(), &namespace);
            self.add(api, kind, Some(namespace), change);
        }
    }

    fn add<K>(
        &mut self,
        api: Api<K>,
        kind: ObjectKind,
        namespace: Option<String>,
        change: fn(Option<K>) -> ObjectChange,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let id = WatchId { kind, namespace };
        self.ids.push(id.clone());
        let updates = watched(api, Config::default())
            .scan(KnownKeys::default(), move |known, result| {
                let words = take(known, result, change);
                std::future::ready(Some(stream::iter(words)))
            })
            .flatten();
        let messages = updates.map(move |update| WatchMessage {
            watch: id.clone(),
            update,
        });
        self.streams.push(messages.boxed());
    }
}

/// Watches forever. A kind that is forbidden or missing is listed again: only a complete list makes it synced
/// again.
pub(super) fn watched<K>(
    api: Api<K>,
    selection: Config,
) -> impl Stream<Item = WatchResult<K>> + Send
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
    stream::unfold((first, start), |(mut watch, start)| async move {
        let result = watch.next().await?;
        let is_over = result
            .as_ref()
            .is_err_and(|error| is_lost(error) && !matches!(error, Error::InitialListFailed(_)));
        if is_over {
            watch = start(RELIST_DELAY);
        }
        Some((result, (watch, start)))
    })
}

fn take<K>(
    known: &mut KnownKeys,
    result: WatchResult<K>,
    change: fn(Option<K>) -> ObjectChange,
) -> Vec<WatchUpdate>
where
    K: Resource,
{
    let event = match result {
        Ok(event) => event,
        Err(error) => {
            return vec![WatchUpdate::Failed {
                why: message_with_advice(&error),
                is_lost: is_lost(&error),
            }];
        }
    };
    let is_synced = matches!(event, Event::InitDone);
    let updates = known.take(event).into_iter().map(|news| {
        let ((namespace, name), object) = match news {
            ObjectEvent::Applied(object) => (key(object.as_ref()), Some(*object)),
            ObjectEvent::Deleted(key) => (key, None),
        };
        let change = change(object);
        WatchUpdate::Object(Box::new(IndexEvent {
            namespace,
            name,
            change,
        }))
    });
    updates
        .chain(is_synced.then_some(WatchUpdate::Synced))
        .collect()
}

/// Forbidden, or no such kind: cached objects are no longer valid.
fn is_lost(error: &Error) -> bool {
    matches!(code_of(error), 403 | 404)
}

/// The HTTP status code; 0 without a response.
pub(super) fn code_of(error: &Error) -> u16 {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => status.code,
        _ => 0,
    }
}

/// The server's error message.
pub(super) fn error_message(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => error_text(error),
        Error::WatchError(status) => status.message.clone(),
        Error::NoResourceVersion => error.to_string(),
    }
}

/// The error message, with advice for known causes.
fn message_with_advice(error: &Error) -> String {
    let message = error_message(error);
    let code = match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    match code {
        404 => format!("{message}; are the definitions of podconfig.dev installed?"),
        403 => format!("{message}; the account needs the role podconfig-controller"),
        _ => message,
    }
}

#[cfg(test)]
mod tests;
