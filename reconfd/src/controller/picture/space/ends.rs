//! Pure: where the tunnels of a namespace end, and the slices that say so.

use std::collections::{BTreeMap, BTreeSet};

use crds::{PeerSliceSpec, PodConfigPolicy, report::Tunnel};

use super::Space;
use crate::controller::{
    deed::Deed,
    job::{Job, Mark, Segment, Wait},
    peers::packing,
};

impl Space {
    /// The slices of a segment, as far as they are not what they should be.
    pub fn packed<'a>(
        &self,
        of: Segment,
        policies: impl Iterator<Item = &'a PodConfigPolicy>,
    ) -> Option<Deed> {
        self.labels.as_ref()?;
        let selected = self.selected(policies);
        let own = self.slices.iter();
        let own = own.filter(|(name, spec)| segment(name, spec.as_ref()) == Some(of));
        let numbered = own.clone().filter_map(|(name, spec)| {
            let peers = spec.as_ref().map(|spec| spec.peers.clone());
            Some((packing::parse(name)?.1, peers.unwrap_or_default()))
        });
        let wanted = packing::pack(&numbered.collect(), self.ends.peers(of, &selected));
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
