//! The kinds of objects that podconfig reads: the only place that lists them. Stores, watches, manifests,
//! uninstallation and the expected rights follow from the rows.

use std::fmt;

use crds::{NetworkAttachmentDefinition, PeerSlice, PodConfig, PodConfigPolicy, ReservedNetworks};
use kube::{
    core::DeserializeGuard,
    runtime::reflector::store::{Store, Writer},
};
use kubeio::watch::ObjectKey;
use serde_json::Value;

use super::{NamespaceMeta, Pod, Trigger};

/// Parses an object of a manifest.
mod from_manifest;
/// How a stored kind is kept.
mod stored;
pub use from_manifest::FieldMessages;
use from_manifest::{metadata_alone, parts_of_pod, whole};
pub use stored::{KindVisitor, StoredKind, Wire};
use stored::{
    has_same_labels, has_same_networks, has_same_spec, initialize, is_same_object, object_trigger,
    stored_kinds, tunnel_trigger,
};

/// Which objects of a kind a daemon watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    /// Those whose field names the node.
    OfNode(&'static str),
    /// Those with the name of a served namespace.
    ServedNamespaces,
    /// Those of the node, in the namespaces where it has written some.
    Written(&'static str),
    /// All, by a daemon with a runner; others have no right to read them. The kind belongs to another project, and may
    /// be missing.
    WithRunner,
}

/// What an uninstallation deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nothing: the objects are users' or belong to Kubernetes.
    Nothing,
    /// All objects in the served namespaces.
    Served,
    /// The objects whose `spec.installation` is this one.
    OfInstallation,
    /// The same, unless the links stay: the address of a kept link stays claimed.
    WithLinks,
}

/// What distinguishes a kind.
#[derive(Debug)]
pub struct KindRow {
    /// The resource in URLs and rights.
    pub resource: &'static str,
    pub api_version: &'static str,
    pub has_namespace: bool,
    /// What a daemon watches of it.
    pub daemon: Option<Selection>,
    /// Whether the controller watches it.
    pub controller: bool,
    /// Whether a folder of manifests may contain it.
    pub manifest: bool,
    pub uninstall: Removal,
    /// The rights of a daemon beyond reading what it watches.
    pub daemon_writes: &'static [&'static str],
    /// The rights of the controller beyond reading what it watches.
    pub controller_writes: &'static [&'static str],
}

/// A kind of Kubernetes with namespaces.
const BUILT_IN: KindRow = KindRow {
    resource: "",
    api_version: "v1",
    has_namespace: true,
    daemon: Some(Selection::All),
    controller: true,
    manifest: false,
    uninstall: Removal::Nothing,
    daemon_writes: &[],
    controller_writes: &[],
};

/// A kind of podconfig with namespaces.
const OWN: KindRow = KindRow {
    api_version: "podconfig.dev/v1alpha1",
    ..BUILT_IN
};

macro_rules! kinds {
    ($($kind:ident $row:tt)+) => {
        /// A kind of object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ObjectKind { $($kind,)+ }

        impl ObjectKind {
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)+ }
            }

            pub fn row(self) -> &'static KindRow {
                match self {
                    $(Self::$kind => { const ROW: KindRow = KindRow $row; &ROW })+
                }
            }
        }
    };
}

