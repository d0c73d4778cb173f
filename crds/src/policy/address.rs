//! Address overlaps and conflicts in a policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, claim::DEFAULT_DOMAIN, reserved::Source, shape};

use super::Rule;

/// A network in which links may overlap reserved networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "!self.sources.exists(source, source in ['ServiceCIDR', 'Protocol'])",
    "nothing may overlap service networks, loopback, link-local and multicast; leave ServiceCIDR and Protocol out",
)])))]
pub struct MayOverlap {
    /// The network: links inside it may overlap networks from the sources.
    pub prefix: Cidr,
    /// Sources whose networks may be overlapped, 1 to 16, such as `NodeRoutes` for pods on the node's own subnet. Pod and
    /// service networks may never be overlapped, whatever their source; addresses in use are not allocated.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub sources: Vec<Source>,
}

/// What happens to a link when a network appears that it overlaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnConflict {
    /// The link stays, and the PodConfig reports the conflict.
    Keep,
    /// The link is removed until the conflict is gone.
    Detach,
}

impl Rule {
    /// Whether links may use this routing domain.
    pub fn allows_domain(&self, domain: &str) -> bool {
        match self.domains.as_slice() {
            [] => domain == DEFAULT_DOMAIN,
            domains => domains.iter().any(|allowed| allowed == domain),
        }
    }
}
