//! Pure: derives the peers of each VXLAN segment from the tunnel endpoints in PodReports.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use crds::{PodConfigPolicy, podconfig::vxlan::VXLAN_PORT, policy::VxlanRule, report::Tunnel};
use ipnetwork::IpNetwork;

use super::reconcile_key::SegmentKey;

/// Packs peers into PeerSlices.
pub mod packing;

/// Tunnel endpoints of one namespace by segment, node and address, with the number of pods that report each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelEndpoints(BTreeMap<SegmentKey, BTreeMap<(String, IpAddr), usize>>);

impl From<Tunnel> for SegmentKey {
    fn from(tunnel: Tunnel) -> Self {
        Self {
            vni: tunnel.vni,
            port: tunnel.port,
        }
    }
}

impl TunnelEndpoints {
    pub fn add(&mut self, node: &str, tunnel: Tunnel) {
        let endpoints = self.0.entry(tunnel.into()).or_default();
        *endpoints.entry(endpoint(node, tunnel)).or_default() += 1;
    }

    pub fn remove(&mut self, node: &str, tunnel: Tunnel) {
        let (segment, endpoint) = (SegmentKey::from(tunnel), endpoint(node, tunnel));
        let Some(endpoints) = self.0.get_mut(&segment) else {
            return;
        };
        if let Some(pods) = endpoints.get_mut(&endpoint) {
            *pods -= 1;
            if *pods == 0 {
                endpoints.remove(&endpoint);
            }
        }
        if endpoints.is_empty() {
            self.0.remove(&segment);
        }
    }

    pub fn segments(&self) -> impl Iterator<Item = SegmentKey> {
        self.0.keys().copied()
    }

    /// Whether a pod on that node reports an endpoint of the segment.
    pub fn has(&self, segment: SegmentKey, node: &str) -> bool {
        let first = (node.to_owned(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let endpoints = self.0.get(&segment);
        let next = endpoints.and_then(|endpoints| endpoints.range(first..).next());
        next.is_some_and(|((of, _), _)| of == node)
    }

    /// The peers of the segment, with one address per node. Reported addresses that no policy rule of the namespace
    /// allows as a peer are ignored.
    pub fn peers(
        &self,
        segment: SegmentKey,
        policies: &[&PodConfigPolicy],
    ) -> BTreeMap<String, IpAddr> {
        let mut peers = BTreeMap::new();
        let endpoints = self.0.get(&segment).into_iter().flat_map(BTreeMap::keys);
        for (node, address) in
            endpoints.filter(|(_, address)| is_allowed_peer(segment, *address, policies))
        {
            peers.entry(node.clone()).or_insert(*address);
        }
        peers
    }
}

fn endpoint(node: &str, tunnel: Tunnel) -> (String, IpAddr) {
    (node.to_owned(), tunnel.address.to_canonical())
}

/// Whether a rule of the namespace's policies allows this address as a peer.
pub fn is_allowed_peer(
    segment: SegmentKey,
    address: IpAddr,
    policies: &[&PodConfigPolicy],
) -> bool {
    let rules = policies.iter().flat_map(|policy| &policy.spec.allow);
    let mut rules = rules.filter_map(|rule| rule.vxlan.as_ref());
    rules.any(|rule| allows(rule, segment, IpNetwork::from(address)))
}

fn allows(rule: &VxlanRule, segment: SegmentKey, address: IpNetwork) -> bool {
    let port = match &rule.ports[..] {
        [] => segment.port == i32::from(VXLAN_PORT),
        ports => ports.iter().any(|range| range.holds(segment.port)),
    };
    port && rule.vnis.iter().any(|range| range.holds(segment.vni))
        && rule.peers.iter().any(|network| network.holds(address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const SEGMENT: SegmentKey = SegmentKey { vni: 7, port: 4789 };

    fn tunnel(address: &str) -> Tunnel {
        Tunnel {
            vni: SEGMENT.vni,
            port: SEGMENT.port,
            address: address.parse().unwrap(),
        }
    }

    fn policy(rule: serde_json::Value) -> PodConfigPolicy {
        let spec = json!({"namespaceSelector": {}, "allow": [{"vxlan": rule}]});
        PodConfigPolicy::new("p", serde_json::from_value(spec).unwrap())
    }

    fn peers(endpoints: &TunnelEndpoints, rule: serde_json::Value) -> Vec<String> {
        let peers = endpoints.peers(SEGMENT, &[&policy(rule)]);
        let word = |(node, address): (String, IpAddr)| format!("{node}={address}");
        peers.into_iter().map(word).collect()
    }

    fn usual() -> serde_json::Value {
        json!({"vnis": [{"min": 7, "max": 7}], "peers": ["10.77.0.0/24"]})
    }

    #[test]
    fn a_node_is_a_peer_as_long_as_one_of_its_pods_is_on_the_segment() {
        let mut endpoints = TunnelEndpoints::default();
        endpoints.add("n0", tunnel("10.77.0.1"));
        endpoints.add("n0", tunnel("10.77.0.1"));
        endpoints.add("n1", tunnel("10.77.0.2"));
        assert_eq!(peers(&endpoints, usual()), ["n0=10.77.0.1", "n1=10.77.0.2"]);
        endpoints.remove("n0", tunnel("10.77.0.1"));
        assert_eq!(peers(&endpoints, usual()).len(), 2);
        assert!(endpoints.has(SEGMENT, "n0") && !endpoints.has(SEGMENT, "n"));
        endpoints.remove("n0", tunnel("10.77.0.1"));
        assert_eq!(peers(&endpoints, usual()), ["n1=10.77.0.2"]);
        assert!(!endpoints.has(SEGMENT, "n0") && endpoints.has(SEGMENT, "n1"));
        endpoints.remove("n1", tunnel("10.77.0.2"));
        assert!(endpoints.segments().next().is_none());
    }

    #[test]
    fn a_node_has_one_address() {
        let mut endpoints = TunnelEndpoints::default();
        for address in ["10.77.0.9", "10.77.0.5", "::ffff:10.77.0.5"] {
            endpoints.add("n0", tunnel(address));
        }
        assert_eq!(peers(&endpoints, usual()), ["n0=10.77.0.5"]);
    }

    #[test]
    fn only_what_one_rule_allows_is_a_peer() {
        let mut endpoints = TunnelEndpoints::default();
        endpoints.add("n0", tunnel("10.77.0.1"));
        endpoints.add("evil", tunnel("192.0.2.1"));
        assert_eq!(peers(&endpoints, usual()), ["n0=10.77.0.1"]);
        let range = |min, max| json!([{"min": min, "max": max}]);
        for rule in [
            json!({"vnis": range(8, 9), "peers": ["10.77.0.0/24"]}),
            json!({"vnis": range(7, 7), "ports": range(1, 9), "peers": ["10.77.0.0/24"]}),
            json!({"vnis": range(7, 7), "peers": []}),
        ] {
            assert!(peers(&endpoints, rule.clone()).is_empty(), "{rule}");
        }
    }
}
