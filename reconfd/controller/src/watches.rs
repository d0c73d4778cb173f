//! The watches of the controller, merged into one stream.

use std::fmt::Debug;

use crds::{
    AddressClaim, PeerSlice, PodConfig, PodConfigAllowance, PodConfigPolicy, PodReport,
    ReservedNetworks,
};
use futures::{
    StreamExt as _,
    stream::{BoxStream, SelectAll},
};
use kube::{Client, Resource, core::DeserializeGuard, runtime::watcher::Config};
use kubeio::{
    api_scope::{ApiScope, apis},
    sync_state::SyncState,
    watch::{ObjectEvent, Watch, WatchFailure, WatchUpdate, key},
};
use serde::de::DeserializeOwned;
use store::{
    NamespaceMeta, Pod,
    kinds::{ObjectKind, WatchId},
    scope::Scope,
};

use super::{
    index::{IndexEvent, ObjectChange, Read},
    objects::Node,
};

/// An update of one watch.
pub type WatchMessage = (WatchId, WatchUpdate<Box<IndexEvent>>);

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
    watches.add(ObjectKind::Namespace, |namespace: Option<NamespaceMeta>| {
        let live = namespace.filter(|n| n.metadata.deletion_timestamp.is_none());
        ObjectChange::Namespace(live.map(|n| n.metadata.labels.unwrap_or_default()))
    });
    watches.add(ObjectKind::Node, |node: Option<Node>| {
        ObjectChange::Node(node.map(Into::into))
    });
    watches.add(
        ObjectKind::PodConfigPolicy,
        |policy: Option<Guarded<PodConfigPolicy>>| {
            ObjectChange::Policy(policy.map(|policy| Box::new(read(policy))))
        },
    );
    watches.add(
        ObjectKind::AddressClaim,
        |claim: Option<Guarded<AddressClaim>>| {
            ObjectChange::Claim(claim.and_then(|claim| read(claim).ok()).map(Into::into))
        },
    );
    watches.add(
        ObjectKind::ReservedNetworks,
        |networks: Option<Guarded<ReservedNetworks>>| {
            let spec = networks.and_then(|networks| read(networks).ok());
            ObjectChange::Networks(spec.map(|networks| Box::new(networks.spec)))
        },
    );
}

/// The kinds that are watched in the served namespaces.
fn watch_namespaces(watches: &mut Watches) {
    watches.add(ObjectKind::Pod, |pod: Option<Pod>| {
        ObjectChange::Pod(pod.map(Into::into))
    });
    watches.add(
        ObjectKind::PodConfig,
        |config: Option<Guarded<PodConfig>>| {
            ObjectChange::PodConfig(config.map(|config| Box::new(read(config))))
        },
    );
    watches.add(
        ObjectKind::PodReport,
        |report: Option<Guarded<PodReport>>| {
            ObjectChange::PodReport(report.and_then(|report| read(report).ok()).map(Into::into))
        },
    );
    watches.add(
        ObjectKind::PodConfigAllowance,
        |allowance: Option<Guarded<PodConfigAllowance>>| {
            ObjectChange::Allowance(
                allowance.map(|allowance| Box::new(read(allowance).map(|a| a.spec))),
            )
        },
    );
    watches.add(
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
    /// One watch over the cluster; of a kind with namespaces, one for each served namespace if these are limited.
    fn add<K>(&mut self, kind: ObjectKind, change: fn(Option<K>) -> ObjectChange)
    where
        K: Resource<DynamicType = (), Scope: ApiScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        for (namespace, api) in apis::<K>(&self.client, &self.scope.namespaces) {
            let id = WatchId { kind, namespace };
            self.ids.push(id.clone());
            let updates = Watch::open_relisting(api, Config::default());
            let messages = updates.map(move |update| {
                let update = update.map(|event| index_event(event, change));
                (id.clone(), update)
            });
            self.streams.push(messages.boxed());
        }
    }
}

fn index_event<K: Resource>(
    event: ObjectEvent<K>,
    change: fn(Option<K>) -> ObjectChange,
) -> Box<IndexEvent> {
    let ((namespace, name), object) = event.into_parts();
    Box::new(IndexEvent {
        namespace,
        name,
        change: change(object),
    })
}

/// Whether all watches of these kinds are synced.
pub fn are_synced(state: &SyncState<WatchId>, kinds: &[ObjectKind]) -> bool {
    state.are_synced(|id| kinds.contains(&id.kind))
}

/// Message that names the watches that are not synced, if any.
pub fn unsynced(state: &SyncState<WatchId>) -> Option<String> {
    let messages = state.unsynced().map(|(id, error)| match error {
        Some(error) => format!("no list of {id}: {error}"),
        None => format!("no list of {id} yet"),
    });
    let messages: Vec<String> = messages.collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

/// The error message, with advice for known causes.
pub fn message_with_advice(failure: &WatchFailure) -> String {
    let message = failure.message();
    match failure.code() {
        404 if failure.is_at_start() => {
            format!("{message}; are the definitions of podconfig.dev installed?")
        }
        403 if failure.is_at_start() => {
            format!("{message}; the account needs the role podconfig-controller")
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests;
