//! Address conflict detection for a link: it is created without the addresses that are still to be
//! probed.

use std::os::fd::AsFd as _;

use ipnetwork::IpNetwork;
use node::{
    links::{HostEnd, LinkKind, Want},
    probe::ProbeRequest,
    sandbox::Sandbox,
};
use sandbox_record::netns::Netns;

use super::{pending_probe::PendingProbe, pod_links::PodLinks};
use crate::podconfig::{Addressing, acd::ProbeState, desired::spec_hash, plan::Plan};

impl Addressing {
    /// Removes addresses from the link that have not been probed yet or are in use.
    pub(super) fn probe_first(&self, links: &PodLinks, want: &mut Want) -> Option<PendingProbe> {
        let probes = self.probes.as_ref()?;
        if !has_wire(&want.link.kind) {
            return None;
        }
        let name = want.link.name.clone();
        let present = links.present.get(&name);
        let index = present.and_then(|link| link.pod_index);
        let key = (links.uid().to_owned(), name.clone());
        let has =
            |network: &IpNetwork| present.is_some_and(|link| link.addresses.contains(network));
        let pending = want.link.addresses.iter().filter(|network| !has(network));
        let (mut unknown, mut in_use) = (Vec::new(), None);
        for address in pending.map(IpNetwork::ip) {
            match probes.known(&key, index, address) {
                ProbeState::Free => (),
                ProbeState::InUse(mac) => in_use = in_use.or(Some((address, mac))),
                ProbeState::Unknown => unknown.push(address),
            }
        }
        if unknown.is_empty() && in_use.is_none() {
            return None;
        }
        let mac = want.mac(present.map(|link| link.mac));
        // The pending address has already determined it.
        want.link.mac = Some(mac);
        let later = |network: &IpNetwork| {
            let ip = network.ip();
            unknown.contains(&ip) || in_use.is_some_and(|(used, _)| used == ip)
        };
        want.link.addresses.retain(|network| !later(network));
        // The kernel refuses a route through a gateway that no address reaches.
        want.link.routes.clear();
        want.mark.spec_hash = spec_hash(&want.link);
        Some(PendingProbe {
            link: name,
            unknown,
            in_use,
        })
    }

    /// Probes addresses without a result, on the links that are present.
    pub(super) fn probe(&mut self, links: &PodLinks, sandbox: &Sandbox) {
        let Some(probes) = &mut self.probes else {
            return;
        };
        for probing in links.probing.iter().filter(|probing| probing.is_open()) {
            let present = links.present.get(&probing.link);
            let Some((index, mac)) = present.and_then(|link| Some((link.pod_index?, link.mac)))
            else {
                continue;
            };
            match again(&sandbox.netns) {
                Ok(netns) => {
                    let key = (links.uid().to_owned(), probing.link.clone());
                    let addresses = probing.unknown.clone();
                    let request = ProbeRequest {
                        index,
                        mac,
                        addresses,
                    };
                    probes.start(&key, netns, request);
                }
                Err(error) => {
                    tracing::warn!("cannot hold the pod's namespace for a probe: {error}")
                }
            }
        }
    }
}

/// Adds a block reason for each incomplete link.
pub(super) fn report(probing: &[PendingProbe], plan: &mut Plan) {
    for probing in probing {
        let is_reported = plan
            .blocked
            .iter()
            .any(|blocked| blocked.link == probing.link);
        if !is_reported {
            plan.blocked.push(probing.blocked());
        }
    }
}

/// A second descriptor for the probing thread; closed within half a second.
fn again(netns: &Netns) -> Result<Netns, String> {
    let fd = netns.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|error| error.to_string())?;
    Netns::from_fd(fd).map_err(|error| error.to_string())
}

/// The only other end of a routed link is the node.
fn has_wire(kind: &LinkKind) -> bool {
    !matches!(kind, LinkKind::Veth(veth) if veth.host_end == HostEnd::Routed)
}
