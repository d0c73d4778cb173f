//! Keys of the work queue, and the kinds that must be synced before each is reconciled.

use std::{fmt, time::Duration};

/// Minimum interval between writes of one object.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Delay of a new namespace's allowance: its policy may follow.
const POLICY_GRACE: Duration = Duration::from_secs(10);
/// Delay before an orphaned object is deleted: its pod or node may reappear.
const ORPHAN_GRACE: Duration = Duration::from_secs(30);

use store::kinds::ObjectKind;

/// A VXLAN segment of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentKey {
    pub vni: i32,
    pub port: i32,
}

/// One object to reconcile, or the slices of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReconcileKey {
    /// Status of a PodConfig.
    Status {
        namespace: String,
        name: String,
    },
    Allowance {
        namespace: String,
    },
    Peers {
        namespace: String,
        segment: SegmentKey,
    },
    /// `inUseBy` of a policy.
    PolicyUse {
        name: String,
    },
    /// A report that may be orphaned.
    OrphanReport {
        namespace: String,
        pod: String,
    },
    /// A claim whose node may be deleted.
    OrphanClaim {
        name: String,
    },
}

/// How soon a key is reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Now,
    /// More changes are expected shortly; they are batched into one write.
    Batch,
    /// Related objects may follow: the rest of an applied manifest.
    PolicyGrace,
    /// The condition may resolve itself.
    OrphanGrace,
}

impl Delay {
    pub fn duration(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Batch => MIN_INTERVAL,
            Self::PolicyGrace => POLICY_GRACE,
            Self::OrphanGrace => ORPHAN_GRACE,
        }
    }
}

/// A key to enqueue, and after which delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requeue {
    pub key: ReconcileKey,
    pub delay: Delay,
}

impl ReconcileKey {
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

    pub fn peers(namespace: &str, segment: SegmentKey) -> Self {
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

    pub fn orphan_report(namespace: &str, pod: &str) -> Self {
        Self::OrphanReport {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
        }
    }

    pub fn orphan_claim(name: &str) -> Self {
        Self::OrphanClaim {
            name: name.to_owned(),
        }
    }

    pub fn after(self, delay: Delay) -> Requeue {
        Requeue { key: self, delay }
    }

    /// Namespace of the written object.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Status { namespace, .. }
            | Self::Allowance { namespace }
            | Self::Peers { namespace, .. }
            | Self::OrphanReport { namespace, .. } => Some(namespace),
            Self::OrphanClaim { .. } | Self::PolicyUse { .. } => None,
        }
    }

    /// The kinds that must be synced: without a complete list nothing can be concluded from absence.
    pub fn requires(&self) -> &'static [ObjectKind] {
        match self {
            Self::Status { .. } => &[
                ObjectKind::PodConfig,
                ObjectKind::Pod,
                ObjectKind::PodReport,
                ObjectKind::AddressClaim,
                ObjectKind::ReservedNetworks,
            ],
            Self::Allowance { .. } => &[
                ObjectKind::Namespace,
                ObjectKind::PodConfigPolicy,
                ObjectKind::PodConfigAllowance,
                ObjectKind::ReservedNetworks,
            ],
            Self::Peers { .. } => &[
                ObjectKind::Namespace,
                ObjectKind::PodConfigPolicy,
                ObjectKind::PodConfig,
                ObjectKind::Pod,
                ObjectKind::PodReport,
                ObjectKind::PeerSlice,
                ObjectKind::ReservedNetworks,
            ],
            Self::PolicyUse { .. } => &[
                ObjectKind::Namespace,
                ObjectKind::PodConfigPolicy,
                ObjectKind::PodConfig,
            ],
            Self::OrphanReport { .. } => &[
                ObjectKind::Pod,
                ObjectKind::PodReport,
                ObjectKind::ReservedNetworks,
            ],
            Self::OrphanClaim { .. } => &[ObjectKind::AddressClaim, ObjectKind::Node],
        }
    }

    /// Kind of the written object.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Status { .. } => ObjectKind::PodConfig,
            Self::Allowance { .. } => ObjectKind::PodConfigAllowance,
            Self::Peers { .. } => ObjectKind::PeerSlice,
            Self::PolicyUse { .. } => ObjectKind::PodConfigPolicy,
            Self::OrphanReport { .. } => ObjectKind::PodReport,
            Self::OrphanClaim { .. } => ObjectKind::AddressClaim,
        }
    }
}

impl fmt::Display for ReconcileKey {
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
                segment: SegmentKey { vni, port },
            } => write!(
                f,
                "write the PeerSlices of vni {vni} and port {port} in {namespace}"
            ),
            Self::PolicyUse { name } => write!(f, "write the status of PodConfigPolicy {name}"),
            Self::OrphanReport { namespace, pod } => {
                write!(f, "delete orphaned PodReport {namespace}/{pod}")
            }
            Self::OrphanClaim { name } => write!(f, "delete orphaned AddressClaim {name}"),
        }
    }
}
