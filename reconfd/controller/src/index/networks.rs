//! Pure: the published reserved networks, and the PodConfigs whose links overlap them, before a pod is selected.

use std::collections::{BTreeMap, BTreeSet};

use crds::{PodConfig, PodConfigPolicy, ReservedNetworksSpec, reserved::ReservedNetwork};
use ipnetwork::IpNetwork;

use address::{
    overlap::{LinkNetworks, check_overlap},
    reserved::Reserved,
};

/// Networks that this controller has published.
#[derive(Debug, Default)]
pub struct ReservedIndex {
    objects: BTreeMap<String, Vec<ReservedNetwork>>,
    reserved: Reserved,
}

impl ReservedIndex {
    /// Updates one of the objects. Returns whether the networks changed.
    pub fn update(&mut self, name: &str, spec: Option<ReservedNetworksSpec>) -> bool {
        let networks = spec.map(|spec| spec.networks).unwrap_or_default();
        let undated = |networks: &[ReservedNetwork]| -> BTreeSet<ReservedNetwork> {
            networks.iter().map(ReservedNetwork::undated).collect()
        };
        let before = self.objects.remove(name).unwrap_or_default();
        let is_same = undated(&before) == undated(&networks);
        if !networks.is_empty() {
            self.objects.insert(name.to_owned(), networks);
        }
        if !is_same {
            self.reserved = Reserved::new(self.objects.values().flatten().cloned());
        }
        !is_same
    }

    /// Number of objects that contain networks.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Messages about networks that the links of a PodConfig would overlap. Links that no rule allows are refused
    /// for that reason and not reported here.
    pub fn conflicts(&self, config: &PodConfig, policies: &[&PodConfigPolicy]) -> Vec<String> {
        let of_policies = policy::reserved(policies);
        let reserved = [&self.reserved, &of_policies];
        let namespace = config.metadata.namespace.as_deref().unwrap_or_default();
        let links = config.spec.links.iter();
        let messages = links.filter_map(|link| {
            let permit = policy::evaluate(link, namespace, policies).ok()?;
            let collision =
                check_overlap(&reach(link, namespace), &reserved, &permit.overlaps).collision?;
            Some(format!("link {}: {collision}", policy::clipped(&link.name)))
        });
        messages.collect()
    }
}

fn reach(link: &crds::podconfig::Link, namespace: &str) -> LinkNetworks {
    let listed = link.addresses.iter().map(|address| address.network());
    let ranges = link.ranges().iter().map(|range| range.cidr.network());
    let networks: Vec<IpNetwork> = listed.chain(ranges).collect();
    LinkNetworks {
        namespace: namespace.to_owned(),
        networks,
        addresses: link.addresses.iter().map(|address| address.ip()).collect(),
        routes: link.routes.iter().map(|route| route.to.network()).collect(),
        ..LinkNetworks::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> Option<ReservedNetworksSpec> {
        Some(serde_json::from_value(value).unwrap())
    }

    fn pods(prefix: &str, since: &str) -> Value {
        json!({"networks": [{
            "prefix": prefix, "use": "Pods", "source": "Calico", "kind": "IPPool.crd.projectcalico.org",
            "object": "default", "field": "spec.cidr", "since": since,
        }]})
    }

    fn config(cidr: &str) -> PodConfig {
        let links = json!([{"name": "data0", "veth": {"bridge": "blue"}, "ipam": {"ranges": [{"cidr": cidr}]}}]);
        let mut config = PodConfig::new(
            "pool",
            serde_json::from_value(json!({"podSelector": {}, "links": links})).unwrap(),
        );
        config.metadata.namespace = Some("tenant-a".into());
        config
    }

    fn policy() -> PodConfigPolicy {
        let rule = json!({"veth": {"bridges": "Own"}, "addresses": ["10.0.0.0/8"]});
        let spec = json!({"namespaceSelector": {}, "allow": [rule], "reserved": ["10.3.0.0/16"]});
        PodConfigPolicy::new("p", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn overlaps_of_a_podconfig_are_reported_before_there_is_a_pod() {
        let (mut published, policy) = (ReservedIndex::default(), policy());
        assert!(published.update(
            "default-0",
            spec(pods("10.244.0.0/16", "2026-01-01T00:00:00Z"))
        ));
        let conflicts = |cidr| published.conflicts(&config(cidr), &[&policy]);
        assert_eq!(
            conflicts("10.244.7.0/24"),
            [
                "link \"data0\": 10.244.7.0/24 overlaps 10.244.0.0/16, the pod network of IPPool.crd.projectcalico.org/default (spec.cidr)"
            ]
        );
        assert_eq!(conflicts("10.3.7.0/24").len(), 1);
        assert_eq!(conflicts("10.9.0.0/24"), [""; 0]);
        assert_eq!(
            conflicts("192.168.0.0/24"),
            [""; 0],
            "no rule allows it at all"
        );
    }

    #[test]
    fn an_equal_update_is_no_change_and_a_deletion_is() {
        let mut published = ReservedIndex::default();
        let first = "2026-01-01T00:00:00Z";
        assert!(published.update("default-0", spec(pods("10.244.0.0/16", first))));
        assert!(!published.update(
            "default-0",
            spec(pods("10.244.0.0/16", "2026-02-02T00:00:00Z"))
        ));
        assert!(published.update("default-0", None));
        assert!(!published.update("default-0", None));
    }
}
