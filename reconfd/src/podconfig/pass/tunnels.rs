//! The ends of tunnels with `peers: {auto: {}}`: this node's by its addresses, the others' by the slices of
//! the namespaces that have the tunnel.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crds::PeerSlice;
use ipnetwork::IpNetwork;

use super::context::PodContext;
use crate::{
    node::{
        links::{Link, Segment},
        netlink::Error,
    },
    podconfig::{NodeReconciler, policy::Permit, vtep_peers},
};

/// One pod looks after a tunnel for all that are on it.
pub struct TunnelUpdate {
    pod: String,
    vni: i32,
    port: i32,
    /// Who is on it as well.
    others: BTreeSet<String>,
}

impl TunnelUpdate {
    fn is_done_by(&self, ctx: &PodContext) -> bool {
        let found = ctx
            .granted
            .iter()
            .filter_map(|g| g.link.kind.data()?.found());
        ctx.uid() == self.pod
            && ctx.is_whole()
            && found
                .into_iter()
                .any(|tunnel| vtep_peers::is_of(tunnel, self.vni, self.port))
    }
}

impl NodeReconciler {
    /// The ends of a tunnel of this namespace are others. The device of all its pods is one, and so one of
    /// them is enough.
    pub(in crate::podconfig) fn enqueue_tunnel(&mut self, namespace: &str, vni: i32, port: i32) {
        let mut others = self.segments.users_of_found(namespace, vni, port);
        let is_whole = |uid: &&String| {
            let applied = self.applied.get(*uid);
            applied.is_some_and(|applied| applied.seen && !applied.is_incomplete)
        };
        let pod = others.iter().find(is_whole).or(others.first()).cloned();
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

    /// Where the one could not do it, or is not on the tunnel any more, the others try.
    pub(super) fn retry_tunnel_updates(&mut self, contexts: &[PodContext]) {
        let tunnel_updates = std::mem::take(&mut self.tunnel_updates).into_iter();
        let is_open = |update: &TunnelUpdate| !contexts.iter().any(|ctx| update.is_done_by(ctx));
        let open = tunnel_updates.filter(is_open);
        self.dirty.extend(open.flat_map(|update| update.others));
    }

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
        let is_in = |networks: &Vec<IpNetwork>| vtep_peers::own(&addresses, networks).is_some();
        let first = permit.sources.iter().position(is_in);
        permit.of_one_rule(first.unwrap_or_default());
    }

    /// Where the tunnels of a pod end on this node.
    pub(super) fn find_own_ends(&mut self, ctx: &mut PodContext) -> Result<(), Error> {
        for granted in &ctx.granted {
            let segment = granted.link.kind.segment();
            let Some(segment) = segment.filter(|segment| segment.data.found().is_some()) else {
                continue;
            };
            let addresses = self.machine.addresses_of(&segment.parent)?;
            let networks = self.segments.sources(&segment.name);
            let own = vtep_peers::own(&addresses, networks);
            ctx.ends
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
        let slices = namespaces.flat_map(|namespace| self.stores.peer_slices_of(namespace));
        let networks = self.segments.sources(&segment.name);
        vtep_peers::others::<Arc<PeerSlice>>(
            slices,
            tunnel,
            end,
            |address| own.contains(address),
            networks,
        )
    }
}
