//! The closed list of reasons: the reason of a condition, of a link in a report and of an Event, and
//! the label of the metric, all the same word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why something is as it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Reason {
    /// The link is as wanted.
    LinkReady,
    /// Every selected pod has all of its links.
    AllPodsConfigured,
    /// The selector selects no pod here.
    NoPodsSelected,
    /// Some selected pods lack links.
    PodsFailed,
    /// The node of a pod does not answer, so nobody can say what its pods have.
    NodeUnreachable,
    /// Work is under way.
    Reconciling,
    /// The object does not pass the schema; the last good version stays in force.
    Invalid,
    /// No policy selects the namespace.
    NoPolicy,
    /// No single rule allows the whole link.
    NotAllowed,
    /// More links than the policies allow for a pod.
    TooManyLinks,
    /// More pods than the policies allow for the namespace.
    TooManyPods,
    /// An older PodConfig wants the same interface name in the same pod.
    LinkNameTaken,
    /// A link of that name is there and is not ours.
    ForeignLink,
    /// The pod has another link on the same segment.
    SameSegment,
    /// Another pod holds the address.
    AddressTaken,
    /// The claim to an address is not through yet.
    ClaimPending,
    /// The range has no free address.
    RangeFull,
    /// An address, range or route overlaps a network of the cluster.
    NetworkReserved,
    /// A network has appeared that the link overlaps.
    AddressConflict,
    /// Nobody can say which networks the cluster has, so no new address is given out.
    ClusterNetworksUnknown,
    /// Somebody who is no pod of podconfig answers for the address.
    AddressInUse,
    /// The host bridge is not there.
    BridgeNotFound,
    /// The link of that name is no bridge, or one that is not for pods.
    NotABridge,
    /// The MTU is more than the device below can carry.
    MTUTooLarge,
    /// Somebody else has the segment: another namespace, another pod, or the node itself.
    SegmentInUse,
    /// An older PodConfig wants the same segment with other peers or another underlay.
    SegmentDiffers,
    /// The device that carries the segment is not there.
    ParentNotFound,
    /// The device that carries the segment is down.
    ParentDown,
    /// The device that carries the segment has left the node's namespace.
    ParentMoved,
    /// The device that carries the segment is a port of a bridge or a bond.
    ParentIsPort,
    /// The kernel has no nf_tables, so nothing would keep strangers out of the tunnel.
    NoPeerFilter,
    /// The device that carries the tunnel has no address where the rule lets the peers be.
    NoTunnelAddress,
    /// No record says where the pod's network namespace is.
    NoRecord,
    /// The record's namespace is gone or is not the recorded one.
    NamespaceGone,
    /// The record cannot be trusted or read.
    BadRecord,
    /// The pod undoes the link faster than it may be repaired.
    BackingOff,
    /// The switch is not where it should be.
    SwitchUnpinned,
    /// The kernel refused.
    KernelRefused,
    /// The pod may administer the node's network, and a policy gives such pods no links.
    NetAdminPod,
    /// The pod uses the node's own network, or its runtime would not show it the link.
    Unsupported,
    /// No PodConfig selects the pod, which waits for one.
    NotSelected,
    /// Another installation of podconfig serves the namespace.
    ServedTwice,
    /// podconfig was uninstalled; nothing keeps the object up to date.
    Uninstalled,
    /// An Event: the pod got the link.
    LinkAdded,
    /// An Event: the link was changed as its PodConfig was.
    LinkChanged,
    /// An Event: the link was taken away.
    LinkRemoved,
    /// An Event: somebody had undone the link, and it was made whole again.
    LinkRepaired,
}

