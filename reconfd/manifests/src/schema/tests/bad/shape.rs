use super::*;

const TYPES: &[Case] = &[
    (
        whole,
        "{apiVersion: podconfig.dev/v1alpha1, kind: PodConfig}",
        &["metadata: is missing", "spec: is missing"],
    ),
    (
        whole,
        "{apiVersion: podconfig.dev/v1beta1, kind: PodConfig, metadata: {name: a}, spec: {podSelector: {}, links: [{name: a, veth: {bridge: b}}]}}",
        &[r#"apiVersion: "podconfig.dev/v1beta1" is not podconfig.dev/v1alpha1"#],
    ),
    (
        whole,
        "{kind: PodConfig, metadata: {name: a}}",
        &[
            "apiVersion: is missing; write podconfig.dev/v1alpha1",
            "spec: is missing",
        ],
    ),
    (
        whole,
        "{apiVersion: 1, kind: Pod, metadata: []}",
        &[
            "apiVersion: 1 is not v1",
            "metadata: a list is not an object",
        ],
    ),
    (
        pod_config,
        "null",
        &["spec: is null; give it a value or leave the field out"],
    ),
    (pod_config, "[]", &["spec: a list is not an object"]),
    (
        pod_config,
        "{}",
        &["spec.links: is missing", "spec.podSelector: is missing"],
    ),
    (
        pod_config,
        "{podSelector: , links: [{name: a, veth: {bridge: b}}]}",
        &["spec.podSelector: is null; give it a value or leave the field out"],
    ),
    (
        pod_config,
        "{podSelector: {}, links: {name: a}}",
        &["spec.links: an object is not a list"],
    ),
    (
        links,
        "[null]",
        &["spec.links[0]: is null; give it a value or leave the field out"],
    ),
    (
        links,
        "['veth']",
        &[r#"spec.links[0]: "veth" is not an object"#],
    ),
    (links, "[[]]", &["spec.links[0]: a list is not an object"]),
    (
        link,
        "{name: 7, veth: {bridge: b}}",
        &["spec.links[0].name: 7 is not a string; put it in quotes"],
    ),
    (
        link,
        "{name: a, veth: {bridge: true}}",
        &["spec.links[0].veth.bridge: true is not a string; put it in quotes"],
    ),
    (
        link,
        "{name: a, veth: blue}",
        &[r#"spec.links[0].veth: "blue" is not an object"#],
    ),
    (
        link,
        "{name: a, veth: {routed: }}",
        &["spec.links[0].veth.routed: is null; give it a value or leave the field out"],
    ),
    (
        link,
        "{name: a, veth: {routed: true}}",
        &["spec.links[0].veth.routed: true is not an object"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: 10.0.0.1/24}",
        &[r#"spec.links[0].addresses: "10.0.0.1/24" is not a list"#],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [10.0]}",
        &["spec.links[0].addresses[0]: 10.0 is not a string; put it in quotes"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [{ip: 10.0.0.1}]}",
        &["spec.links[0].addresses[0]: an object is not a string"],
    ),
];

#[test]
fn a_wrong_type_is_told_with_its_field() {
    all_refused(TYPES);
}

const UNKNOWN: &[Case] = &[
    (
        pod_config,
        "{podselector: {}, links: [{name: a, veth: {bridge: b}}]}",
        &[
            "spec.podSelector: is missing",
            "spec.podselector: unknown field; did you mean podSelector?",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, adresses: [10.0.0.1/24]}",
        &["spec.links[0].adresses: unknown field; did you mean addresses?"],
    ),
    (
        link,
        "{name: a, veth: {hostbridge: b}}",
        &["spec.links[0].veth.hostbridge: unknown field; did you mean hostBridge?"],
    ),
    (
        link,
        "{name: a, macvlan: {parent: trunk0}}",
        &["spec.links[0].macvlan: unknown field"],
    ),
    (
        link,
        "{name: a, veth: {routed: {gateway: 10.0.0.1}}}",
        &["spec.links[0].veth.routed.gateway: unknown field"],
    ),
    (
        link,
        r#"{name: a, veth: {bridge: b}, "m\u0442u": 1500}"#,
        &["spec.links[0][\"m\u{442}u\"]: unknown field; did you mean mtu?"],
    ),
    (
        whole,
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, lables: {}}}",
        &["metadata.lables: unknown field; did you mean labels?"],
    ),
    (
        whole,
        "{apiVersion: podconfig.dev/v1alpha1, kind: PodConfigPolicy, metadata: {name: a}, specs: {}}",
        &[
            "spec: is missing",
            "specs: unknown field; did you mean spec?",
        ],
    ),
];

#[test]
fn an_unknown_field_is_named_and_the_near_one_suggested() {
    all_refused(UNKNOWN);
}

const NUMBERS: &[Case] = &[
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 70000}",
        &["spec.links[0].mtu: 70000 is more than 65535"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: -1}",
        &["spec.links[0].mtu: -1 is less than 68"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 67}",
        &["spec.links[0].mtu: 67 is less than 68"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 1500.5}",
        &["spec.links[0].mtu: 1500.5 is not an integer"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 1500.0}",
        &["spec.links[0].mtu: 1500.0 is not an integer"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: NaN}",
        &[r#"spec.links[0].mtu: "NaN" is not an integer"#],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: '1500'}",
        &[r#"spec.links[0].mtu: "1500" is not an integer; leave out the quotes"#],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 18446744073709551615}",
        &["spec.links[0].mtu: 18446744073709551615 is more than 65535"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 99999999999999999999999999}",
        &["spec.links[0].mtu: 1e+26 is not an integer"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 1279, addresses: [10.0.0.1/24, 'fd99::1/64']}",
        &["spec.links[0]: IPv6 needs an mtu of at least 1280"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mtu: 1279, slaac: Accept}",
        &["spec.links[0]: slaac: Accept needs an mtu of at least 1280"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, metric: -1}]}",
        &["spec.links[0].routes[0].metric: -1 is less than 0"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, metric: 4294967296}]}",
        &["spec.links[0].routes[0].metric: 4294967296 is more than 4294967295"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, table: 0}]}",
        &["spec.links[0].routes[0].table: 0 is less than 1"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, table: 254}]}",
        &[
            "spec.links[0].routes[0].table: 254: 253, 254 and 255 are the kernel's default, main and local; leave table out for main",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, table: main}]}",
        &[r#"spec.links[0].routes[0].table: "main" is not an integer"#],
    ),
];

#[test]
fn a_number_out_of_range_is_told_with_its_bound() {
    all_refused(NUMBERS);
}
