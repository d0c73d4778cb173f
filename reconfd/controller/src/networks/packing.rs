//! Pure: packs networks into objects, and builds their names and specs.

use crds::{
    ReservedNetworksSpec,
    reserved::{MOST_NETWORKS, ReadState, ReservedNetwork, ReservedSummary, Serves, SourceState},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::merge::DatedNetworks;
use crate::packing;

/// Lists of networks by number.
pub type NetworkLists = packing::Lists<ReservedNetwork>;

/// Name of the object with this number. Installation names contain no dot, so it is unique.
pub fn name(installation: &str, number: usize) -> String {
    format!("{installation}.{number}")
}

/// Parses the number from such a name.
pub fn number(installation: &str, text: &str) -> Option<usize> {
    let number = text.strip_prefix(installation)?.strip_prefix('.')?;
    let number = number.parse().ok()?;
    (name(installation, number) == text).then_some(number)
}

/// The desired lists, with minimal changes to the present ones.
pub fn pack(present: &NetworkLists, wanted: DatedNetworks) -> NetworkLists {
    let dated = |(network, since)| ReservedNetwork {
        since: Some(since),
        ..network
    };
    packing::pack(
        present,
        wanted,
        MOST_NETWORKS,
        ReservedNetwork::undated,
        dated,
    )
}

/// Spec of an object with a list.
pub fn list(installation: &str, networks: Vec<ReservedNetwork>) -> ReservedNetworksSpec {
    ReservedNetworksSpec {
        installation: installation.to_owned(),
        summary: summary(networks.len(), &[]),
        networks,
        ..ReservedNetworksSpec::default()
    }
}

/// Spec of the head object, which declares the lists complete.
pub fn head(
    installation: &str,
    serves: Serves,
    networks: usize,
    sources: Vec<SourceState>,
    now: Time,
) -> ReservedNetworksSpec {
    ReservedNetworksSpec {
        installation: installation.to_owned(),
        renewed: Some(now),
        serves: Some(serves),
        summary: summary(networks, &sources),
        sources,
        networks: Vec::new(),
    }
}

fn summary(networks: usize, sources: &[SourceState]) -> ReservedSummary {
    let unknown = sources
        .iter()
        .filter(|source| source.state == ReadState::Unknown);
    let unknown: Vec<&str> = unknown.map(|source| source.asked.as_str()).collect();
    ReservedSummary {
        networks: i32::try_from(networks).unwrap_or(i32::MAX),
        unknown: unknown.join(", ").chars().take(1024).collect(),
    }
}

#[cfg(test)]
mod tests;
