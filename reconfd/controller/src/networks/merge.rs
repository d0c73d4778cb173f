//! Pure: merges the networks of all sources into those to be published. Numerous small networks inside a
//! forbidden one are omitted, so that the list does not grow with the number of nodes.

use std::collections::BTreeMap;

use crds::reserved::{ReservedNetwork, Usage};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use address::{reserved::Reserved, sources::Writer};

/// Kinds with up to one object per node, pod or service.
const MANY: [&str; 6] = [
    "Node",
    "Service",
    "CiliumNode.cilium.io",
    "BlockAffinity.crd.projectcalico.org",
    "BlockAffinity.projectcalico.org",
    "OverlappingRangeIPReservation.whereabouts.cni.cncf.io",
];
/// Maximum number of networks per tenant. The rest are skipped, so that one tenant cannot fill the list.
const MAX_PER_TENANT: usize = 128;
/// Maximum number of networks.
const MAX_NETWORKS: usize = 100_000;

/// Networks with the time of their first observation.
pub type DatedNetworks = BTreeMap<ReservedNetwork, Time>;

/// The networks to be published. Those already published keep their time.
pub fn merge<'a>(
    networks: impl Iterator<Item = (&'a ReservedNetwork, Writer)>,
    before: &DatedNetworks,
    now: &Time,
) -> DatedNetworks {
    let all = limit_tenants(networks);
    let forbidden = forbidden(all.iter().copied());
    let kept = all
        .into_iter()
        .filter(|network| !is_redundant(network, &forbidden));
    let dated = kept.take(MAX_NETWORKS).map(|network| {
        let network = network.undated();
        let since = before.get(&network).unwrap_or(now).clone();
        (network, since)
    });
    dated.collect()
}

fn limit_tenants<'a>(
    networks: impl Iterator<Item = (&'a ReservedNetwork, Writer)>,
) -> Vec<&'a ReservedNetwork> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let within = networks.filter(|(network, writer)| {
        let tenant = network.tenant().filter(|_| *writer == Writer::Tenant);
        let Some(tenant) = tenant else {
            return true;
        };
        let count = counts.entry(tenant.to_owned()).or_default();
        *count += 1;
        *count <= MAX_PER_TENANT
    });
    within.map(|(network, _)| network).collect()
}

/// Networks that no policy can permit: pod and service networks without a tenant.
fn forbidden<'a>(networks: impl Iterator<Item = &'a ReservedNetwork>) -> Reserved {
    let forbidden = networks.filter(|network| {
        matches!(network.usage, Usage::Pods | Usage::Services) && network.tenant().is_none()
    });
    Reserved::new(forbidden.cloned())
}

/// Whether a wider forbidden network contains it.
fn is_redundant(network: &ReservedNetwork, forbidden: &Reserved) -> bool {
    let prefix = network.prefix.network();
    let is_wider = |around: &ReservedNetwork| around.prefix.network().prefix() < prefix.prefix();
    MANY.contains(&network.kind.as_str()) && forbidden.overlapping(prefix).any(is_wider)
}

#[cfg(test)]
mod tests;