kinds! {
    AddressClaim {
        resource: "addressclaims",
        has_namespace: false,
        daemon: Some(Selection::OfNode("spec.node")),
        uninstall: Removal::WithLinks,
        daemon_writes: &["create", "update", "delete"],
        controller_writes: &["delete"],
        ..OWN
    }
    Namespace {
        resource: "namespaces",
        has_namespace: false,
        daemon: Some(Selection::ServedNamespaces),
        manifest: true,
        ..BUILT_IN
    }
    NetworkAttachmentDefinition {
        resource: "network-attachment-definitions",
        api_version: "k8s.cni.cncf.io/v1",
        daemon: Some(Selection::WithRunner),
        controller: false,
        manifest: true,
        ..BUILT_IN
    }
    Node { resource: "nodes", has_namespace: false, daemon: None, ..BUILT_IN }
    Pod {
        resource: "pods",
        daemon: Some(Selection::OfNode("spec.nodeName")),
        manifest: true,
        ..BUILT_IN
    }
    PodConfig { resource: "podconfigs", manifest: true, ..OWN }
    PodConfigAllowance {
        resource: "podconfigallowances",
        daemon: None,
        uninstall: Removal::Served,
        controller_writes: &["create", "update", "patch", "publish"],
        ..OWN
    }
    PodConfigPolicy {
        resource: "podconfigpolicies",
        has_namespace: false,
        manifest: true,
        ..OWN
    }
    PodReport {
        resource: "podreports",
        daemon: Some(Selection::Written("status.node")),
        uninstall: Removal::Served,
        daemon_writes: &["create", "update", "patch", "delete"],
        controller_writes: &["delete"],
        ..OWN
    }
    PeerSlice {
        resource: "peerslices",
        manifest: true,
        uninstall: Removal::Served,
        controller_writes: &["create", "update", "patch", "delete"],
        ..OWN
    }
    ReservedNetworks {
        resource: "reservednetworks",
        has_namespace: false,
        uninstall: Removal::OfInstallation,
        controller_writes: &["create", "update", "patch", "delete", "publish"],
        ..OWN
    }
}

// The kinds that a daemon keeps in stores: how each is read from the API (guarded, where an object may be one that
// cannot be parsed), which versions are the same to it, how a manifest is parsed, and what a change triggers.
stored_kinds! {
    namespaces: NamespaceMeta as Namespace from NamespaceMeta, has_same_labels, metadata_alone, object_trigger;
    pods: Pod as Pod from Pod, Pod::has_same_fields, parts_of_pod, object_trigger;
    podconfigs: PodConfig as PodConfig from DeserializeGuard<PodConfig>, is_same_object, whole, object_trigger;
    policies: PodConfigPolicy as PodConfigPolicy from DeserializeGuard<PodConfigPolicy>, is_same_object, whole,
        object_trigger;
    network_attachments: NetworkAttachmentDefinition as NetworkAttachmentDefinition from
        DeserializeGuard<NetworkAttachmentDefinition>, has_same_spec, whole, object_trigger;
    peer_slices: PeerSlice as PeerSlice from DeserializeGuard<PeerSlice>, has_same_spec, whole, tunnel_trigger;
    reserved_networks: ReservedNetworks as ReservedNetworks from DeserializeGuard<ReservedNetworks>,
        has_same_networks, whole, object_trigger;
}

impl ObjectKind {
    /// The kind of a manifest.
    pub fn of_manifest(api_version: &str, kind: &str) -> Option<Self> {
        let mut all = Self::manifests();
        all.find(|of| (of.row().api_version, of.as_str()) == (api_version, kind))
    }

    /// The kinds that a folder of manifests may contain.
    pub fn manifests() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|kind| kind.row().manifest)
    }

    /// The kinds that the controller watches.
    pub fn of_controller() -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|kind| kind.row().controller)
    }

    /// The resource in URLs and rights.
    pub fn plural(self) -> &'static str {
        self.row().resource
    }
}

/// A watch: of a kind in the whole cluster, in one namespace, or of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId {
    pub kind: ObjectKind,
    pub namespace: Option<String>,
}

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind.as_str().replace("Policy", "Policie");
        write!(f, "{}s", name.trim_end_matches('s'))?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stored(Vec<ObjectKind>);

    impl KindVisitor for Stored {
        fn visit<K: StoredKind>(&mut self) {
            assert_eq!(K::KIND.as_str(), K::kind(&()));
            assert_eq!(K::KIND.row().api_version, K::api_version(&()));
            assert_eq!(K::KIND.plural(), K::plural(&()));
            self.0.push(K::KIND);
        }
    }

    #[test]
    fn every_manifest_and_every_watch_of_a_daemon_has_a_store() {
        let mut stored = Stored(Vec::new());
        visit_stored(&mut stored);
        for kind in ObjectKind::ALL {
            let row = kind.row();
            // The allocator keeps claims, the write queue reports.
            let is_elsewhere = matches!(kind, ObjectKind::AddressClaim | ObjectKind::PodReport);
            let needs_store = row.manifest || (row.daemon.is_some() && !is_elsewhere);
            assert_eq!(stored.0.contains(kind), needs_store, "{kind:?}");
        }
    }
}
