//! Evaluates segments: local endpoints from the node's addresses, remote ones from the PeerSlices of
//! the namespaces that use a tunnel.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use crds::PeerSlice;
use ipnetwork::IpNetwork;
use node::{
    Machine,
    links::{Link, Segment},
    netlink::Error,
};
use policy::Permit;
use store::Stores;

use super::{
    Segments, Surroundings,
    device::{SegmentSpec, target},
    endpoints,
};
use crate::podconfig::desired::DesiredLink;

/// Discovered peers are not requested, so that the rules may allow different networks. Only one
/// of the rules that allow the link counts, for all that it says: the first that includes this
/// node.
pub fn choose_rule(machine: &mut Machine, link: &Link, permit: &mut Permit) {
    let segment = link.kind.segment();
    let Some(segment) = segment.filter(|segment| segment.data.found().is_some()) else {
        return;
    };
    // Addresses that cannot be read take nothing away: without them the pod is not observed.
    let Ok(addresses) = machine.addresses_of(&segment.parent) else {
        return;
    };
    let is_in = |networks: &Vec<IpNetwork>| endpoints::local(&addresses, networks).is_some();
    let first = permit.sources.iter().position(is_in);
    permit.restrict_to_rule(first.unwrap_or_default());
}

impl Segments {
    /// Evaluates the segments of these links; returns the local endpoints of the tunnels with
    /// discovered peers, by link.
    pub fn evaluate_links(
        &mut self,
        links: &[DesiredLink],
        (machine, stores): Surroundings<'_>,
    ) -> Result<HashMap<String, IpAddr>, Error> {
        self.drop_outdated();
        let mut ends = HashMap::new();
        for granted in links {
            let Some(segment) = granted.link.kind.segment() else {
                continue;
            };
            self.evaluate(&segment.name, (machine, stores))?;
            if !granted.link.kind.is_device() {
                self.dirty.insert(segment.name.clone());
            }
            let target = self.targets.get(&segment.name);
            let own = target.and_then(|target| target.segment.data.own());
            ends.extend(own.map(|own| (granted.link.name.clone(), own)));
        }
        Ok(ends)
    }

    pub(super) fn evaluate(
        &mut self,
        name: &str,
        (machine, stores): Surroundings<'_>,
    ) -> Result<(), Error> {
        if self.targets.contains_key(name) {
            return Ok(());
        }
        let Some((segment, sources)) = self.owners.settings(name) else {
            return Ok(());
        };
        let (mut segment, sources) = (segment.clone(), sources.to_vec());
        let addresses = machine.addresses_of(&segment.parent)?;
        segment
            .data
            .starts_at(endpoints::local(&addresses, &sources));
        let own = machine.own_addresses()?.iter();
        let own = own.map(|(_, address)| *address).collect();
        let spec = SegmentSpec {
            peers: self.peers_of(&segment, &own, stores),
            owner: self.owners.owner(name).unwrap_or_default().into(),
            segment,
            sources,
        };
        let target = target(spec, machine);
        self.targets.insert(name.into(), target);
        Ok(())
    }

    /// The remote endpoints of a segment, listed or discovered; no discovered ones without a local
    /// endpoint.
    fn peers_of(
        &self,
        segment: &Segment,
        own: &BTreeSet<IpAddr>,
        stores: &Stores,
    ) -> BTreeSet<IpAddr> {
        let Some(tunnel) = segment.data.found() else {
            return segment.data.peers(own);
        };
        let Some(end) = segment.data.own() else {
            return BTreeSet::new();
        };
        let owners = &self.owners;
        let namespaces = owners.namespaces(&segment.name).into_iter();
        let slices = namespaces.flat_map(|namespace| stores.peer_slices_of(namespace));
        endpoints::remote::<Arc<PeerSlice>>(
            slices,
            tunnel,
            end,
            |address| own.contains(address),
            owners.sources(&segment.name),
        )
    }
}
