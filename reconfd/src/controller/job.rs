//! What there is to do, one object at a time, and what must be known for it.

use std::fmt;

/// The kinds of objects that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
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

/// A tunnel of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    pub vni: i32,
    pub port: i32,
}

/// One object, or the slices of one segment, to be made what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Job {
    /// The status of a PodConfig.
    Status {
        namespace: String,
        name: String,
    },
    Allowance {
        namespace: String,
    },
    Peers {
        namespace: String,
        segment: Segment,
    },
    /// Whether a policy is in use.
    PolicyUse {
        name: String,
    },
    /// A report that nobody stands for any more.
    Sweep {
        namespace: String,
        pod: String,
    },
    /// A claim to an address whose node is gone.
    SweepClaim {
        name: String,
    },
}

/// How soon a job is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Now,
    /// More of it comes within a moment.
    Soon,
    /// What belongs to it may still be on its way: the rest of a file that is applied.
    Settle,
    /// It may come right by itself.
    Grace,
}

/// That something may have to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub job: Job,
    pub wait: Wait,
}

impl Job {
    pub fn status(namespace: &str, name: &str) -> Self {
        Self::Status {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub fn allowance(namespace: &str) -> Self {
        Self::Allowance {
            namespace: namespace.to_owned(),
        }
    }

    pub fn peers(namespace: &str, segment: Segment) -> Self {
        Self::Peers {
            namespace: namespace.to_owned(),
            segment,
        }
    }

    pub fn policy_use(name: &str) -> Self {
        Self::PolicyUse {
            name: name.to_owned(),
        }
    }

    pub fn sweep(namespace: &str, pod: &str) -> Self {
        Self::Sweep {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
        }
    }

    pub fn sweep_claim(name: &str) -> Self {
        Self::SweepClaim {
            name: name.to_owned(),
        }
    }

    pub fn after(self, wait: Wait) -> Mark {
        Mark { job: self, wait }
    }

    /// The namespace of what it writes.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Status { namespace, .. }
            | Self::Allowance { namespace }
            | Self::Peers { namespace, .. }
            | Self::Sweep { namespace, .. } => Some(namespace),
            Self::SweepClaim { .. } | Self::PolicyUse { .. } => None,
        }
    }

    /// The kinds that must be known as a whole: from a list that is not there nothing follows.
    pub fn needs(&self) -> &'static [Kind] {
        match self {
            Self::Status { .. } => &[
                Kind::PodConfig,
                Kind::Pod,
                Kind::PodReport,
                Kind::AddressClaim,
                Kind::ReservedNetworks,
            ],
            Self::Allowance { .. } => &[
                Kind::Namespace,
                Kind::PodConfigPolicy,
                Kind::PodConfigAllowance,
                Kind::ReservedNetworks,
            ],
            Self::Peers { .. } => &[
                Kind::Namespace,
                Kind::PodConfigPolicy,
                Kind::PodConfig,
                Kind::Pod,
                Kind::PodReport,
                Kind::PeerSlice,
                Kind::ReservedNetworks,
            ],
            Self::PolicyUse { .. } => &[Kind::Namespace, Kind::PodConfigPolicy, Kind::PodConfig],
            Self::Sweep { .. } => &[Kind::Pod, Kind::PodReport, Kind::ReservedNetworks],
            Self::SweepClaim { .. } => &[Kind::AddressClaim, Kind::Node],
        }
    }

    /// The kind of object that it writes.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Status { .. } => Kind::PodConfig,
            Self::Allowance { .. } => Kind::PodConfigAllowance,
            Self::Peers { .. } => Kind::PeerSlice,
            Self::PolicyUse { .. } => Kind::PodConfigPolicy,
            Self::Sweep { .. } => Kind::PodReport,
            Self::SweepClaim { .. } => Kind::AddressClaim,
        }
    }
}

impl Kind {
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
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { namespace, name } => {
                write!(f, "write the status of PodConfig {namespace}/{name}")
            }
            Self::Allowance { namespace } => {
                write!(f, "write PodConfigAllowance {namespace}/effective")
            }
            Self::Peers {
                namespace,
                segment: Segment { vni, port },
            } => write!(
                f,
                "write the PeerSlices of vni {vni} and port {port} in {namespace}"
            ),
            Self::PolicyUse { name } => write!(f, "write the status of PodConfigPolicy {name}"),
            Self::Sweep { namespace, pod } => write!(f, "sweep PodReport {namespace}/{pod}"),
            Self::SweepClaim { name } => write!(f, "sweep AddressClaim {name}"),
        }
    }
}
