//! The objects that podconfig reads, in memory: the kinds, their stores, and the events of their changes. Every
//! source fills the same stores, so that nothing downstream depends on which one is used.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use crds::{PeerSlice, PodConfig, PodConfigPolicy, ReservedNetworks, reserved::Serves};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    core::PartialObjectMeta,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use kubeio::watch::ObjectKey;

/// When the published networks were last confirmed to be complete.
pub mod freshness;
/// Initial-sync barrier.
mod initial_sync;
/// The kinds of objects.
pub mod kinds;
/// The fields of a pod that podconfig reads.
pub mod pod;
/// Watch of the record folder.
pub mod records;
/// An error in a manifest, with its position.
mod refusal;
/// The namespaces that an installation serves.
pub mod scope;

use self::{
    freshness::Freshness,
    kinds::{KindStores, KindWriters, ObjectKind, StoredKind},
};
pub use self::{initial_sync::InitialSync, pod::Pod, refusal::Refusal};
use scope::precedence;

pub type NamespaceMeta = PartialObjectMeta<Namespace>;

/// The label that every namespace has, whatever its manifest says.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What triggers a reconcile; a source sends it after it has updated the stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// An object was added, changed or deleted: its kind, namespace (empty for a cluster-scoped kind) and name.
    Object(ObjectKind, ObjectKey),
    /// The peers of a tunnel of this namespace.
    PeerSlice {
        namespace: String,
        vni: i32,
        port: i32,
    },
    /// The hint to this pod's network namespace has changed.
    Hint { namespace: String, name: String },
    /// The state of the claims of this pod's links has changed.
    Claims { uid: String },
    /// The record of this file name; `None` means any record.
    Records(Option<String>),
    /// The networks of this node.
    NodeNetworks,
    /// A slow step for the pod with this uid has ended.
    StepEnded(String),
    /// Anything may have changed.
    All,
}

/// Read access to the object stores. Cheap to clone and to read; a read never waits for the source.
#[derive(Clone)]
pub struct Stores {
    kinds: KindStores,
    shared: Shared,
}

/// Write side of [`Stores`]: a source applies the events of its watches here.
#[derive(Default)]
pub struct StoreWriter {
    kinds: KindWriters,
    shared: Shared,
}

/// State of the source beside the objects; all clones are one.
#[derive(Clone, Default)]
struct Shared {
    networks_confirmed: Freshness,
    served: Arc<RwLock<precedence::ServedScopes>>,
    refusals: Arc<RwLock<Arc<[Refusal]>>>,
    /// Whether absence from the pod store means that the pod does not exist: an API server knows all pods.
    knows_all_pods: bool,
}

impl StoreWriter {
    /// For a source that knows every pod of this node.
    pub fn of_api() -> Self {
        let mut writer = Self::default();
        writer.shared.knows_all_pods = true;
        writer
    }

    pub fn stores(&self) -> Stores {
        Stores {
            kinds: self.kinds.stores(),
            shared: self.shared.clone(),
        }
    }

    /// When the published networks were last confirmed; shared with the readers.
    pub fn networks_confirmed(&self) -> &Freshness {
        &self.shared.networks_confirmed
    }

    /// Marks all stores as initialised, so that readers do not wait for empty ones.
    pub fn ready(&mut self) {
        self.kinds.ready();
    }

    pub fn apply<K: StoredKind>(&mut self, event: &Event<K>) {
        K::writer(&mut self.kinds).apply_watcher_event(event);
    }

    /// Sets which namespaces an installation serves; returns whether that has changed.
    pub fn serves(&mut self, installation: &str, serves: Option<Serves>) -> bool {
        let mut served = self
            .shared
            .served
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = match serves.clone() {
            Some(serves) => served.insert(installation.to_owned(), serves),
            None => served.remove(installation),
        };
        before != serves
    }
    pub fn refusals(&mut self, refusals: Arc<[Refusal]>) {
        *self
            .shared
            .refusals
            .write()
            .unwrap_or_else(PoisonError::into_inner) = refusals;
    }
}

impl Stores {
    pub fn get<K: StoredKind>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let reference = match namespace {
            "" => ObjectRef::new(name),
            namespace => ObjectRef::new(name).within(namespace),
        };
        K::store(&self.kinds).get(&reference)
    }
    pub fn all<K: StoredKind>(&self) -> Vec<Arc<K>> {
        K::store(&self.kinds).state()
    }
    pub fn all_in<K: StoredKind>(&self, namespace: &str) -> Vec<Arc<K>> {
        let is_there = |object: &K| object.meta().namespace.as_deref() == Some(namespace);
        K::store(&self.kinds).state_filter(is_there)
    }

    pub fn podconfig(&self, namespace: &str, name: &str) -> Option<Arc<PodConfig>> {
        self.get(namespace, name)
    }
    pub fn podconfigs(&self) -> Vec<Arc<PodConfig>> {
        self.all()
    }
    pub fn podconfigs_of(&self, namespace: &str) -> Vec<Arc<PodConfig>> {
        self.all_in(namespace)
    }
    pub fn policies(&self) -> Vec<Arc<PodConfigPolicy>> {
        self.all()
    }
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.get(namespace, name)
    }
    /// Whether absence from the pod store means that the pod does not exist.
    pub fn knows_all_pods(&self) -> bool {
        self.shared.knows_all_pods
    }
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.all()
    }
    pub fn pods_of(&self, namespace: &str) -> Vec<Arc<Pod>> {
        self.all_in(namespace)
    }
    pub fn peer_slices_of(&self, namespace: &str) -> Vec<Arc<PeerSlice>> {
        self.all_in(namespace)
    }
    /// What the controller of this installation publishes: the networks that no link may overlap, and the sources
    /// that it has read.
    pub fn reserved_networks(&self) -> Vec<Arc<ReservedNetworks>> {
        self.all()
    }

    /// When the controller last confirmed that these are all; valid for [`address::inventory::VALID_FOR`].
    pub fn networks_confirmed(&self) -> Option<Instant> {
        self.shared.networks_confirmed.get()
    }

    /// The namespaces that each installation serves, as published by its controller.
    pub fn served(&self) -> precedence::ServedScopes {
        let served = self
            .shared
            .served
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        served.clone()
    }

    /// The labels of a namespace. One without an object exists all the same, with the label of its name alone.
    pub fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let namespace = self.get::<NamespaceMeta>("", name);
        let labels = namespace.and_then(|namespace| namespace.metadata.labels.clone());
        let mut labels = labels.unwrap_or_default();
        labels.insert(NAME_LABEL.into(), name.into());
        labels
    }

    /// All manifests that are refused now, ordered by file and line.
    pub fn refusals(&self) -> Arc<[Refusal]> {
        self.shared
            .refusals
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_without_a_manifest_has_the_label_of_its_name() {
        let labels = StoreWriter::default().stores().namespace_labels("tenant-a");
        assert_eq!(
            labels,
            BTreeMap::from([(NAME_LABEL.into(), "tenant-a".into())])
        );
    }

    #[test]
    fn a_namespace_cannot_take_the_name_label_of_another() {
        let mut writer = StoreWriter::default();
        let mut namespace = NamespaceMeta::default();
        namespace.metadata.name = Some("tenant-a".into());
        namespace.metadata.labels =
            Some(BTreeMap::from([(NAME_LABEL.into(), "kube-system".into())]));
        writer.apply(&Event::Apply(namespace));
        assert_eq!(
            writer.stores().namespace_labels("tenant-a")[NAME_LABEL],
            "tenant-a"
        );
    }
}
