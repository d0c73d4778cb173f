//! Pure: what all sources say → what is published. What lies in a network that no link may touch anyway is
//! left out where there is much of it, so that the list does not grow with the nodes.

use std::collections::BTreeMap;

use crds::reserved::{ReservedNetwork, Usage};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::address::{reserved::Reserved, sources::Writer};

/// Kinds of which there may be one object for each node, pod or service.
const MANY: [&str; 6] = [
    "Node",
    "Service",
    "CiliumNode.cilium.io",
    "BlockAffinity.crd.projectcalico.org",
    "BlockAffinity.projectcalico.org",
    "OverlappingRangeIPReservation.whereabouts.cni.cncf.io",
];
/// So many networks of one tenant are kept; what a tenant says beyond is passed over, or the list could be
/// filled by one of them.
const MOST_OF_TENANT: usize = 128;
/// So many networks are kept at all.
const MOST: usize = 100_000;

/// Each network, and since when it is known.
pub type Published = BTreeMap<ReservedNetwork, Time>;

/// What is to be published. What was published before keeps its time.
pub fn merge<'a>(
    said: impl Iterator<Item = (&'a ReservedNetwork, Writer)>,
    before: &Published,
    now: &Time,
) -> Published {
    let all = few_of_each_tenant(said);
    let barred = barred(all.iter().copied());
    let kept = all
        .into_iter()
        .filter(|network| !is_needless(network, &barred));
    let dated = kept.take(MOST).map(|network| {
        let network = network.undated();
        let since = before.get(&network).unwrap_or(now).clone();
        (network, since)
    });
    dated.collect()
}

fn few_of_each_tenant<'a>(
    said: impl Iterator<Item = (&'a ReservedNetwork, Writer)>,
) -> Vec<&'a ReservedNetwork> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let within = said.filter(|(network, writer)| {
        let tenant = network.tenant().filter(|_| *writer == Writer::Tenant);
        let Some(tenant) = tenant else {
            return true;
        };
        let count = counts.entry(tenant.to_owned()).or_default();
        *count += 1;
        *count <= MOST_OF_TENANT
    });
    within.map(|(network, _)| network).collect()
}

/// The networks that no policy lets a link touch.
fn barred<'a>(networks: impl Iterator<Item = &'a ReservedNetwork>) -> Reserved {
    let barred = networks.filter(|network| {
        matches!(network.usage, Usage::Pods | Usage::Services) && network.tenant().is_none()
    });
    Reserved::new(barred.cloned())
}

/// Whether one of these is around it, and wider.
fn is_needless(network: &ReservedNetwork, barred: &Reserved) -> bool {
    let prefix = network.prefix.network();
    let is_wider = |around: &ReservedNetwork| around.prefix.network().prefix() < prefix.prefix();
    MANY.contains(&network.kind.as_str()) && barred.overlapping(prefix).any(is_wider)
}

#[cfg(test)]
mod tests;
