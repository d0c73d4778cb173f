//! The kinds of objects that podconfig reads.

use std::fmt;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    AddressClaim,
    Namespace,
    Node,
    Pod,
    PodConfig,
    PodConfigAllowance,
    PodConfigPolicy,
    PodReport,
    PeerSlice,
    ReservedNetworks,
}

impl ObjectKind {
    pub const ALL: [Self; 10] = [
        Self::AddressClaim,
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::PodConfig,
        Self::PodConfigAllowance,
        Self::PodConfigPolicy,
        Self::PodReport,
        Self::PeerSlice,
        Self::ReservedNetworks,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressClaim => "AddressClaim",
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::PodConfig => "PodConfig",
            Self::PodConfigAllowance => "PodConfigAllowance",
            Self::PodConfigPolicy => "PodConfigPolicy",
            Self::PodReport => "PodReport",
            Self::PeerSlice => "PeerSlice",
            Self::ReservedNetworks => "ReservedNetworks",
        }
    }

    /// The resource in URLs and rights.
    pub fn plural(self) -> &'static str {
        match self {
            Self::AddressClaim => "addressclaims",
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::PodConfig => "podconfigs",
            Self::PodConfigAllowance => "podconfigallowances",
            Self::PodConfigPolicy => "podconfigpolicies",
            Self::PodReport => "podreports",
            Self::PeerSlice => "peerslices",
            Self::ReservedNetworks => "reservednetworks",
        }
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
