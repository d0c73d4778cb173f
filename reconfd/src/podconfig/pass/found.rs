//! The ends of tunnels with `peers: {auto: {}}`: this node's by its addresses, the others' by the slices of
//! the namespaces that have the tunnel.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::PeerSlice;
use ipnetwork::IpNetwork;

use super::work::Work;
use crate::{
    node::{
        links::{Link, Segment},
        netlink::Error,
    },
    podconfig::{Controller, ends, policy::Permit},
};

impl Controller {
    /// Peers that are found are in no wish, so that every rule lets them be somewhere else. One of those that
    /// allow the link counts, for all that it says: the first that this node is in itself.
    pub(super) fn choose_rule(&mut self, link: &Link, permit: &mut Permit) {
        let segment = link.kind.segment();
        let Some(segment) = segment.filter(|segment| segment.data.found().is_some()) else {
            return;
        };
        // Addresses that can not be read take nothing away: without them the pod is not looked at.
        let Ok(addresses) = self.machine.addresses_of(&segment.parent) else {
            return;
        };
        let is_in = |networks: &Vec<IpNetwork>| ends::own(&addresses, networks).is_some();
        let first = permit.sources.iter().position(is_in);
        permit.of_one_rule(first.unwrap_or_default());
    }

    /// Where the tunnels of a pod end on this node.
    pub(super) fn find_own_ends(&mut self, work: &mut Work) -> Result<(), Error> {
        for granted in &work.granted {
            let segment = granted.link.kind.segment();
            let Some(segment) = segment.filter(|segment| segment.data.found().is_some()) else {
                continue;
            };
            let addresses = self.machine.addresses_of(&segment.parent)?;
            let networks = self.segments.sources(&segment.name);
            let own = ends::own(&addresses, networks);
            work.ends
                .extend(own.map(|own| (granted.link.name.clone(), own)));
        }
        Ok(())
    }

    /// Where a tunnel ends on other nodes; nowhere, as long as it has no end here.
    pub(super) fn found_ends(&self, segment: &Segment, own: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let (Some(tunnel), Some(end)) = (segment.data.found(), segment.data.own()) else {
            return BTreeSet::new();
        };
        let namespaces = self.segments.namespaces(&segment.name).into_iter();
        let slices = namespaces.flat_map(|namespace| self.objects.peer_slices_of(namespace));
        let networks = self.segments.sources(&segment.name);
        ends::others::<Arc<PeerSlice>>(
            slices,
            tunnel,
            end,
            |address| own.contains(address),
            networks,
        )
    }
}
