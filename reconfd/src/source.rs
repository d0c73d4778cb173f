//! Where objects come from and where reports go. Both sources feed the same stores, so that nothing
//! downstream knows which one it is.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, mpsc},
    time::Duration,
};

use crds::{PeerSlice, PodConfig, PodConfigPolicy, PodReport, PodReportStatus};
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
use serde::Serialize;

/// The Kubernetes API.
pub mod cluster;
/// A folder of manifests, watched.
pub mod directory;
/// One folder that is watched.
mod folder;
/// A pod as far as podconfig looks at it.
pub mod pod;
/// The record folder, watched by itself.
pub mod records;
/// The CRD's schema, defaults and CEL rules, compiled once and held against a manifest.
pub mod schema;

pub use pod::Pod;

pub type NamespaceMeta = PartialObjectMeta<Namespace>;

/// The label that every namespace carries, whatever its manifest says.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What a source says after it has changed the stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    PodConfig {
        namespace: String,
        name: String,
    },
    /// Some policy came, went or changed.
    Policy,
    Namespace(String),
    /// The other ends of a tunnel of this namespace.
    PeerSlice {
        namespace: String,
        vni: i32,
        port: i32,
    },
    Pod {
        namespace: String,
        name: String,
    },
    /// Something else is said about where this pod's network namespace is.
    Hint {
        namespace: String,
        name: String,
    },
    /// The record of this file name; without a name: any of them.
    Records(Option<String>),
    /// Anything may have changed.
    All,
}

/// A manifest, or a part of one, that was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    pub file: String,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// `PodConfig tenant-a/data-plane`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    pub message: String,
}

impl Refusal {
    /// Where it is, without the object: `a.yaml, document 2, line 7`.
    pub fn place(&self) -> String {
        let mut place = self.file.clone();
        if let Some(document) = self.document {
            place += &format!(", document {document}");
        }
        if let Some(line) = self.line {
            place += &format!(", line {line}");
        }
        place
    }

    /// What is wrong: `spec.links[0].mtu: too large`.
    pub fn fault(&self) -> String {
        match &self.field {
            Some(field) if !field.is_empty() => format!("{field}: {}", self.message),
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place())?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.fault())
    }
}

/// The objects as they are now: cheap to clone, cheap to read, never waits for a source.
#[derive(Clone)]
pub struct Objects {
    podconfigs: Store<PodConfig>,
    policies: Store<PodConfigPolicy>,
    pods: Store<Pod>,
    namespaces: Store<NamespaceMeta>,
    peer_slices: Store<PeerSlice>,
    refusals: Arc<RwLock<Arc<[Refusal]>>>,
    /// Whether a pod that is not among the pods is none: an API server knows all of them.
    knows_all_pods: bool,
}

/// The other end of [`Objects`]: a source writes the events of its watches here.
pub struct Feed {
    podconfigs: Writer<PodConfig>,
    policies: Writer<PodConfigPolicy>,
    pods: Writer<Pod>,
    namespaces: Writer<NamespaceMeta>,
    peer_slices: Writer<PeerSlice>,
    refusals: Arc<RwLock<Arc<[Refusal]>>>,
    knows_all_pods: bool,
}

impl Feed {
    pub fn new() -> Self {
        Self {
            knows_all_pods: false,
            podconfigs: Writer::default(),
            policies: Writer::default(),
            pods: Writer::default(),
            namespaces: Writer::default(),
            peer_slices: Writer::default(),
            refusals: Arc::new(RwLock::new(Arc::new([]))),
        }
    }

    /// Of a source that knows every pod of this node.
    pub fn of_api() -> Self {
        Self {
            knows_all_pods: true,
            ..Self::new()
        }
    }

    pub fn objects(&self) -> Objects {
        Objects {
            knows_all_pods: self.knows_all_pods,
            podconfigs: self.podconfigs.as_reader(),
            policies: self.policies.as_reader(),
            pods: self.pods.as_reader(),
            namespaces: self.namespaces.as_reader(),
            peer_slices: self.peer_slices.as_reader(),
            refusals: self.refusals.clone(),
        }
    }

