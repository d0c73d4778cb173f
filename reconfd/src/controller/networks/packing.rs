//! Pure: networks into objects, so that one that comes or goes changes one of them: a network stays where it
//! is, and a new one goes where there is room.

use std::collections::BTreeMap;

use crds::{
    ReservedNetworksSpec,
    reserved::{MOST_NETWORKS, ReadState, ReservedNetwork, ReservedSummary, SourceState},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::merge::Published;

/// The lists of networks by their number.
pub type Lists = BTreeMap<usize, Vec<ReservedNetwork>>;

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
pub fn pack(present: &Lists, mut wanted: Published) -> Lists {
    let mut lists = Lists::new();
    for (number, networks) in present {
        let mut kept = Vec::new();
        for network in networks.iter().take(MOST_NETWORKS) {
            let key = ReservedNetwork {
                since: None,
                ..network.clone()
            };
            kept.extend(wanted.remove_entry(&key).map(dated));
        }
        lists.insert(*number, kept);
    }
    for network in wanted {
        place(&mut lists, dated(network));
    }
    lists.retain(|_, networks| !networks.is_empty());
    lists
        .values_mut()
        .for_each(|networks| networks.sort_unstable());
    lists
}

fn dated((network, since): (ReservedNetwork, Time)) -> ReservedNetwork {
    ReservedNetwork {
        since: Some(since),
        ..network
    }
}

/// Into the fullest list that has room, so that the others empty in time.
fn place(lists: &mut Lists, network: ReservedNetwork) {
    let with_room = lists.iter().filter(|(_, list)| list.len() < MOST_NETWORKS);
    let fullest = with_room.max_by_key(|(number, list)| (list.len(), usize::MAX - *number));
    let number = fullest.map(|(number, _)| *number).unwrap_or_else(|| {
        let mut numbers = 0..;
        numbers
            .find(|number| !lists.contains_key(number))
            .unwrap_or_default()
    });
    lists.entry(number).or_default().push(network);
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
    networks: usize,
    sources: Vec<SourceState>,
    now: Time,
) -> ReservedNetworksSpec {
    ReservedNetworksSpec {
        installation: installation.to_owned(),
        renewed: Some(now),
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
