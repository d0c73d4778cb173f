//! Pure: tunnel endpoints of a namespace and the PeerSlices that publish them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crds::{Peer, PeerSliceSpec, PodConfigPolicy, report::Tunnel};

use super::NamespaceState;
use crate::{
    action::Action,
    peers::{self, packing},
    reconcile_key::{Delay, ReconcileKey, Requeue, SegmentKey},
};

impl NamespaceState {
    /// The update of a segment's slices, if one is needed. `nodes`: all nodes, if synced.
    pub fn packed<'a>(
        &self,
        of: SegmentKey,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
        nodes: Option<&HashSet<String>>,
    ) -> Option<Action> {
        self.labels.as_ref()?;
        let selected = self.selected(policies);
        let own = self.slices.iter();
        let own = own.filter(|(name, spec)| segment_of(name, spec.as_ref()) == Some(of));
        let numbered = own.clone().filter_map(|(name, spec)| {
            let peers = spec.as_ref().map(|spec| spec.peers.clone());
            Some((packing::parse(name)?.1, peers.unwrap_or_default()))
        });
        let mut wanted = self.endpoints.peers(of, &selected);
        let current = own.clone().filter_map(|(_, spec)| spec.as_ref());
        for Peer { node, address } in current.flat_map(|spec| &spec.peers) {
            // A missing report does not mean that the endpoint is gone: it may have been deleted.
            if !wanted.contains_key(node)
                && peers::is_allowed_peer(of, *address, &selected)
                && nodes.is_none_or(|nodes| nodes.contains(node))
                && self.may_have_endpoint(of, node)
            {
                wanted.insert(node.clone(), *address);
            }
        }
        let wanted = packing::pack(&numbered.collect(), wanted);
        let wanted = wanted.into_iter().map(|(number, peers)| {
            let (vni, port) = (of.vni, of.port);
            (
                packing::name(of, number),
                PeerSliceSpec { vni, port, peers },
            )
        });
        let wanted: BTreeMap<String, PeerSliceSpec> = wanted.collect();
        let delete = own
            .map(|(name, _)| name)
            .filter(|name| !wanted.contains_key(*name));
        let delete: Vec<String> = delete.cloned().collect();
        let is_up_to_date = |name: &str, spec| self.slices.get(name) == Some(&Some(spec));
        let put = wanted
            .into_iter()
            .filter(|(name, spec)| !is_up_to_date(name, spec.clone()))
            .collect::<Vec<_>>();
        (!put.is_empty() || !delete.is_empty()).then(|| Action::ApplySlices {
            namespace: self.name.clone(),
            put,
            delete,
        })
    }

    /// Whether a pod on that node without a report may have an endpoint of the segment.
    fn may_have_endpoint(&self, of: SegmentKey, node: &str) -> bool {
        let mut here = self.pods.iter().filter(|(name, pod)| {
            let report = self.reports.get(*name);
            pod.node.as_deref() == Some(node)
                && !pod.has_ended
                && !report.is_some_and(|report| report.is_of(pod))
        });
        here.any(|(_, pod)| {
            let mut configs = self.configs.values();
            configs.any(|config| config.may_request(of, pod))
        })
    }

    /// Segments whose slices contain a node without a reported endpoint: whether that peer stays depends on the
    /// node's pods. `None`: any node.
    pub fn unreported_peers(&self, node: Option<&str>) -> impl Iterator<Item = Requeue> {
        let slices = self.slices.iter().filter_map(move |(name, spec)| {
            let (of, peers) = (segment_of(name, spec.as_ref())?, &spec.as_ref()?.peers);
            let mut peers = peers
                .iter()
                .filter(|peer| node.is_none_or(|n| n == peer.node));
            let is_unreported = peers.any(|peer| !self.endpoints.has(of, &peer.node));
            is_unreported.then_some(of)
        });
        slices.map(|segment| ReconcileKey::peers(&self.name, segment).after(Delay::Now))
    }

    /// What a pod tunnels to the ends.
    pub(super) fn update_endpoints(&mut self, name: &str) -> Vec<Requeue> {
        let (pod, report) = (self.pods.get(name), self.reports.get(name));
        let report = report.filter(|report| pod.is_some_and(|pod| report.is_of(pod)));
        let tunnels =
            report.map(|report| (report.node.clone(), report.tunnels().collect::<Vec<_>>()));
        let tunnels = tunnels.filter(|(_, tunnels)| !tunnels.is_empty());
        let before = self.pod_tunnels.remove(name);
        if before == tunnels {
            self.pod_tunnels
                .extend(tunnels.map(|tunnels| (name.to_owned(), tunnels)));
            return Vec::new();
        }
        let mut segments = BTreeSet::new();
        for (node, tunnel) in before.iter().flat_map(flat) {
            self.endpoints.remove(node, tunnel);
            segments.insert(SegmentKey::from(tunnel));
        }
        for (node, tunnel) in tunnels.iter().flat_map(flat) {
            self.endpoints.add(node, tunnel);
            segments.insert(SegmentKey::from(tunnel));
        }
        self.pod_tunnels
            .extend(tunnels.map(|tunnels| (name.to_owned(), tunnels)));
        let requeue = |segment| ReconcileKey::peers(&self.name, segment).after(Delay::Now);
        segments.into_iter().map(requeue).collect()
    }
}

fn flat((node, tunnels): &(String, Vec<Tunnel>)) -> impl Iterator<Item = (&str, Tunnel)> {
    tunnels.iter().map(|tunnel| (node.as_str(), *tunnel))
}

/// The segment of a slice, from its name or else from its spec.
pub(super) fn segment_of(name: &str, spec: Option<&PeerSliceSpec>) -> Option<SegmentKey> {
    let in_spec = spec.map(|spec| SegmentKey {
        vni: spec.vni,
        port: spec.port,
    });
    packing::parse(name).map(|(segment, _)| segment).or(in_spec)
}
