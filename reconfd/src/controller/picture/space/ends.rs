//! Pure: where the tunnels of a namespace end, and the slices that say so.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crds::{Peer, PeerSliceSpec, PodConfigPolicy, report::Tunnel};

use super::Space;
use crate::controller::{
    deed::Deed,
    job::{Job, Mark, Segment, Wait},
    peers::{self, packing},
};

impl Space {
    /// The slices of a segment, as far as they are not what they should be. `nodes`: all of them, if known.
    pub fn packed<'a>(
        &self,
        of: Segment,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
        nodes: Option<&HashSet<String>>,
    ) -> Option<Deed> {
        self.labels.as_ref()?;
        let selected = self.selected(policies);
        let own = self.slices.iter();
        let own = own.filter(|(name, spec)| segment(name, spec.as_ref()) == Some(of));
        let numbered = own.clone().filter_map(|(name, spec)| {
            let peers = spec.as_ref().map(|spec| spec.peers.clone());
            Some((packing::parse(name)?.1, peers.unwrap_or_default()))
        });
        let mut wanted = self.ends.peers(of, &selected);
        let there = own.clone().filter_map(|(_, spec)| spec.as_ref());
        for Peer { node, address } in there.flat_map(|spec| &spec.peers) {
            // A report that is missing says nothing: somebody deleted it, and the tunnel goes on.
            if !wanted.contains_key(node)
                && peers::may_be(of, *address, &selected)
                && nodes.is_none_or(|nodes| nodes.contains(node))
                && self.may_have_end(of, node)
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
        let is_there = |name: &str, spec| self.slices.get(name) == Some(&Some(spec));
        let put = wanted
            .into_iter()
            .filter(|(name, spec)| !is_there(name, spec.clone()))
            .collect::<Vec<_>>();
        (!put.is_empty() || !delete.is_empty()).then(|| Deed::Slices {
            namespace: self.name.clone(),
            put,
            delete,
        })
    }

    /// Whether a pod of that node, of which no report tells, may have an end of the tunnel.
    fn may_have_end(&self, of: Segment, node: &str) -> bool {
        let mut here = self.pods.iter().filter(|(name, pod)| {
            let told = self.reports.get(*name);
            pod.node.as_deref() == Some(node)
                && !pod.has_ended
                && !told.is_some_and(|told| told.is_of(pod))
        });
        here.any(|(_, pod)| {
            let mut configs = self.configs.values();
            configs.any(|config| config.may_ask_for(of, pod))
        })
    }

    /// The segments whose slices name a node of which no report tells that it has an end: whether they are
    /// right depends on the pods there. `None`: any node.
    pub fn untold_ends(&self, node: Option<&str>) -> impl Iterator<Item = Mark> {
        let slices = self.slices.iter().filter_map(move |(name, spec)| {
            let (of, peers) = (segment(name, spec.as_ref())?, &spec.as_ref()?.peers);
            let mut peers = peers
                .iter()
                .filter(|peer| node.is_none_or(|n| n == peer.node));
            let is_untold = peers.any(|peer| !self.ends.has(of, &peer.node));
            is_untold.then_some(of)
        });
        slices.map(|segment| Job::peers(&self.name, segment).after(Wait::Now))
    }

    /// What a pod adds to the ends.
    pub(super) fn count_ends(&mut self, name: &str) -> Vec<Mark> {
        let (pod, told) = (self.pods.get(name), self.reports.get(name));
        let told = told.filter(|told| pod.is_some_and(|pod| told.is_of(pod)));
        let adds = told.map(|told| (told.node.clone(), told.tunnels().collect::<Vec<_>>()));
        let adds = adds.filter(|(_, tunnels)| !tunnels.is_empty());
        let before = self.adds.remove(name);
        if before == adds {
            self.adds.extend(adds.map(|adds| (name.to_owned(), adds)));
            return Vec::new();
        }
        let mut segments = BTreeSet::new();
        for (node, tunnel) in before.iter().flat_map(flat) {
            self.ends.remove(node, tunnel);
            segments.insert(Segment::from(tunnel));
        }
        for (node, tunnel) in adds.iter().flat_map(flat) {
            self.ends.add(node, tunnel);
            segments.insert(Segment::from(tunnel));
        }
        self.adds.extend(adds.map(|adds| (name.to_owned(), adds)));
        let mark = |segment| Job::peers(&self.name, segment).after(Wait::Now);
        segments.into_iter().map(mark).collect()
    }
}

fn flat((node, tunnels): &(String, Vec<Tunnel>)) -> impl Iterator<Item = (&str, Tunnel)> {
    tunnels.iter().map(|tunnel| (node.as_str(), *tunnel))
}

/// The segment that a slice belongs to: its name says so, or else what is in it.
pub(super) fn segment(name: &str, spec: Option<&PeerSliceSpec>) -> Option<Segment> {
    let said = spec.map(|spec| Segment {
        vni: spec.vni,
        port: spec.port,
    });
    packing::parse(name).map(|(segment, _)| segment).or(said)
}
