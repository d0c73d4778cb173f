//! Pure: networks into objects, and what these are called and say.

use crds::{
    ReservedNetworksSpec,
    reserved::{MOST_NETWORKS, ReadState, ReservedNetwork, ReservedSummary, Serves, SourceState},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::merge::Published;
use crate::controller::packing;

/// The lists of networks by their number.
pub type Lists = packing::Lists<ReservedNetwork>;

/// The object of this number. A dot is in no installation's name: nobody else's is called alike.
pub fn name(installation: &str, number: usize) -> String {
    format!("{installation}.{number}")
}

/// The number in a name of that form, and in no other.
pub fn number(installation: &str, text: &str) -> Option<usize> {
    let number = text.strip_prefix(installation)?.strip_prefix('.')?;
    let number = number.parse().ok()?;
    (name(installation, number) == text).then_some(number)
}

/// The lists as they should be, given those that are there.
pub fn pack(present: &Lists, wanted: Published) -> Lists {
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

/// An object with a list.
pub fn list(installation: &str, networks: Vec<ReservedNetwork>) -> ReservedNetworksSpec {
    ReservedNetworksSpec {
        installation: installation.to_owned(),
        summary: summary(networks.len(), &[]),
        networks,
        ..ReservedNetworksSpec::default()
    }
}

/// The object that says how complete all the lists are.
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
