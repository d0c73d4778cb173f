//! Pure: what the reports say of tunnels → the nodes that each of them leads to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use crds::{PodConfigPolicy, podconfig::vxlan::VXLAN_PORT, policy::VxlanRule, report::Tunnel};
use ipnetwork::IpNetwork;

use super::reconcile_key::Segment;

/// Peers into slices.
pub mod packing;

/// The ends of the tunnels of one namespace, by segment, node and address; each with how many pods tell of
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelEndpoints(BTreeMap<Segment, BTreeMap<(String, IpAddr), usize>>);

impl From<Tunnel> for Segment {
    fn from(tunnel: Tunnel) -> Self {
        Self {
            vni: tunnel.vni,
            port: tunnel.port,
        }
    }
}

impl TunnelEndpoints {
    pub fn add(&mut self, node: &str, tunnel: Tunnel) {
        let ends = self.0.entry(tunnel.into()).or_default();
        *ends.entry(end(node, tunnel)).or_default() += 1;
    }

    pub fn remove(&mut self, node: &str, tunnel: Tunnel) {
        let (segment, end) = (Segment::from(tunnel), end(node, tunnel));
        let Some(ends) = self.0.get_mut(&segment) else {
            return;
        };
        if let Some(pods) = ends.get_mut(&end) {
            *pods -= 1;
            if *pods == 0 {
                ends.remove(&end);
            }
        }
        if ends.is_empty() {
            self.0.remove(&segment);
        }
    }

    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        self.0.keys().copied()
    }

    /// Whether a pod of that node tells of an end of the tunnel.
    pub fn has(&self, segment: Segment, node: &str) -> bool {
        let first = (node.to_owned(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let ends = self.0.get(&segment);
        let next = ends.and_then(|ends| ends.range(first..).next());
        next.is_some_and(|((of, _), _)| of == node)
    }

    /// The nodes that the tunnel leads to, each with one address: only one that a rule of the namespace's
    /// policies allows as a peer, whatever a node says of itself.
    pub fn peers(
        &self,
        segment: Segment,
        policies: &[&PodConfigPolicy],
    ) -> BTreeMap<String, IpAddr> {
        let mut peers = BTreeMap::new();
        let ends = self.0.get(&segment).into_iter().flat_map(BTreeMap::keys);
        for (node, address) in
            ends.filter(|(_, address)| is_allowed_peer(segment, *address, policies))
        {
            peers.entry(node.clone()).or_insert(*address);
        }
        peers
    }
}

fn end(node: &str, tunnel: Tunnel) -> (String, IpAddr) {
    (node.to_owned(), tunnel.address.to_canonical())
}

/// Whether a rule of the namespace's policies allows that address as a peer.
pub fn is_allowed_peer(segment: Segment, address: IpAddr, policies: &[&PodConfigPolicy]) -> bool {
    let rules = policies.iter().flat_map(|policy| &policy.spec.allow);
    let mut rules = rules.filter_map(|rule| rule.vxlan.as_ref());
    rules.any(|rule| allows(rule, segment, IpNetwork::from(address)))
}

fn allows(rule: &VxlanRule, segment: Segment, address: IpNetwork) -> bool {
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

    const SEGMENT: Segment = Segment { vni: 7, port: 4789 };

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

    fn peers(ends: &TunnelEndpoints, rule: serde_json::Value) -> Vec<String> {
        let peers = ends.peers(SEGMENT, &[&policy(rule)]);
        let word = |(node, address): (String, IpAddr)| format!("{node}={address}");
        peers.into_iter().map(word).collect()
    }

    fn usual() -> serde_json::Value {
        json!({"vnis": [{"min": 7, "max": 7}], "peers": ["10.77.0.0/24"]})
    }

    #[test]
    fn a_node_is_a_peer_as_long_as_one_of_its_pods_is_on_the_segment() {
        let mut ends = TunnelEndpoints::default();
        ends.add("n0", tunnel("10.77.0.1"));
        ends.add("n0", tunnel("10.77.0.1"));
        ends.add("n1", tunnel("10.77.0.2"));
        assert_eq!(peers(&ends, usual()), ["n0=10.77.0.1", "n1=10.77.0.2"]);
        ends.remove("n0", tunnel("10.77.0.1"));
        assert_eq!(peers(&ends, usual()).len(), 2);
        assert!(ends.has(SEGMENT, "n0") && !ends.has(SEGMENT, "n"));
        ends.remove("n0", tunnel("10.77.0.1"));
        assert_eq!(peers(&ends, usual()), ["n1=10.77.0.2"]);
        assert!(!ends.has(SEGMENT, "n0") && ends.has(SEGMENT, "n1"));
        ends.remove("n1", tunnel("10.77.0.2"));
        assert!(ends.segments().next().is_none());
    }

    #[test]
    fn a_node_has_one_address() {
        let mut ends = TunnelEndpoints::default();
        for address in ["10.77.0.9", "10.77.0.5", "::ffff:10.77.0.5"] {
            ends.add("n0", tunnel(address));
        }
        assert_eq!(peers(&ends, usual()), ["n0=10.77.0.5"]);
    }

    #[test]
    fn only_what_one_rule_allows_is_a_peer() {
        let mut ends = TunnelEndpoints::default();
        ends.add("n0", tunnel("10.77.0.1"));
        ends.add("evil", tunnel("192.0.2.1"));
        assert_eq!(peers(&ends, usual()), ["n0=10.77.0.1"]);
        let range = |min, max| json!([{"min": min, "max": max}]);
        for rule in [
            json!({"vnis": range(8, 9), "peers": ["10.77.0.0/24"]}),
            json!({"vnis": range(7, 7), "ports": range(1, 9), "peers": ["10.77.0.0/24"]}),
            json!({"vnis": range(7, 7), "peers": []}),
        ] {
            assert!(peers(&ends, rule.clone()).is_empty(), "{rule}");
        }
    }
}