impl Reason {
    /// Every reason, in the order of the list.
    pub const ALL: [Self; 47] = [
        Self::LinkReady,
        Self::AllPodsConfigured,
        Self::NoPodsSelected,
        Self::PodsFailed,
        Self::NodeUnreachable,
        Self::Reconciling,
        Self::Invalid,
        Self::NoPolicy,
        Self::NotAllowed,
        Self::TooManyLinks,
        Self::TooManyPods,
        Self::LinkNameTaken,
        Self::ForeignLink,
        Self::SameSegment,
        Self::AddressTaken,
        Self::ClaimPending,
        Self::RangeFull,
        Self::NetworkReserved,
        Self::AddressConflict,
        Self::ClusterNetworksUnknown,
        Self::AddressInUse,
        Self::BridgeNotFound,
        Self::NotABridge,
        Self::MTUTooLarge,
        Self::SegmentInUse,
        Self::SegmentDiffers,
        Self::ParentNotFound,
        Self::ParentDown,
        Self::ParentMoved,
        Self::ParentIsPort,
        Self::NoPeerFilter,
        Self::NoTunnelAddress,
        Self::NoRecord,
        Self::NamespaceGone,
        Self::BadRecord,
        Self::BackingOff,
        Self::SwitchUnpinned,
        Self::KernelRefused,
        Self::NetAdminPod,
        Self::Unsupported,
        Self::NotSelected,
        Self::ServedTwice,
        Self::Uninstalled,
        Self::LinkAdded,
        Self::LinkChanged,
        Self::LinkRemoved,
        Self::LinkRepaired,
    ];

    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LinkReady => "LinkReady",
            Self::AllPodsConfigured => "AllPodsConfigured",
            Self::NoPodsSelected => "NoPodsSelected",
            Self::PodsFailed => "PodsFailed",
            Self::NodeUnreachable => "NodeUnreachable",
            Self::Reconciling => "Reconciling",
            Self::Invalid => "Invalid",
            Self::NoPolicy => "NoPolicy",
            Self::NotAllowed => "NotAllowed",
            Self::TooManyLinks => "TooManyLinks",
            Self::TooManyPods => "TooManyPods",
            Self::LinkNameTaken => "LinkNameTaken",
            Self::ForeignLink => "ForeignLink",
            Self::SameSegment => "SameSegment",
            Self::AddressTaken => "AddressTaken",
            Self::ClaimPending => "ClaimPending",
            Self::RangeFull => "RangeFull",
            Self::NetworkReserved => "NetworkReserved",
            Self::AddressConflict => "AddressConflict",
            Self::ClusterNetworksUnknown => "ClusterNetworksUnknown",
            Self::AddressInUse => "AddressInUse",
            Self::BridgeNotFound => "BridgeNotFound",
            Self::NotABridge => "NotABridge",
            Self::MTUTooLarge => "MTUTooLarge",
            Self::SegmentInUse => "SegmentInUse",
            Self::SegmentDiffers => "SegmentDiffers",
            Self::ParentNotFound => "ParentNotFound",
            Self::ParentDown => "ParentDown",
            Self::ParentMoved => "ParentMoved",
            Self::ParentIsPort => "ParentIsPort",
            Self::NoPeerFilter => "NoPeerFilter",
            Self::NoTunnelAddress => "NoTunnelAddress",
            Self::NoRecord => "NoRecord",
            Self::NamespaceGone => "NamespaceGone",
            Self::BadRecord => "BadRecord",
            Self::BackingOff => "BackingOff",
            Self::SwitchUnpinned => "SwitchUnpinned",
            Self::KernelRefused => "KernelRefused",
            Self::NetAdminPod => "NetAdminPod",
            Self::Unsupported => "Unsupported",
            Self::NotSelected => "NotSelected",
            Self::ServedTwice => "ServedTwice",
            Self::Uninstalled => "Uninstalled",
            Self::LinkAdded => "LinkAdded",
            Self::LinkChanged => "LinkChanged",
            Self::LinkRemoved => "LinkRemoved",
            Self::LinkRepaired => "LinkRepaired",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_word_is_the_same_in_rust_and_in_the_api() {
        for reason in Reason::ALL {
            assert_eq!(
                serde_json::to_value(reason).unwrap(),
                Value::from(reason.as_str())
            );
            assert_eq!(reason.to_string(), reason.as_str());
        }
    }

    #[test]
    fn the_list_is_whole_and_each_reason_is_explained() {
        let schema = schemars::schema_for!(Reason).to_value();
        let variants = schema["oneOf"].as_array().unwrap();
        assert_eq!(variants.len(), Reason::ALL.len());
        for (variant, reason) in variants.iter().zip(Reason::ALL) {
            assert_eq!(variant["const"], Value::from(reason.as_str()));
            assert!(
                variant["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{variant}"
            );
        }
    }
}
