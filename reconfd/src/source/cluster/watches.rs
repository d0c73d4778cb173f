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

use super::{Options, stores::StoreUpdater};
use crate::{
    kinds::{ObjectKind, WatchId},
    source::{NamespaceMeta, Trigger},
};

/// Applies one event of an object to where its kind is kept.
pub type Apply = Box<dyn FnOnce(&mut StoreUpdater) -> Option<Trigger> + Send>;

/// An update of one watch of the daemon.
pub type DaemonUpdate = (WatchId, WatchUpdate<Apply>);

/// One object that cannot be parsed must not make a whole list fail.
pub type Guarded<K> = DeserializeGuard<K>;

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
        let node = &options.node;
        let of_pods = Config::default().fields(&format!("spec.nodeName={node}"));
        let of_node = Config::default().fields(&format!("spec.node={node}"));
        let all = Config::default;
        let guarded = &mut watches;
        guarded.add_guarded(ObjectKind::PodConfig, &all(), StoreUpdater::podconfig);
        guarded.add_guarded(ObjectKind::PodConfigPolicy, &all(), StoreUpdater::policy);
        guarded.add_guarded(ObjectKind::PeerSlice, &all(), |updater, slice| {
            updater.peer_slice(slice, Instant::now())
        });
        let networks = StoreUpdater::reserved_networks;
        guarded.add_guarded(ObjectKind::ReservedNetworks, &all(), networks);
        guarded.add_guarded(ObjectKind::AddressClaim, &of_node, StoreUpdater::claim);
        watches.add(ObjectKind::Pod, &of_pods, |pod| {
            Box::new(|updater| updater.pod(pod))
        });
        watches.add_namespaces();
        watches
    }

    /// The served namespaces, each by its name, or all.
    fn add_namespaces(&mut self) {
        let apply = |namespace: ObjectEvent<NamespaceMeta>| -> Apply {
            Box::new(|updater| updater.namespace(namespace))
        };
        let names = &self.options.scope.namespaces;
        if names.is_empty() {
            return self.add(ObjectKind::Namespace, &Config::default(), apply);
        }
        for name in names {
            let id = WatchId {
                kind: ObjectKind::Namespace,
                namespace: Some(name.clone()),
            };
            let named = Config::default().fields(&format!("metadata.name={name}"));
            self.add_one(id, Api::all(self.client.clone()), named, apply);
        }
    }

    fn add_guarded<K>(
        &mut self,
        kind: ObjectKind,
        selection: &Config,
        receive: fn(&mut StoreUpdater, ObjectEvent<K>) -> Option<Trigger>,
    ) where
        K: Resource<DynamicType = (), Scope: ApiScope>,
        K: Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self.add(kind, selection, move |event: ObjectEvent<Guarded<K>>| {
            Box::new(move |updater| receive(updater, readable(event)?))
        });
    }

    /// One watch over the cluster, or one for each served namespace.
    fn add<K>(
        &mut self,
        kind: ObjectKind,
        selection: &Config,
        apply: impl Fn(ObjectEvent<K>) -> Apply + Clone + Send + 'static,
    ) where
        K: Resource<DynamicType = (), Scope: ApiScope>,
        K: Clone + DeserializeOwned + Debug + Send + 'static,
    {
        for (namespace, api) in apis::<K>(self.client, &self.options.scope.namespaces) {
            let id = WatchId { kind, namespace };
            self.add_one(id, api, selection.clone(), apply.clone());
        }
    }

    fn add_one<K>(
        &mut self,
        id: WatchId,
        api: Api<K>,
        selection: Config,
        apply: impl Fn(ObjectEvent<K>) -> Apply + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self.ids.push(id.clone());
        let updates = Watch::open(api, selection);
        let updates = updates.map(move |update| (id.clone(), update.map(&apply)));
        self.updates.push(updates.boxed());
    }
}

/// For an object that cannot be parsed, the last valid version stays in force.
pub fn readable<K: Resource<DynamicType = ()>>(
    event: ObjectEvent<Guarded<K>>,
) -> Option<ObjectEvent<K>> {
    match event {
        ObjectEvent::Applied(guarded) => match guarded.0 {
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
