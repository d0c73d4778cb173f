//! What a rule says about addresses beside where they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, claim::DEFAULT_DOMAIN, reserved::Source, shape};

use super::Rule;

/// A network that links may be in although it is somebody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = shape::rules(&[(
    "!self.sources.exists(source, source in ['ServiceCIDR', 'Protocol'])",
    "nothing may overlap service networks, loopback, link-local and multicast; leave ServiceCIDR and Protocol out",
)])))]
pub struct MayOverlap {
    /// The network: what lies in it may overlap what the sources say.
    pub prefix: Cidr,
    /// Whose networks may be overlapped, 1 to 16, such as `NodeRoutes` for pods on the node's own subnet. Pod
    /// and service networks never are, whoever tells of them; addresses that are in use are not given out.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub sources: Vec<Source>,
}

/// What becomes of a link when a network appears that it overlaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnConflict {
    /// It stays, and the PodConfig says so.
    Keep,
    /// It is taken away until there is no conflict any more.
    Detach,
}

impl Rule {
    /// Whether links may be in this routing domain.
    pub fn allows_domain(&self, domain: &str) -> bool {
        match self.domains.as_slice() {
            [] => domain == DEFAULT_DOMAIN,
            domains => domains.iter().any(|allowed| allowed == domain),
        }
    }
}
