//! Pure: the reserved networks known on this node, and whether they are complete. While they are unknown, no new
//! address is allocated, and none is taken away.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    Cidr, ReservedNetworks,
    reserved::{ReadState, ReservedNetwork, Source, SourceState, Usage},
};
use ipnetwork::IpNetwork;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use node::networks::NetworksResult;

use super::{
    kernel,
    reserved::{Reserved, special},
};

/// How long a confirmation of the controller is valid. The controller renews it ten times as often.
pub const VALID_FOR: Duration = Duration::from_secs(180);

/// What the controller has published.
#[derive(Clone, Debug, Default)]
pub struct ClusterNetworks {
    pub objects: Vec<Arc<ReservedNetworks>>,
    /// When they were last confirmed.
    pub confirmed: Option<Instant>,
}

/// Added and removed networks, and whether blocked links may be retried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryUpdate {
    pub networks: Vec<IpNetwork>,
    pub may_unblock: bool,
}

/// The reserved networks of this node.
#[derive(Debug, Default)]
pub struct NetworkInventory {
    installation: String,
    /// From the command line.
    own: Vec<ReservedNetwork>,
    /// Each network without its date, and since when it is known.
    all: BTreeMap<ReservedNetwork, Time>,
    reserved: Reserved,
    unknown: Option<String>,
    /// The sources that the controller reads, and their state.
    sources: Vec<SourceState>,
}

impl NetworkInventory {
    pub fn new(installation: &str, own: &[Cidr]) -> Self {
        let own = own.iter().map(|prefix| ReservedNetwork {
            prefix: *prefix,
            usage: Usage::Reserved,
            source: Source::Administrator,
            kind: "flag".into(),
            object: "--reserve".into(),
            field: String::new(),
            since: None,
        });
        Self {
            installation: installation.into(),
            own: own.collect(),
            unknown: Some("the networks of this node are not known yet".into()),
            ..Self::default()
        }
    }

    pub fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    pub fn sources(&self) -> &[SourceState] {
        &self.sources
    }

    /// Why no new address may be allocated.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Applies all that is known now. `cluster` is `None` without a cluster.
    pub fn update(
        &mut self,
        node: Option<&NetworksResult>,
        cluster: Option<&ClusterNetworks>,
        (now, time): (Instant, Time),
    ) -> InventoryUpdate {
        let unknown = unknown_reason(node, cluster, &self.installation, now);
        let mut found = self.own.clone();
        found.extend(special());
        match node {
            Some(Ok(networks)) => found.extend(kernel::of_node(networks.iter())),
            // It cannot be read now: the known networks stay in force.
            Some(Err(_)) | None => found.extend(self.of_node().cloned()),
        }
        let published = cluster.iter().flat_map(|cluster| &cluster.objects);
        let published = published.filter(|object| object.spec.installation == self.installation);
        self.sources.clear();
        for object in published {
            found.extend(object.spec.networks.iter().cloned());
            self.sources.extend(object.spec.sources.iter().cloned());
        }
        let may_unblock = self.unknown.is_some() && self.unknown != unknown;
        self.unknown = unknown;
        InventoryUpdate {
            networks: self.replace(found, &time),
            may_unblock,
        }
    }

    fn of_node(&self) -> impl Iterator<Item = &ReservedNetwork> {
        let of_kernel = |network: &&ReservedNetwork| network.kind == kernel::KIND;
        self.all.keys().filter(of_kernel)
    }

    /// Replaces the networks; returns those that were added or removed.
    fn replace(&mut self, found: Vec<ReservedNetwork>, time: &Time) -> Vec<IpNetwork> {
        let dated = found.into_iter().map(|network| {
            let undated = network.undated();
            let known = || self.all.get(&undated).cloned();
            let since = network.since.or_else(known);
            (undated, since.unwrap_or_else(|| time.clone()))
        });
        let now: BTreeMap<ReservedNetwork, Time> = dated.collect();
        let (removed, added) = (not_in(&self.all, &now), not_in(&now, &self.all));
        let changed: Vec<IpNetwork> = removed.chain(added).collect();
        if !changed.is_empty() {
            let dated = now.iter().map(|(network, since)| ReservedNetwork {
                since: Some(since.clone()),
                ..network.clone()
            });
            self.reserved = Reserved::new(dated);
            self.all = now;
        }
        changed
    }
}

fn not_in<'a>(
    some: &'a BTreeMap<ReservedNetwork, Time>,
    others: &'a BTreeMap<ReservedNetwork, Time>,
) -> impl Iterator<Item = IpNetwork> + 'a {
    let missing = some.keys().filter(|network| !others.contains_key(network));
    missing.map(|network| network.prefix.network())
}

