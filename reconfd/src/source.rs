//! Object sources and report sinks. Both sources fill the same stores, so that nothing downstream depends on
//! which one is used.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use crds::{PeerSlice, PodConfig, PodConfigPolicy, ReservedNetworks, reserved::Serves};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Resource,
    core::PartialObjectMeta,
    runtime::{
        reflector::{
            ObjectRef,
            store::{Store, Writer},
        },
        watcher::Event,
    },
};

/// The Kubernetes API.
pub mod cluster;
/// A watched folder of manifests.
pub mod directory;
/// When the published networks were last confirmed to be complete.
pub mod freshness;
/// Initial-sync barrier.
mod initial_sync;
/// The fields of a pod that podconfig reads.
pub mod pod;
/// Watch of the record folder.
pub mod records;
/// An error in a manifest, with its position.
mod refusal;
/// Destination of reports.
mod report_sink;
/// Validation of manifests by the CRD's schema, defaults and CEL rules.
pub mod schema;

use self::freshness::Freshness;
pub use self::{initial_sync::InitialSync, pod::Pod, refusal::Refusal, report_sink::ReportSink};
use crate::scope::precedence;

pub type NamespaceMeta = PartialObjectMeta<Namespace>;

/// The label that every namespace has, whatever its manifest says.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What triggers a reconcile; a source sends it after it has updated the stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    PodConfig {
        namespace: String,
        name: String,
    },
    /// A policy was added, changed or deleted.
    Policy,
    Namespace(String),
    /// The peers of a tunnel of this namespace.
    PeerSlice {
        namespace: String,
        vni: i32,
        port: i32,
    },
    Pod {
        namespace: String,
        name: String,
    },
    /// The hint to this pod's network namespace has changed.
    Hint {
        namespace: String,
        name: String,
    },
    /// The state of the claims of this pod's links has changed.
    Claims {
        uid: String,
    },
    /// The record of this file name; `None` means any record.
    Records(Option<String>),
    /// The networks that no link may overlap have changed, or are known (again).
    ReservedNetworks,
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
    podconfigs: Store<PodConfig>,
    policies: Store<PodConfigPolicy>,
    pods: Store<Pod>,
    namespaces: Store<NamespaceMeta>,
    peer_slices: Store<PeerSlice>,
    reserved_networks: Store<ReservedNetworks>,
    networks_confirmed: Freshness,
    served: Arc<RwLock<precedence::ServedScopes>>,
    refusals: Arc<RwLock<Arc<[Refusal]>>>,
    /// Whether absence from the pod store means that the pod does not exist: an API server knows all pods.
    knows_all_pods: bool,
}

/// Write side of [`Stores`]: a source applies the events of its watches here.
pub struct StoreWriter {
    podconfigs: Writer<PodConfig>,
    policies: Writer<PodConfigPolicy>,
    pods: Writer<Pod>,
    namespaces: Writer<NamespaceMeta>,
    peer_slices: Writer<PeerSlice>,
    reserved_networks: Writer<ReservedNetworks>,
    networks_confirmed: Freshness,
    served: Arc<RwLock<precedence::ServedScopes>>,
    refusals: Arc<RwLock<Arc<[Refusal]>>>,
    knows_all_pods: bool,
}

impl StoreWriter {
    pub fn new() -> Self {
        Self {
            knows_all_pods: false,
            podconfigs: Writer::default(),
            policies: Writer::default(),
            pods: Writer::default(),
            namespaces: Writer::default(),
            peer_slices: Writer::default(),
            reserved_networks: Writer::default(),
            networks_confirmed: Freshness::default(),
            served: Arc::default(),
            refusals: Arc::new(RwLock::new(Arc::new([]))),
        }
    }

    /// For a source that knows every pod of this node.
    pub fn of_api() -> Self {
        Self {
            knows_all_pods: true,
            ..Self::new()
        }
    }

    pub fn stores(&self) -> Stores {
        Stores {
            knows_all_pods: self.knows_all_pods,
            podconfigs: self.podconfigs.as_reader(),
            policies: self.policies.as_reader(),
            pods: self.pods.as_reader(),
            namespaces: self.namespaces.as_reader(),
            peer_slices: self.peer_slices.as_reader(),
            reserved_networks: self.reserved_networks.as_reader(),
            networks_confirmed: self.networks_confirmed.clone(),
            served: self.served.clone(),
            refusals: self.refusals.clone(),
        }
    }

    /// Marks all stores as initialised, so that readers do not wait for empty ones.
    pub fn ready(&mut self) {
        self.podconfig(&Event::Init);
        self.podconfig(&Event::InitDone);
        self.policy(&Event::Init);
        self.policy(&Event::InitDone);
        self.pod(&Event::Init);
        self.pod(&Event::InitDone);
        self.namespace(&Event::Init);
        self.namespace(&Event::InitDone);
        self.peer_slice(&Event::Init);
        self.peer_slice(&Event::InitDone);
        self.reserved_networks(&Event::Init);
        self.reserved_networks(&Event::InitDone);
    }

