use super::*;

/// A policy with this one rule.
fn rule(rule: &str) -> String {
    policy(&format!("{{namespaceSelector: {{}}, allow: [{rule}]}}"))
}

const VLANS: &[Case] = &[
    (
        rule,
        "{vlan: {}}",
        &[
            "spec.allow[0].vlan: a vlan rule without ids allows nothing; add ids, such as [{min: 100, max: 199}]",
        ],
    ),
    (
        rule,
        "{vlan: {parents: [p]}}",
        &[
            "spec.allow[0].vlan: a vlan rule without ids allows nothing; add ids, such as [{min: 100, max: 199}]",
        ],
    ),
    (
        rule,
        "{vlan: {ids: []}}",
        &[
            "spec.allow[0].vlan: a vlan rule without ids allows nothing; add ids, such as [{min: 100, max: 199}]",
        ],
    ),
    (
        rule,
        "{vlan: {ids: }}",
        &["spec.allow[0].vlan.ids: is null; give it a value or leave the field out"],
    ),
    (
        rule,
        "{vlan: {ids: [100]}}",
        &["spec.allow[0].vlan.ids[0]: 100 is not an object"],
    ),
    (
        rule,
        "{vlan: {ids: [100-199]}}",
        &[r#"spec.allow[0].vlan.ids[0]: "100-199" is not an object"#],
    ),
    (
        rule,
        "{vlan: {ids: {min: 1, max: 2}}}",
        &["spec.allow[0].vlan.ids: an object is not a list"],
    ),
    (
        rule,
        "{vlan: {ids: [{min: 1}]}}",
        &["spec.allow[0].vlan.ids[0].max: is missing"],
    ),
    (
        rule,
        "{vlan: {ids: [{max: 1}]}}",
        &["spec.allow[0].vlan.ids[0].min: is missing"],
    ),
    (
        rule,
        "{vlan: {ids: [{min: 199, max: 100}]}}",
        &["spec.allow[0].vlan.ids[0]: min is more than max; write the lower number as min"],
    ),
    (
        rule,
        "{vlan: {ids: [{min: 0, max: 100}]}}",
        &["spec.allow[0].vlan.ids[0].min: 0 is less than 1"],
    ),
    (
        rule,
        "{vlan: {ids: [{min: 1, max: 4095}]}}",
        &["spec.allow[0].vlan.ids[0].max: 4095 is more than 4094"],
    ),
    (
        rule,
        "{vlan: {ids: [{min: -1, max: 1}]}}",
        &["spec.allow[0].vlan.ids[0].min: -1 is less than 1"],
    ),
    (
        rule,
        "{vlan: {ids: [{min: '1', max: 1}]}}",
        &[r#"spec.allow[0].vlan.ids[0].min: "1" is not an integer; leave out the quotes"#],
    ),
    (
        rule,
        "{vlan: {parents: ['*'], ids: [{min: 1, max: 1}]}}",
        &[
            r#"spec.allow[0].vlan.parents[0]: "*": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        rule,
        "{vlan: {parents: ['eth+'], ids: [{min: 1, max: 1}]}}",
        &[
            r#"spec.allow[0].vlan.parents[0]: "eth+": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        rule,
        "{vlan: {parents: p, ids: [{min: 1, max: 1}]}}",
        &[r#"spec.allow[0].vlan.parents: "p" is not a list"#],
    ),
    (
        rule,
        "{vlan: {portParents: [sixteen-letters-], ids: [{min: 1, max: 1}]}}",
        &[r#"spec.allow[0].vlan.portParents[0]: "sixteen-letters-" is longer than 15 characters"#],
    ),
    (
        rule,
        "{vlan: {modes: [Any], ids: [{min: 1, max: 1}]}}",
        &[r#"spec.allow[0].vlan.modes[0]: "Any" is not one of Shared, Exclusive"#],
    ),
    (
        rule,
        "{vlan: {modes: Exclusive, ids: [{min: 1, max: 1}]}}",
        &[r#"spec.allow[0].vlan.modes: "Exclusive" is not a list"#],
    ),
    (
        rule,
        "{vlan: {modes: [Shared, Shared], ids: [{min: 1, max: 1}]}}",
        &[r#"spec.allow[0].vlan.modes[1]: duplicate value "Shared""#],
    ),
    (
        rule,
        "{vlan: {sharing: Any, ids: [{min: 1, max: 1}]}}",
        &[r#"spec.allow[0].vlan.sharing: "Any" is not one of WithinNamespace, AcrossNamespaces"#],
    ),
    (
        rule,
        "{vlan: {parent: p, ids: [{min: 1, max: 1}]}}",
        &["spec.allow[0].vlan.parent: unknown field; did you mean parents?"],
    ),
    (
        rule,
        "{vlan: {id: [{min: 1, max: 1}]}}",
        &["spec.allow[0].vlan.id: unknown field; did you mean ids?"],
    ),
    (
        rule,
        "{vlan: {unfiltered: Allowed, ids: [{min: 1, max: 1}]}}",
        &["spec.allow[0].vlan.unfiltered: unknown field"],
    ),
];

#[test]
fn a_vlan_rule_that_allows_nothing_or_too_much_is_refused() {
    all_refused(VLANS);
}

const VXLANS: &[Case] = &[
    (
        rule,
        "{vxlan: {}}",
        &[
            "spec.allow[0].vxlan: a vxlan rule without vnis allows nothing; add vnis, such as [{min: 10000, max: 10999}]",
            "spec.allow[0].vxlan: a vxlan rule without peers allows nothing; add the networks that the other ends are in, such as [10.77.0.0/24]",
        ],
    ),
    (
        rule,
        "{vxlan: {underlays: [u], vnis: [{min: 1, max: 9}]}}",
        &[
            "spec.allow[0].vxlan: a vxlan rule without peers allows nothing; add the networks that the other ends are in, such as [10.77.0.0/24]",
        ],
    ),
    (
        rule,
        "{vxlan: {peers: [10.77.0.0/24]}}",
        &[
            "spec.allow[0].vxlan: a vxlan rule without vnis allows nothing; add vnis, such as [{min: 10000, max: 10999}]",
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: []}}",
        &[
            "spec.allow[0].vxlan: a vxlan rule without peers allows nothing; add the networks that the other ends are in, such as [10.77.0.0/24]",
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], groups: [239.0.0.0/8]}}",
        &[
            "spec.allow[0].vxlan: a vxlan rule without peers allows nothing; add the networks that the other ends are in, such as [10.77.0.0/24]",
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.1/24]}}",
        &[
            r#"spec.allow[0].vxlan.peers[0]: "10.77.0.1/24": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.2]}}",
        &[
            r#"spec.allow[0].vxlan.peers[0]: "10.77.0.2": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: ['::ffff:10.0.0.0/104']}}",
        &[
            r#"spec.allow[0].vxlan.peers[0]: "::ffff:10.0.0.0/104": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: ['fd77::1/64']}}",
        &[
            r#"spec.allow[0].vxlan.peers[0]: "fd77::1/64": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [any]}}",
        &[
            r#"spec.allow[0].vxlan.peers[0]: "any": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], groups: [239.1.1.1]}}",
        &[
            r#"spec.allow[0].vxlan.groups[0]: "239.1.1.1": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], groups: [239.1.1.1/8]}}",
        &[
            r#"spec.allow[0].vxlan.groups[0]: "239.1.1.1/8": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], ports: [4789]}}",
        &["spec.allow[0].vxlan.ports[0]: 4789 is not an object"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], ports: [{min: 0, max: 4789}]}}",
        &["spec.allow[0].vxlan.ports[0].min: 0 is less than 1"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], ports: [{min: 4789, max: 65536}]}}",
        &["spec.allow[0].vxlan.ports[0].max: 65536 is more than 65535"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], ports: [{min: 8472, max: 4789}]}}",
        &["spec.allow[0].vxlan.ports[0]: min is more than max; write the lower number as min"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], underlays: ['']}}",
        &["spec.allow[0].vxlan.underlays[0]: is empty"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], underlays: ['eth%d']}}",
        &[
            r#"spec.allow[0].vxlan.underlays[0]: "eth%d": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], modes: [exclusive]}}",
        &[r#"spec.allow[0].vxlan.modes[0]: "exclusive" is not one of Shared, Exclusive"#],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], sharing: Across}}",
        &[
            r#"spec.allow[0].vxlan.sharing: "Across" is not one of WithinNamespace, AcrossNamespaces"#,
        ],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], unfiltered: true}}",
        &["spec.allow[0].vxlan.unfiltered: true is not a string; put it in quotes"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], unfiltered: Any}}",
        &[r#"spec.allow[0].vxlan.unfiltered: "Any" is not one of Denied, Allowed"#],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], portParents: [u]}}",
        &["spec.allow[0].vxlan.portParents: unknown field"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], group: [239.0.0.0/8]}}",
        &["spec.allow[0].vxlan.group: unknown field; did you mean groups?"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 9}], peers: [10.77.0.0/24], port: [{min: 1, max: 2}]}}",
        &["spec.allow[0].vxlan.port: unknown field; did you mean ports?"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 9, max: 1}], peers: [10.77.0.0/24]}}",
        &["spec.allow[0].vxlan.vnis[0]: min is more than max; write the lower number as min"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 0, max: 1}], peers: [10.77.0.0/24]}}",
        &["spec.allow[0].vxlan.vnis[0].min: 0 is less than 1"],
    ),
    (
        rule,
        "{vxlan: {vnis: [{min: 1, max: 16777216}], peers: [10.77.0.0/24]}}",
        &["spec.allow[0].vxlan.vnis[0].max: 16777216 is more than 16777215"],
    ),
    (
        rule,
        "{vxlan: {vni: 7, peers: [10.77.0.0/24]}}",
        &["spec.allow[0].vxlan.vni: unknown field; did you mean vnis?"],
    ),
];

