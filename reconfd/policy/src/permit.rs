//! Pure: the permissions of an allowed link.

use crds::policy::{Macs, MayOverlap, Rule, Sharing, Unfiltered};
use ipnetwork::IpNetwork;

use super::{
    cni_rule::AttachmentGrant,
    requested::{ParentRef, RequestedLink},
};

/// The permissions of an allowed link, beyond its existence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// Whether the bridge may learn MAC addresses behind the link: all rules that allow it say
    /// `macs: Any`.
    pub learning: bool,
    /// One for each rule that allows the whole link: all that is needed must be in one of them.
    pub grants: Vec<Grant>,
    /// Networks of allowed peers, by each of the same rules; they are never combined.
    pub sources: Vec<Vec<IpNetwork>>,
    /// What the link may overlap, by each of the same rules.
    pub overlaps: Vec<Vec<MayOverlap>>,
    /// What an attachment may be, by each of the same rules; empty for other links.
    pub attachments: Vec<AttachmentGrant>,
}

/// What one rule permits a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Sharing with other namespaces.
    pub across: bool,
    /// A parent that is a port of a bridge or a bond.
    pub on_port: bool,
    /// Existence without a peer filter.
    pub unfiltered: bool,
}

impl Permit {
    pub(super) fn of(requested: RequestedLink<'_>, namespace: &str, allowing: &[&Rule]) -> Self {
        let tunnels = allowing.iter().filter_map(|rule| rule.vxlan.as_ref());
        let sources = tunnels.map(|rule| rule.peers.iter().map(|peer| peer.network()).collect());
        Self {
            learning: allowing.iter().all(|rule| rule.macs == Some(Macs::Any)),
            grants: allowing
                .iter()
                .map(|rule| Grant::of(requested, rule))
                .collect(),
            sources: sources.collect(),
            overlaps: allowing
                .iter()
                .map(|rule| rule.may_overlap.clone())
                .collect(),
            attachments: match requested {
                RequestedLink::Cni(_, source) => allowing
                    .iter()
                    .filter_map(|rule| AttachmentGrant::of(source, namespace, rule))
                    .collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Restricts the permissions to those of one rule.
    pub fn restrict_to_rule(&mut self, number: usize) {
        self.grants = self.grants.get(number).copied().into_iter().collect();
        self.sources = self.sources.get(number).cloned().into_iter().collect();
        self.attachments = self.attachments.get(number).cloned().into_iter().collect();
        self.overlaps = self.overlaps.get(number).cloned().into_iter().collect();
    }

    /// Whether a single rule permits both sharing with other namespaces and the segment's state on
    /// this node: on a port, or without a filter.
    pub fn may_share(&self, on_port: bool, unfiltered: bool) -> bool {
        self.grants.iter().any(|grant| {
            grant.across && (grant.on_port || !on_port) && (grant.unfiltered || !unfiltered)
        })
    }
}

impl Grant {
    fn of(requested: RequestedLink<'_>, rule: &Rule) -> Self {
        match (requested, &rule.vlan, &rule.vxlan) {
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
