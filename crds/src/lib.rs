//! The API of podconfig, group `podconfig.dev`: types only, no I/O.
//!
//! Tenants write [`podconfig`], administrators write [`policy`], and [`report`] is the observed state of one pod.
//! [`reason`] lists all condition reasons.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// `PodConfigAllowance`: the effective policy of one namespace.
pub mod allowance;
/// `AddressClaim`: the holder of an IP address.
pub mod claim;
/// The published CustomResourceDefinitions.
pub mod definition;
/// Parsed IP prefixes, interface addresses and MAC addresses.
pub mod network;
/// `NetworkAttachmentDefinition`: a network configuration, of another project.
pub mod network_attachment;
/// `PeerSlice`: the peer nodes of a VXLAN segment.
pub mod peers;
/// `PodConfig`: desired links of selected pods.
pub mod podconfig;
/// `PodConfigPolicy`: what the PodConfigs of selected namespaces may use.
pub mod policy;
/// The closed list of reasons.
pub mod reason;
/// `PodReport`: observed state of the links of one pod.
pub mod report;
/// `ReservedNetworks`: networks that no link may overlap.
pub mod reserved;
/// Schemas that the derive cannot express.
mod shape;

pub use allowance::{PodConfigAllowance, PodConfigAllowanceSpec};
pub use claim::{AddressClaim, AddressClaimSpec, ClaimPod};
pub use network::{Cidr, InterfaceAddress, Mac};
pub use network_attachment::{NetworkAttachmentDefinition, NetworkAttachmentDefinitionSpec};
pub use peers::{Peer, PeerSlice, PeerSliceSpec};
pub use podconfig::{PodConfig, PodConfigSpec, PodConfigStatus};
pub use policy::{PodConfigPolicy, PodConfigPolicySpec};
pub use reason::Reason;
pub use report::{PodReport, PodReportStatus};
pub use reserved::{ReservedNetwork, ReservedNetworks, ReservedNetworksSpec};

pub const GROUP: &str = "podconfig.dev";
pub const VERSION: &str = "v1alpha1";

/// The derived definition of every kind; [`definition`] publishes them.
fn derived() -> Vec<CustomResourceDefinition> {
    vec![
        PodConfig::crd(),
        PodConfigPolicy::crd(),
        PodConfigAllowance::crd(),
        PeerSlice::crd(),
        PodReport::crd(),
        AddressClaim::crd(),
        ReservedNetworks::crd(),
    ]
}