#[test]
fn a_vxlan_rule_that_allows_nothing_or_too_much_is_refused() {
    all_refused(VXLANS);
}

#[test]
fn a_list_of_a_rule_that_is_too_long_is_refused() {
    let range = "{min: 1, max: 2}";
    let id = "ids: [{min: 1, max: 9}]";
    let vni = "vnis: [{min: 1, max: 9}]";
    let peer = "peers: [10.0.0.0/8]";
    for (kind, field, item, most, rest) in [
        ("vlan", "ids", range, 16, ""),
        ("vlan", "parents", "p", 64, id),
        ("vlan", "portParents", "p", 64, id),
        ("vxlan", "vnis", range, 16, peer),
        ("vxlan", "ports", range, 16, &format!("{vni}, {peer}")),
        ("vxlan", "peers", "10.0.0.0/8", 16, vni),
        (
            "vxlan",
            "groups",
            "239.0.0.0/8",
            16,
            &format!("{vni}, {peer}"),
        ),
        ("vxlan", "underlays", "u", 64, &format!("{vni}, {peer}")),
    ] {
        let items = vec![item; most + 1].join(", ");
        let manifest = rule(&format!("{{{kind}: {{{field}: [{items}], {rest}}}}}"));
        assert_eq!(
            messages(&admit_yaml(&manifest).unwrap_err()),
            [format!(
                "spec.allow[0].{kind}.{field}: {} items are more than {most}",
                most + 1
            )]
        );
    }
}
