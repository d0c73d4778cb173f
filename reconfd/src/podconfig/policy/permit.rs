//! Pure: what an allowed link may do beside being there.

use crds::policy::{Macs, MayOverlap, Rule, Sharing, Unfiltered};
use ipnetwork::IpNetwork;

use super::requested::{ParentRef, RequestedLink};

/// What an allowed link may do beside being there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// Whether the bridge may learn addresses behind the link: every rule that allows it says `macs: Any`.
    pub learning: bool,
    /// One for each rule that allows the whole link: what is needed must be in one of them.
    pub grants: Vec<Grant>,
    /// Where peers of a tunnel may be, as each of the same rules says; they never add up.
    pub sources: Vec<Vec<IpNetwork>>,
    /// What the link may overlap, as each of the same rules says.
    pub overlaps: Vec<Vec<MayOverlap>>,
}

/// What one rule lets a segment do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Be shared with other namespaces.
    pub across: bool,
    /// Be on a port of a bridge or a bond.
    pub on_port: bool,
    /// Be there without a peer filter.
    pub unfiltered: bool,
}

impl Permit {
    pub(super) fn of(wish: RequestedLink<'_>, allowing: &[&Rule]) -> Self {
        let tunnels = allowing.iter().filter_map(|rule| rule.vxlan.as_ref());
        let sources = tunnels.map(|rule| rule.peers.iter().map(|peer| peer.network()).collect());
        Self {
            learning: allowing.iter().all(|rule| rule.macs == Some(Macs::Any)),
            grants: allowing.iter().map(|rule| Grant::of(wish, rule)).collect(),
            sources: sources.collect(),
            overlaps: allowing
                .iter()
                .map(|rule| rule.may_overlap.clone())
                .collect(),
        }
    }

    /// What one of the rules says, and no other.
    pub fn of_one_rule(&mut self, number: usize) {
        self.grants = self.grants.get(number).copied().into_iter().collect();
        self.sources = self.sources.get(number).cloned().into_iter().collect();
        self.overlaps = self.overlaps.get(number).cloned().into_iter().collect();
    }

    /// Whether one single rule lets the segment be shared with other namespaces and be as it is here: on
    /// a port, or without a filter.
    pub fn may_share(&self, on_port: bool, unfiltered: bool) -> bool {
        self.grants.iter().any(|grant| {
            grant.across && (grant.on_port || !on_port) && (grant.unfiltered || !unfiltered)
        })
    }
}

impl Grant {
    fn of(wish: RequestedLink<'_>, rule: &Rule) -> Self {
        match (wish, &rule.vlan, &rule.vxlan) {
            (RequestedLink::Vlan(_, ParentRef::Node(parent, _)), Some(rule), _) => Self {
                across: rule.sharing == Some(Sharing::AcrossNamespaces),
                on_port: rule.port_parents.iter().any(|port| port == parent),
                unfiltered: false,
            },
            (RequestedLink::Vxlan(..), _, Some(rule)) => Self {
                across: rule.sharing == Some(Sharing::AcrossNamespaces),
                on_port: false,
                unfiltered: rule.unfiltered == Some(Unfiltered::Allowed),
            },
            _ => Self::default(),
        }
    }
}