    /// Empty stores are complete as well: nobody shall wait for them.
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
    pub fn refusals(&mut self, refusals: Arc<[Refusal]>) {
        *self
            .refusals
            .write()
            .unwrap_or_else(PoisonError::into_inner) = refusals;
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

impl Objects {
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
    /// Whether a pod that is not among the pods is none.
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

    /// A namespace that no object speaks of exists all the same, with the label of its name alone.
    pub fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let namespace = self.namespaces.get(&ObjectRef::new(name));
        let labels = namespace.and_then(|namespace| namespace.metadata.labels.clone());
        let mut labels = labels.unwrap_or_default();
        labels.insert(NAME_LABEL.into(), name.into());
        labels
    }

    /// Everything that is refused at this moment, in the order of files and lines.
    pub fn refusals(&self) -> Arc<[Refusal]> {
        self.refusals
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Where reports go.
#[derive(Clone)]
pub enum Sink {
    Directory(directory::Sink),
    Cluster(cluster::Sink),
}

impl Sink {
    /// What was reported of a pod before this daemon started.
    pub fn reported(&self, namespace: &str, name: &str) -> Option<PodReportStatus> {
        match self {
            Self::Directory(_) => None,
            Self::Cluster(sink) => sink.written(namespace, name),
        }
    }

    pub fn write_pod_report(&self, report: &PodReport) {
        match self {
            Self::Directory(sink) => sink.write_pod_report(report),
            Self::Cluster(sink) => sink.write_pod_report(report),
        }
    }

    pub fn remove_pod_report(&self, namespace: &str, name: &str, uid: &str) {
        match self {
            Self::Directory(sink) => sink.remove_pod_report(namespace, name),
            Self::Cluster(sink) => sink.remove_pod_report(namespace, name, uid),
        }
    }
}

/// Whether all that a source has is in the stores.
pub struct Complete(Option<mpsc::Receiver<anyhow::Result<()>>>);

impl Complete {
    pub fn at_once() -> Self {
        Self(None)
    }

    pub fn once(told: mpsc::Receiver<anyhow::Result<()>>) -> Self {
        Self(Some(told))
    }

    /// Waits for it as long as `go_on` says so, which is asked once a second; whether it is.
    pub fn wait(&self, go_on: impl Fn() -> bool) -> anyhow::Result<bool> {
        let Some(told) = &self.0 else {
            return Ok(true);
        };
        while go_on() {
            match told.recv_timeout(Duration::from_secs(1)) {
                Ok(complete) => return complete.map(|()| true),
                Err(mpsc::RecvTimeoutError::Timeout) => (),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        Ok(false)
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
        let labels = Feed::new().objects().namespace_labels("tenant-a");
        assert_eq!(
            labels,
            BTreeMap::from([(NAME_LABEL.into(), "tenant-a".into())])
        );
    }

    #[test]
    fn a_namespace_cannot_take_the_name_label_of_another() {
        let mut feed = Feed::new();
        let mut namespace = NamespaceMeta::default();
        namespace.metadata.name = Some("tenant-a".into());
        namespace.metadata.labels =
            Some(BTreeMap::from([(NAME_LABEL.into(), "kube-system".into())]));
        feed.namespace(&Event::Apply(namespace));
        assert_eq!(
            feed.objects().namespace_labels("tenant-a")[NAME_LABEL],
            "tenant-a"
        );
    }

    #[test]
    fn a_refusal_names_file_document_line_object_and_field() {
        let refusal = Refusal {
            file: "a.yaml".into(),
            document: Some(2),
            line: Some(7),
            object: Some("PodConfig t/x".into()),
            field: Some("spec.links[0].mtu".into()),
            message: "70000 is more than 65535".into(),
        };
        let text = "a.yaml, document 2, line 7: PodConfig t/x: spec.links[0].mtu: 70000 is more than 65535";
        assert_eq!(refusal.to_string(), text);
    }
}
