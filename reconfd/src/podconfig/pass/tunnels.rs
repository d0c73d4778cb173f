//! Endpoints of tunnels with `peers: {auto: {}}`: the local one from the node's addresses, the
//! remote ones from the PeerSlices of the namespaces that use the tunnel.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::PeerSlice;
use ipnetwork::IpNetwork;

use super::context::PodContext;
use crate::{
    node::{
        links::{Link, Segment},
        netlink::Error,
    },
    podconfig::{NodeReconciler, policy::Permit, segments::endpoints},
};

/// One pod updates a tunnel for all of its users.
pub struct TunnelUpdate {
    pod: String,
    vni: i32,
    port: i32,
    /// The other users.
    others: BTreeSet<String>,
}

impl TunnelUpdate {
    fn is_done_by(&self, ctx: &PodContext) -> bool {
        let found = ctx
            .granted
            .iter()
            .filter_map(|g| g.link.kind.data()?.found());
        ctx.uid() == self.pod
            && ctx.is_complete()
            && found
                .into_iter()
                .any(|tunnel| endpoints::is_tunnel(tunnel, self.vni, self.port))
    }
}

impl NodeReconciler {
    /// The remote endpoints of a tunnel have changed in this namespace. All pods share one device,
    /// so that one of them is enough.
    pub(in crate::podconfig) fn enqueue_tunnel(&mut self, namespace: &str, vni: i32, port: i32) {
        let mut others = self.segments.users_of_found(namespace, vni, port);
        let is_complete = |uid: &&String| {
            let applied = self.applied.get(*uid);
            applied.is_some_and(|applied| applied.seen && !applied.is_incomplete)
        };
        let pod = others.iter().find(is_complete).or(others.first()).cloned();
        let Some(pod) = pod else {
            return;
        };
        others.remove(&pod);
        self.dirty.insert(pod.clone());
        self.tunnel_updates.push(TunnelUpdate {
            pod,
            vni,
            port,
            others,
        });
    }

    /// If that pod could not do it, or does not use the tunnel any more, the others are enqueued.
    pub(super) fn retry_tunnel_updates(&mut self, contexts: &[PodContext]) {
        let tunnel_updates = std::mem::take(&mut self.tunnel_updates).into_iter();
        let is_open = |update: &TunnelUpdate| !contexts.iter().any(|ctx| update.is_done_by(ctx));
        let open = tunnel_updates.filter(is_open);
        self.dirty.extend(open.flat_map(|update| update.others));
    }

    /// Discovered peers are not requested, so that the rules may allow different networks. Only one
    /// of the rules that allow the link counts, for all that it says: the first that includes this
    /// node.
    pub(super) fn choose_rule(&mut self, link: &Link, permit: &mut Permit) {
        let segment = link.kind.segment();
        let Some(segment) = segment.filter(|segment| segment.data.found().is_some()) else {
            return;
        };
        // Addresses that cannot be read take nothing away: without them the pod is not observed.
        let Ok(addresses) = self.machine.addresses_of(&segment.parent) else {
            return;
        };
        let is_in = |networks: &Vec<IpNetwork>| endpoints::local(&addresses, networks).is_some();
        let first = permit.sources.iter().position(is_in);
        permit.restrict_to_rule(first.unwrap_or_default());
    }

    /// Determines the local endpoints of the pod's tunnels.
    pub(super) fn find_local_endpoints(&mut self, ctx: &mut PodContext) -> Result<(), Error> {
        for granted in &ctx.granted {
            let segment = granted.link.kind.segment();
            let Some(segment) = segment.filter(|segment| segment.data.found().is_some()) else {
                continue;
            };
            let addresses = self.machine.addresses_of(&segment.parent)?;
            let networks = self.segments.sources(&segment.name);
            let own = endpoints::local(&addresses, networks);
            ctx.ends
                .extend(own.map(|own| (granted.link.name.clone(), own)));
        }
        Ok(())
    }

    /// The remote endpoints of a tunnel; none without a local endpoint.
    pub(super) fn remote_endpoints(
        &self,
        segment: &Segment,
        own: &BTreeSet<IpAddr>,
    ) -> BTreeSet<IpAddr> {
        let (Some(tunnel), Some(end)) = (segment.data.found(), segment.data.own()) else {
            return BTreeSet::new();
        };
        let namespaces = self.segments.namespaces(&segment.name).into_iter();
        let slices = namespaces.flat_map(|namespace| self.stores.peer_slices_of(namespace));
        let networks = self.segments.sources(&segment.name);
        endpoints::remote::<Arc<PeerSlice>>(
            slices,
            tunnel,
            end,
            |address| own.contains(address),
            networks,
        )
    }
}
