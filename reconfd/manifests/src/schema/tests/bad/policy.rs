use super::*;

const SELECTORS: &[Case] = &[
    (
        pod_config,
        "{podSelector: {matchLabels: {app: 7}}, links: [{name: a, veth: {bridge: b}}]}",
        &[r#"spec.podSelector.matchLabels["app"]: 7 is not a string; put it in quotes"#],
    ),
    (
        pod_config,
        "{podSelector: {matchLabels: {app: 'a b'}}, links: [{name: a, veth: {bridge: b}}]}",
        &[
            r#"spec.podSelector.matchLabels["app"]: "a b": a label value has only letters, digits, '-', '_' and '.', and starts and ends with a letter or digit"#,
        ],
    ),
    (
        pod_config,
        "{podSelector: {matchLabels: [app]}, links: [{name: a, veth: {bridge: b}}]}",
        &["spec.podSelector.matchLabels: a list is not a map"],
    ),
    (
        pod_config,
        "{podSelector: {matchExpressions: [{key: app, operator: in, values: [x]}]}, links: [{name: a, veth: {bridge: b}}]}",
        &[
            r#"spec.podSelector.matchExpressions[0].operator: "in" is not one of In, NotIn, Exists, DoesNotExist"#,
        ],
    ),
    (
        pod_config,
        "{podSelector: {matchExpressions: [{key: app, operator: In}]}, links: [{name: a, veth: {bridge: b}}]}",
        &[
            "spec.podSelector.matchExpressions[0]: In and NotIn need values; Exists and DoesNotExist take none",
        ],
    ),
    (
        pod_config,
        "{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [x]}]}, links: [{name: a, veth: {bridge: b}}]}",
        &[
            "spec.podSelector.matchExpressions[0]: In and NotIn need values; Exists and DoesNotExist take none",
        ],
    ),
    (
        pod_config,
        "{podSelector: {matchExpressions: [{operator: Exists}]}, links: [{name: a, veth: {bridge: b}}]}",
        &["spec.podSelector.matchExpressions[0].key: is missing"],
    ),
    (
        pod_config,
        "{podSelector: {app: cnf}, links: [{name: a, veth: {bridge: b}}]}",
        &["spec.podSelector.app: unknown field"],
    ),
];

#[test]
fn a_selector_that_selects_by_mistake_is_refused() {
    all_refused(SELECTORS);
}

const POLICIES: &[Case] = &[
    (policy, "{}", &["spec.namespaceSelector: is missing"]),
    (
        policy,
        "{namespaceSelector: {}, allow: [{}]}",
        &[
            "spec.allow[0]: a rule without a kind of link allows nothing; add veth, vlan, vxlan or cni",
        ],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{addresses: [10.0.0.0/8]}]}",
        &[
            "spec.allow[0]: a rule without a kind of link allows nothing; add veth, vlan, vxlan or cni",
        ],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {}}]}",
        &[
            "spec.allow[0].veth: a veth rule without a place allows nothing; add bridges, hostBridges or routed",
        ],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {hostBridges: []}}]}",
        &[
            "spec.allow[0].veth: a veth rule without a place allows nothing; add bridges, hostBridges or routed",
        ],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {bridges: Any}}]}",
        &[r#"spec.allow[0].veth.bridges: "Any" is not one of Own"#],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {hostBridges: ['*']}}]}",
        &[
            r#"spec.allow[0].veth.hostBridges[0]: "*": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {bridges: Own}, addresses: [10.0.0.1/8]}]}",
        &[
            r#"spec.allow[0].addresses[0]: "10.0.0.1/8": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {bridges: Own}, tables: [100-199]}]}",
        &[r#"spec.allow[0].tables[0]: "100-199" is not an object"#],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {bridges: Own}, tables: [{min: 200, max: 100}]}]}",
        &["spec.allow[0].tables[0]: min is more than max; write the lower number as min"],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: [{veth: {bridges: Own}, macs: any}]}",
        &[r#"spec.allow[0].macs: "any" is not one of Assigned, Any"#],
    ),
    (
        policy,
        "{namespaceSelector: {}, limits: {linksPerPod: -1}}",
        &["spec.limits.linksPerPod: -1 is less than 0"],
    ),
    (
        policy,
        "{namespaceSelector: {}, limits: {podsPerNamespace: unlimited}}",
        &[r#"spec.limits.podsPerNamespace: "unlimited" is not an integer"#],
    ),
    (
        policy,
        "{namespaceSelector: {}, allow: {veth: {bridges: Own}}}",
        &["spec.allow: an object is not a list"],
    ),
    (
        whole,
        "{apiVersion: podconfig.dev/v1alpha1, kind: PodConfigPolicy, metadata: {name: a, namespace: b}, spec: {namespaceSelector: {}}}",
        &["metadata.namespace: this kind is not namespaced; leave the field out"],
    ),
];

#[test]
fn a_policy_that_allows_nothing_or_too_much_is_refused() {
    all_refused(POLICIES);
}