/// Why there may be further, unknown networks.
fn unknown_reason(
    node: Option<&NetworksResult>,
    cluster: Option<&ClusterNetworks>,
    installation: &str,
    now: Instant,
) -> Option<String> {
    match node {
        None => return Some("the networks of this node are not known yet".into()),
        Some(Err(error)) => return Some(format!("cannot read the networks of this node: {error}")),
        Some(Ok(_)) => (),
    }
    let cluster = cluster?;
    let Some(confirmed) = cluster.confirmed else {
        return Some("the controller has not published the networks of the cluster yet".into());
    };
    let age = now.saturating_duration_since(confirmed);
    if age > VALID_FOR {
        let seconds = age.as_secs();
        return Some(format!(
            "the controller has not confirmed the networks of the cluster for {seconds} s"
        ));
    }
    let own = cluster.objects.iter();
    let own = own.filter(|object| object.spec.installation == installation);
    let mut sources = own.flat_map(|object| &object.spec.sources);
    let unknown = sources.find(|source| source.state == ReadState::Unknown)?;
    Some(format!("{}: {}", unknown.asked, unknown.message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use crds::ReservedNetworksSpec;
    use k8s_openapi::jiff::Timestamp;
    use nix::errno::Errno;

    use super::*;
    use node::{
        netlink::Error,
        networks::{By, KernelNetwork},
    };

    fn at(seconds: i64) -> Time {
        Time(Timestamp::from_second(seconds).unwrap())
    }

    fn node(prefix: &str) -> NetworksResult {
        let network = KernelNetwork {
            prefix: prefix.parse().unwrap(),
            by: By::Address,
            link: "eth0".into(),
        };
        Ok([network].into())
    }

    fn object(spec: ReservedNetworksSpec) -> Arc<ReservedNetworks> {
        Arc::new(ReservedNetworks::new("default", spec))
    }

    fn published(state: ReadState, confirmed: Instant) -> ClusterNetworks {
        let source = SourceState {
            source: Source::Calico,
            asked: "IPPool.crd.projectcalico.org".into(),
            state,
            message: "403: forbidden".into(),
        };
        let network = ReservedNetwork {
            prefix: "10.244.0.0/16".parse().unwrap(),
            usage: Usage::Pods,
            source: Source::Calico,
            kind: "IPPool.crd.projectcalico.org".into(),
            object: "default".into(),
            field: "spec.cidr".into(),
            since: Some(at(5)),
        };
        let of = |installation: &str| ReservedNetworksSpec {
            installation: installation.into(),
            sources: vec![source.clone()],
            networks: vec![network.clone()],
            ..ReservedNetworksSpec::default()
        };
        ClusterNetworks {
            objects: vec![object(of("default")), object(of("another"))],
            confirmed: Some(confirmed),
        }
    }

    #[test]
    fn what_comes_and_goes_is_news_once() {
        let mut inventory = NetworkInventory::new("default", &["172.20.0.0/16".parse().unwrap()]);
        let now = Instant::now();
        let first = inventory.update(Some(&node("10.0.0.5/24")), None, (now, at(1)));
        assert!(first.may_unblock && first.networks.contains(&"172.20.0.0/16".parse().unwrap()));
        assert_eq!(inventory.unknown(), None);
        let again = inventory.update(Some(&node("10.0.0.5/24")), None, (now, at(2)));
        assert_eq!(again, InventoryUpdate::default());
        let moved = inventory.update(Some(&node("10.0.1.5/24")), None, (now, at(3)));
        assert_eq!(moved.networks.len(), 4);
        let since: Vec<_> = inventory
            .reserved()
            .iter()
            .filter_map(|n| n.since.clone())
            .collect();
        assert!(since.contains(&at(1)) && since.contains(&at(3)) && !since.contains(&at(2)));
    }

    #[test]
    fn a_source_that_cannot_be_read_is_named_and_the_networks_stay() {
        let mut inventory = NetworkInventory::new("default", &[]);
        let (now, node) = (Instant::now(), node("10.0.0.5/24"));
        inventory.update(
            Some(&node),
            Some(&published(ReadState::Read, now)),
            (now, at(1)),
        );
        assert_eq!(inventory.unknown(), None);
        let networks = inventory.reserved().iter().count();
        let update = inventory.update(
            Some(&node),
            Some(&published(ReadState::Unknown, now)),
            (now, at(2)),
        );
        assert_eq!(
            inventory.unknown(),
            Some("IPPool.crd.projectcalico.org: 403: forbidden")
        );
        assert_eq!(update, InventoryUpdate::default());
        assert_eq!(inventory.reserved().iter().count(), networks);
    }

    #[test]
    fn a_controller_that_is_silent_is_not_believed_for_ever() {
        let mut inventory = NetworkInventory::new("default", &[]);
        let (confirmed, node) = (Instant::now(), node("10.0.0.5/24"));
        let cluster = published(ReadState::Read, confirmed);
        inventory.update(Some(&node), Some(&cluster), (confirmed + VALID_FOR, at(1)));
        assert_eq!(inventory.unknown(), None);
        let later = confirmed + VALID_FOR + Duration::from_secs(1);
        inventory.update(Some(&node), Some(&cluster), (later, at(2)));
        assert!(
            inventory
                .unknown()
                .is_some_and(|why| why.contains("for 181 s"))
        );
        inventory.update(
            Some(&node),
            Some(&ClusterNetworks::default()),
            (later, at(3)),
        );
        assert!(
            inventory
                .unknown()
                .is_some_and(|why| why.contains("not published"))
        );
    }

    #[test]
    fn a_kernel_that_does_not_answer_takes_nothing_away() {
        let mut inventory = NetworkInventory::new("default", &[]);
        let now = Instant::now();
        inventory.update(Some(&node("10.0.0.5/24")), None, (now, at(1)));
        let broken = Err(Error {
            op: "list addresses".into(),
            errno: Errno::EIO,
            text: String::new(),
        });
        let update = inventory.update(Some(&broken), None, (now, at(2)));
        assert_eq!(update.networks, []);
        assert!(
            inventory
                .unknown()
                .is_some_and(|why| why.contains("list addresses"))
        );
    }
}
