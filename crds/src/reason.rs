//! The closed list of reasons, used in conditions, in the links of reports, in Events and as metric label.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])+ $reason:ident,)+) => {
        /// Reason of a state.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Reason { $($(#[$doc])+ $reason,)+ }

        impl Reason {
            /// Every reason, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// The reason as a string.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$reason => stringify!($reason),)+ }
            }
        }
    };
}

reasons! {
    /// The link is in the desired state.
    LinkReady,
    /// Every selected pod has all of its links.
    AllPodsConfigured,
    /// The selector matches no pod in the namespace.
    NoPodsSelected,
    /// Some selected pods lack links.
    PodsFailed,
    /// The node of a pod is unreachable, so the state of its links is unknown.
    NodeUnreachable,
    /// Work is in progress.
    Reconciling,
    /// The object does not match the schema; the last valid version stays in force.
    Invalid,
    /// No policy selects the namespace.
    NoPolicy,
    /// No single rule allows the whole link.
    NotAllowed,
    /// More links than the policies allow for a pod.
    TooManyLinks,
    /// More pods than the policies allow for the namespace.
    TooManyPods,
    /// An older PodConfig requests the same interface name in the same pod.
    LinkNameTaken,
    /// A foreign link of that name exists.
    ForeignLink,
    /// The pod has another link on the same segment.
    SameSegment,
    /// Another pod holds the address.
    AddressTaken,
    /// The address claim is pending.
    ClaimPending,
    /// The range has no free address.
    RangeFull,
    /// An address, range or route overlaps a network of the cluster.
    NetworkReserved,
    /// A network has appeared that the link overlaps.
    AddressConflict,
    /// The networks of the cluster are not fully known, so no new addresses are allocated.
    ClusterNetworksUnknown,
    /// A host outside of podconfig answers for the address.
    AddressInUse,
    /// The host bridge does not exist.
    BridgeNotFound,
    /// The device of that name is not a bridge, or not one for pods.
    NotABridge,
    /// The MTU exceeds that of the underlying device.
    MTUTooLarge,
    /// Another namespace, another pod or the node itself uses the segment.
    SegmentInUse,
    /// An older PodConfig requests the same segment with other peers or another underlay.
    SegmentDiffers,
    /// The parent device does not exist.
    ParentNotFound,
    /// The parent device is down.
    ParentDown,
    /// The parent device has left the node's network namespace.
    ParentMoved,
    /// The parent device is a port of a bridge or bond.
    ParentIsPort,
    /// The kernel has no nf_tables, so the tunnel would accept frames from any host.
    NoPeerFilter,
    /// The underlay has no address inside the rule's `peers`.
    NoTunnelAddress,
    /// There is no record of the pod's network namespace.
    NoRecord,
    /// The recorded network namespace is gone or is not the recorded one.
    NamespaceGone,
    /// The record is not trustworthy or cannot be read.
    BadRecord,
    /// The link is changed inside the pod repeatedly; repair is rate-limited.
    BackingOff,
    /// The switch namespace is not pinned at its path.
    SwitchUnpinned,
    /// The kernel refused an operation.
    KernelRefused,
    /// A CNI plugin returned an error.
    PluginFailed,
    /// A CNI plugin or its chain took too long and was ended.
    PluginTimeout,
    /// The node has no such CNI plugin, or its list does not name it.
    PluginNotFound,
    /// A CNI plugin says that it is not available yet.
    PluginNotAvailable,
    /// The result of a CNI plugin is not valid, or not what the link asks for.
    ResultInvalid,
    /// The NetworkAttachmentDefinition does not exist.
    DefinitionNotFound,
    /// The network configuration is not valid.
    DefinitionInvalid,
    /// The NetworkAttachmentDefinition has changed since the link was attached.
    DefinitionChanged,
    /// An element of the pod's annotation has no interface name, and the node needs one.
    InterfaceUnnamed,
    /// A CNI plugin could not undo the link; it is tried again.
    DetachIncomplete,
    /// A CNI plugin reports that the link is no longer as it made it.
    Drifted,
    /// The pod may administer the node's network, and a policy denies links to such pods.
    NetAdminPod,
    /// The pod uses the host network, or its runtime would not expose the link to it.
    Unsupported,
    /// No PodConfig selects the pod, although it waits for links.
    NotSelected,
    /// Another podconfig installation serves the namespace.
    ServedTwice,
    /// podconfig was uninstalled; the object is no longer updated.
    Uninstalled,
    /// Event: the link was added.
    LinkAdded,
    /// Event: the link was changed after a change of its PodConfig.
    LinkChanged,
    /// Event: the link was removed.
    LinkRemoved,
    /// Event: another program had changed the link, and it was repaired.
    LinkRepaired,
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
