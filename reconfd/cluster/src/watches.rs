//! The watches of the daemon, limited to this node and to the served namespaces, merged into one stream.

use std::{fmt::Debug, time::Instant};

use futures::{
    StreamExt as _,
    stream::{BoxStream, SelectAll},
};
use kube::{Api, Client, Resource, core::DeserializeGuard, runtime::watcher::Config};
use kubeio::{
    api_scope::{ApiScope, apis},
    watch::{ObjectEvent, Watch, WatchUpdate},
};
use serde::de::DeserializeOwned;
use store::{
    Trigger,
    kinds::{KindVisitor, ObjectKind, Selection, StoredKind, WatchId, Wire, visit_stored},
};

use super::{Options, stores::StoreUpdater};

/// Applies one event of an object to where its kind is kept.
pub type Apply = Box<dyn FnOnce(&mut StoreUpdater) -> Option<Trigger> + Send>;

/// An update of one watch of the daemon.
pub type DaemonUpdate = (WatchId, WatchUpdate<Apply>);

/// Their events do more than to update a store.
const SPECIAL: [ObjectKind; 2] = [ObjectKind::PeerSlice, ObjectKind::ReservedNetworks];

/// The open watches.
pub struct DaemonWatches<'a> {
    client: &'a Client,
    options: &'a Options,
    pub ids: Vec<WatchId>,
    pub updates: SelectAll<BoxStream<'static, DaemonUpdate>>,
}

impl<'a> DaemonWatches<'a> {
    pub fn open(client: &'a Client, options: &'a Options) -> Self {
        let mut watches = Self {
            client,
            options,
            ids: Vec::new(),
            updates: SelectAll::new(),
        };
        visit_stored(&mut watches);
        watches.add_guarded(ObjectKind::PeerSlice, |updater, slice| {
            updater.peer_slice(slice, Instant::now())
        });
        watches.add_guarded(
            ObjectKind::ReservedNetworks,
            StoreUpdater::reserved_networks,
        );
        watches.add_guarded(ObjectKind::AddressClaim, StoreUpdater::claim);
        watches
    }

    fn add_guarded<K>(
        &mut self,
        kind: ObjectKind,
        receive: fn(&mut StoreUpdater, ObjectEvent<K>) -> Option<Trigger>,
    ) where
        K: Resource<DynamicType = (), Scope: ApiScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.add(kind, move |event: ObjectEvent<DeserializeGuard<K>>| {
            Box::new(move |updater| receive(updater, readable(event)?))
        });
    }

    /// The watches of a kind, as its row selects.
    fn add<K>(
        &mut self,
        kind: ObjectKind,
        apply: impl Fn(ObjectEvent<K>) -> Apply + Clone + Send + 'static,
    ) where
        K: Resource<DynamicType = (), Scope: ApiScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let served = &self.options.scope.namespaces;
        let selection = match kind.row().daemon {
            Some(Selection::All) => Config::default(),
            Some(Selection::WithRunner) if self.options.has_runner => Config::default(),
            Some(Selection::OfNode(field)) => {
                Config::default().fields(&format!("{field}={}", self.options.node))
            }
            Some(Selection::ServedNamespaces) if served.is_empty() => Config::default(),
            Some(Selection::ServedNamespaces) => {
                for name in served {
                    let named = Config::default().fields(&format!("metadata.name={name}"));
                    let api = Api::all(self.client.clone());
                    self.add_one((kind, Some(name.clone())), api, named, apply.clone());
                }
                return;
            }
            Some(Selection::Written(_) | Selection::WithRunner) | None => return,
        };
        for (namespace, api) in apis::<K>(self.client, served) {
            self.add_one((kind, namespace), api, selection.clone(), apply.clone());
        }
    }

    fn add_one<K>(
        &mut self,
        (kind, namespace): (ObjectKind, Option<String>),
        api: Api<K>,
        selection: Config,
        apply: impl Fn(ObjectEvent<K>) -> Apply + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let id = WatchId { kind, namespace };
        self.ids.push(id.clone());
        let updates = match kind.row().daemon {
            Some(Selection::WithRunner) => Watch::open_optional(api, selection),
            _ => Watch::open(api, selection),
        };
        let updates = updates.map(move |update| (id.clone(), update.map(&apply)));
        self.updates.push(updates.boxed());
    }
}

impl KindVisitor for DaemonWatches<'_> {
    fn visit<K: StoredKind>(&mut self) {
        if SPECIAL.contains(&K::KIND) {
            return;
        }
        self.add(K::KIND, move |event: ObjectEvent<K::Wire>| {
            Box::new(move |updater| updater.store::<K>(readable(event)?))
        });
    }
}

/// For an object that cannot be parsed, the last valid version stays in force.
pub fn readable<K, W>(event: ObjectEvent<W>) -> Option<ObjectEvent<K>>
where
    K: Resource<DynamicType = ()>,
    W: Wire<K>,
{
    match event {
        ObjectEvent::Applied(object) => match W::parsed(*object) {
            Ok(object) => Some(ObjectEvent::Applied(Box::new(object))),
            Err(invalid) => {
                let (kind, meta) = (K::kind(&()), &invalid.metadata);
                tracing::error!(
                    kind = %kind, namespace = meta.namespace, name = meta.name,
                    "cannot be parsed, the last valid version stays in force: {}", invalid.error
                );
                None
            }
        },
        ObjectEvent::Deleted(key) => Some(ObjectEvent::Deleted(key)),
    }
}

#[cfg(test)]
mod tests;
