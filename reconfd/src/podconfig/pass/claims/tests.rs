use std::{collections::BTreeMap, sync::Arc};

use crds::{PodConfig, PodConfigPolicy};
use serde_json::{Value, json};

use super::*;
use crate::podconfig::desired::desired;

/// A link of tenant-a that these rules allow.
fn granted(link: Value, allow: Value) -> DesiredLink {
    let pod = LocalPod {
        namespace: "tenant-a".into(),
        name: "web-0".into(),
        uid: "uid".into(),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        sandbox: "0123abc".into(),
        recorded_by: None,
        net_admin: store::pod::NetAdmin::No,
        host_network: false,
    };
    let config = json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig",
        "metadata": {"name": "a", "namespace": "tenant-a"}, "spec": {"podSelector": {}, "links": [link]}});
    let config: PodConfig = serde_json::from_value(config).unwrap();
    let spec = json!({"namespaceSelector": {}, "allow": allow});
    let policy = PodConfigPolicy::new("telco", serde_json::from_value(spec).unwrap());
    let mut wanted = desired(&pod, 0, &[Arc::new(config)], &[Arc::new(policy)], "i");
    wanted.granted.remove(0)
}

#[test]
fn what_a_rule_for_one_namespace_allows_is_not_allowed_where_two_share() {
    let vlan = json!({"name": "v", "vlan": {"parent": "p", "id": 100}});
    let ids = json!([{"min": 100, "max": 100}]);
    let apart = granted(
        vlan.clone(),
        json!([{"vlan": {"portParents": ["p"], "ids": ids}},
            {"vlan": {"parents": ["p"], "ids": ids, "sharing": "AcrossNamespaces"}}]),
    );
    assert_eq!(grants(&apart, "tenant-a"), (true, false));
    assert_eq!(grants(&apart, "tenant-b"), (false, false));
    let whole = granted(
        vlan,
        json!([{"vlan": {"portParents": ["p"], "ids": ids, "sharing": "AcrossNamespaces"}}]),
    );
    assert_eq!(grants(&whole, "tenant-b"), (true, false));
}

#[test]
fn no_filter_is_needed_where_one_rule_says_so_of_what_is_shared() {
    let vxlan = json!({"name": "x", "vxlan": {"underlay": "u", "vni": 7, "peers": {"addresses": ["10.0.0.1"]}}});
    let rule = |sharing: &str, unfiltered: &str| {
        json!({"vxlan": {"underlays": ["u"], "vnis": [{"min": 7, "max": 7}], "peers": ["10.0.0.0/8"],
            "sharing": sharing, "unfiltered": unfiltered}})
    };
    let apart = granted(
        vxlan.clone(),
        json!([
            rule("WithinNamespace", "Allowed"),
            rule("AcrossNamespaces", "Denied")
        ]),
    );
    assert_eq!(grants(&apart, "tenant-a"), (false, true));
    assert_eq!(grants(&apart, "tenant-b"), (false, false));
    let whole = granted(vxlan, json!([rule("AcrossNamespaces", "Allowed")]));
    assert_eq!(grants(&whole, "tenant-b"), (false, true));
}
