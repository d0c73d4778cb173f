//! A link whose addresses are asked for on the wire: it comes without them first.

use std::{net::IpAddr, os::fd::AsFd as _};

use cni_plugin::netns::Netns;
use crds::{Mac, Reason};
use ipnetwork::IpNetwork;

use super::context::PodContext;
use crate::{
    node::{
        links::{HostEnd, LinkKind, Want},
        probe::ProbeRequest,
        sandbox::Sandbox,
    },
    podconfig::{
        NodeReconciler,
        acd::ProbeState,
        desired::spec_hash,
        plan::{Blocked, Plan},
    },
};

/// A link that is_incomplete addresses which are being asked for.
#[derive(Clone, Debug)]
pub struct PendingProbe {
    pub link: String,
    unknown: Vec<IpAddr>,
    in_use: Option<(IpAddr, [u8; 6])>,
}

impl NodeReconciler {
    /// Takes from the wish what nobody has been asked about yet, or somebody else has.
    pub(super) fn probe_first(&self, ctx: &PodContext, want: &mut Want) -> Option<PendingProbe> {
        let probes = self.probes.as_ref()?;
        if !has_wire(&want.link.kind) {
            return None;
        }
        let name = want.link.name.clone();
        let present = ctx.present.get(&name);
        let index = present.and_then(|link| link.pod_index);
        let key = (ctx.uid().to_owned(), name.clone());
        let has =
            |network: &IpNetwork| present.is_some_and(|link| link.addresses.contains(network));
        let asked = want.link.addresses.iter().filter(|network| !has(network));
        let (mut unknown, mut in_use) = (Vec::new(), None);
        for address in asked.map(IpNetwork::ip) {
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
        // The address that is to come has chosen it already.
        want.link.mac = Some(mac);
        let later = |network: &IpNetwork| {
            let ip = network.ip();
            unknown.contains(&ip) || in_use.is_some_and(|(used, _)| used == ip)
        };
        want.link.addresses.retain(|network| !later(network));
        // A route through a gateway that no address leads to would be refused.
        want.link.routes.clear();
        want.mark.spec_hash = spec_hash(&want.link);
        Some(PendingProbe {
            link: name,
            unknown,
            in_use,
        })
    }

    /// Asks for what nothing is known of, on the links that are there now.
    pub(super) fn probe(&mut self, ctx: &PodContext, sandbox: &Sandbox) {
        let Some(probes) = &mut self.probes else {
            return;
        };
        for probing in ctx.probing.iter().filter(|probing| probing.is_open()) {
            let present = ctx.present.get(&probing.link);
            let Some((index, mac)) = present.and_then(|link| Some((link.pod_index?, link.mac)))
            else {
                continue;
            };
            match again(&sandbox.netns) {
                Ok(netns) => {
                    let key = (ctx.uid().to_owned(), probing.link.clone());
                    let addresses = probing.unknown.clone();
                    let question = ProbeRequest {
                        index,
                        mac,
                        addresses,
                    };
                    probes.ask(&key, netns, question);
                }
                Err(error) => tracing::warn!("hold the pod's namespace for a question: {error}"),
            }
        }
    }
}

impl PendingProbe {
    pub fn is_open(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Cause the link is not whole yet.
    fn blocked(&self) -> Blocked {
        let (reason, message) = match self.in_use {
            Some((address, mac)) => {
                let message = format!(
                    "{address} is answered for by {}, which is no pod of podconfig; it is asked for again",
                    Mac(mac)
                );
                (Reason::AddressInUse, message)
            }
            None => (
                Reason::ClaimPending,
                "it is asked on the wire whether somebody has its addresses".into(),
            ),
        };
        Blocked {
            link: self.link.clone(),
            reason,
            message,
        }
    }
}

/// Says of each such link why it is not whole.
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

/// Another descriptor, for the thread that asks; it is closed within half a second.
fn again(netns: &Netns) -> Result<Netns, String> {
    let fd = netns.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|error| error.to_string())?;
    Netns::from_fd(fd).map_err(|error| error.to_string())
}

/// The other end of a link that the node routes is the node alone.
fn has_wire(kind: &LinkKind) -> bool {
    !matches!(kind, LinkKind::Veth(veth) if veth.host_end == HostEnd::Routed)
}