    pub fn podconfig(&mut self, event: &Event<PodConfig>) {
        self.podconfigs.apply_watcher_event(event);
    }
    pub fn policy(&mut self, event: &Event<PodConfigPolicy>) {
        self.policies.apply_watcher_event(event);
    }
    pub fn pod(&mut self, event: &Event<Pod>) {
        self.pods.apply_watcher_event(event);
    }
    pub fn namespace(&mut self, event: &Event<NamespaceMeta>) {
        self.namespaces.apply_watcher_event(event);
    }
    pub fn peer_slice(&mut self, event: &Event<PeerSlice>) {
        self.peer_slices.apply_watcher_event(event);
    }
    pub fn reserved_networks(&mut self, event: &Event<ReservedNetworks>) {
        self.reserved_networks.apply_watcher_event(event);
    }
    /// Sets which namespaces an installation serves; returns whether that has changed.
    pub fn serves(&mut self, installation: &str, serves: Option<Serves>) -> bool {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let before = match serves.clone() {
            Some(serves) => served.insert(installation.to_owned(), serves),
            None => served.remove(installation),
        };
        before != serves
    }
    pub fn refusals(&mut self, refusals: Arc<[Refusal]>) {
        *self
            .refusals
            .write()
            .unwrap_or_else(PoisonError::into_inner) = refusals;
    }
}

impl Default for StoreWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl Stores {
    pub fn podconfig(&self, namespace: &str, name: &str) -> Option<Arc<PodConfig>> {
        self.podconfigs.get(&ObjectRef::new(name).within(namespace))
    }
    pub fn podconfigs(&self) -> Vec<Arc<PodConfig>> {
        self.podconfigs.state()
    }
    pub fn podconfigs_of(&self, namespace: &str) -> Vec<Arc<PodConfig>> {
        self.podconfigs
            .state_filter(|podconfig| is_in(podconfig, namespace))
    }
    pub fn policies(&self) -> Vec<Arc<PodConfigPolicy>> {
        self.policies.state()
    }
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods.get(&ObjectRef::new(name).within(namespace))
    }
    /// Whether absence from the pod store means that the pod does not exist.
    pub fn knows_all_pods(&self) -> bool {
        self.knows_all_pods
    }
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.state()
    }
    pub fn pods_of(&self, namespace: &str) -> Vec<Arc<Pod>> {
        self.pods.state_filter(|pod| is_in(pod, namespace))
    }

    pub fn peer_slices_of(&self, namespace: &str) -> Vec<Arc<PeerSlice>> {
        self.peer_slices
            .state_filter(|slice| is_in(slice, namespace))
    }

    /// What the controller of this installation publishes: the networks that no link may overlap, and the sources
    /// that it has read.
    pub fn reserved_networks(&self) -> Vec<Arc<ReservedNetworks>> {
        self.reserved_networks.state()
    }
    /// When the controller last confirmed that these are all; valid for [`address::inventory::VALID_FOR`].
    pub fn networks_confirmed(&self) -> Option<Instant> {
        self.networks_confirmed.get()
    }

    /// The namespaces that each installation serves, as published by its controller.
    pub fn served(&self) -> precedence::ServedScopes {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.clone()
    }

    /// The labels of a namespace. One without an object exists all the same, with the label of its name alone.
    pub fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let namespace = self.namespaces.get(&ObjectRef::new(name));
        let labels = namespace.and_then(|namespace| namespace.metadata.labels.clone());
        let mut labels = labels.unwrap_or_default();
        labels.insert(NAME_LABEL.into(), name.into());
        labels
    }

    /// All manifests that are refused now, ordered by file and line.
    pub fn refusals(&self) -> Arc<[Refusal]> {
        self.refusals
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn is_in(object: &impl Resource, namespace: &str) -> bool {
    object.meta().namespace.as_deref() == Some(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_without_a_manifest_has_the_label_of_its_name() {
        let labels = StoreWriter::new().stores().namespace_labels("tenant-a");
        assert_eq!(
            labels,
            BTreeMap::from([(NAME_LABEL.into(), "tenant-a".into())])
        );
    }

    #[test]
    fn a_namespace_cannot_take_the_name_label_of_another() {
        let mut writer = StoreWriter::new();
        let mut namespace = NamespaceMeta::default();
        namespace.metadata.name = Some("tenant-a".into());
        namespace.metadata.labels =
            Some(BTreeMap::from([(NAME_LABEL.into(), "kube-system".into())]));
        writer.namespace(&Event::Apply(namespace));
        assert_eq!(
            writer.stores().namespace_labels("tenant-a")[NAME_LABEL],
            "tenant-a"
        );
    }
}
