//! The API of podconfig, group `podconfig.dev`: types only, no I/O.
//!
//! What a tenant writes is [`podconfig`], what an administrator allows is [`policy`], what was done
//! to one pod is [`report`]. Every word that a condition can carry is in [`reason`].

/// `PodConfigAllowance`: what the PodConfigs of one namespace may use.
pub mod allowance;
/// `AddressClaim`: who has an IP address.
pub mod claim;
/// The CustomResourceDefinitions as they are published.
pub mod definition;
/// IP prefixes, interface addresses and MAC addresses as the API spells them.
pub mod network;
/// `PeerSlice`: the nodes that a tunnel leads to.
pub mod peers;
/// `PodConfig`: which pods, which links.
pub mod podconfig;
/// `PodConfigPolicy`: what the PodConfigs of which namespaces may use.
pub mod policy;
/// The closed list of reasons.
pub mod reason;
/// `PodReport`: everything that podconfig did to one pod.
pub mod report;
/// `ReservedNetworks`: what no link may overlap.
pub mod reserved;
/// Bounds and rules that the derive cannot make by itself.
mod shape;

pub use allowance::{PodConfigAllowance, PodConfigAllowanceSpec};
pub use claim::{AddressClaim, AddressClaimSpec, ClaimPod};
pub use network::{Cidr, InterfaceAddress, Mac};
pub use peers::{Peer, PeerSlice, PeerSliceSpec};
pub use podconfig::{PodConfig, PodConfigSpec, PodConfigStatus};
pub use policy::{PodConfigPolicy, PodConfigPolicySpec};
pub use reason::Reason;
pub use report::{PodReport, PodReportStatus};
pub use reserved::{ReservedNetwork, ReservedNetworks, ReservedNetworksSpec};

pub const GROUP: &str = "podconfig.dev";
pub const VERSION: &str = "v1alpha1";
