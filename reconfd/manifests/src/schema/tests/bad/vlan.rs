use super::*;

fn vlan(vlan: &str) -> String {
    link(&format!("{{name: v, vlan: {vlan}}}"))
}

const CARRIERS: &[Case] = &[
    (
        vlan,
        "{id: 100}",
        &[
            "spec.links[0].vlan: a vlan has exactly one carrier: parent (a device of the node) or parentLink (a link of the pod)",
        ],
    ),
    (
        vlan,
        "{parent: p, parentLink: q, id: 100}",
        &[
            "spec.links[0].vlan: a vlan has exactly one carrier: parent (a device of the node) or parentLink (a link of the pod)",
        ],
    ),
    (vlan, "{}", &["spec.links[0].vlan.id: is missing"]),
    (
        vlan,
        "{parent: , id: 100}",
        &["spec.links[0].vlan.parent: is null; give it a value or leave the field out"],
    ),
    (
        vlan,
        "{parentLink: v, id: 100}",
        &["spec.links[0]: a link cannot carry itself; parentLink is another link of the pod"],
    ),
    (
        vlan,
        "trunk0.100",
        &[r#"spec.links[0].vlan: "trunk0.100" is not an object"#],
    ),
    (
        vlan,
        "{parent: '', id: 100}",
        &["spec.links[0].vlan.parent: is empty"],
    ),
    (
        vlan,
        "{parent: sixteen-letters-, id: 100}",
        &[r#"spec.links[0].vlan.parent: "sixteen-letters-" is longer than 15 characters"#],
    ),
    (
        vlan,
        "{parent: ../br0, id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "../br0": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: a/b, id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "a/b": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: 'eth%d', id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "eth%d": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: 'eth0:1', id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "eth0:1": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: 'a b', id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "a b": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        r#"{parent: "p\n", id: 100}"#,
        &[
            r#"spec.links[0].vlan.parent: "p\n": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        r#"{parent: "p\0", id: 100}"#,
        &[
            r#"spec.links[0].vlan.parent: "p\0": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: -p, id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "-p": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: .., id: 100}",
        &[
            r#"spec.links[0].vlan.parent: "..": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        r#"{parent: "\u0440", id: 100}"#,
        &[
            r#"spec.links[0].vlan.parent: "р": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parent: 7, id: 100}",
        &["spec.links[0].vlan.parent: 7 is not a string; put it in quotes"],
    ),
    (
        vlan,
        "{parent: [p], id: 100}",
        &["spec.links[0].vlan.parent: a list is not a string"],
    ),
    (
        vlan,
        "{parentLink: ../eth0, id: 100}",
        &[
            r#"spec.links[0].vlan.parentLink: "../eth0": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vlan,
        "{parentLink: sixteen-letters-, id: 100}",
        &[r#"spec.links[0].vlan.parentLink: "sixteen-letters-" is longer than 15 characters"#],
    ),
    (
        vlan,
        r#"{parentLink: "eth0\n", id: 100}"#,
        &[
            r#"spec.links[0].vlan.parentLink: "eth0\n": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
];

#[test]
fn a_vlan_has_one_carrier_with_a_decent_name() {
    all_refused(CARRIERS);
}

const IDS: &[Case] = &[
    (vlan, "{parent: p}", &["spec.links[0].vlan.id: is missing"]),
    (
        vlan,
        "{parent: p, id: }",
        &["spec.links[0].vlan.id: is null; give it a value or leave the field out"],
    ),
    (
        vlan,
        "{parent: p, id: 0}",
        &["spec.links[0].vlan.id: 0 is less than 1"],
    ),
    (
        vlan,
        "{parent: p, id: -1}",
        &["spec.links[0].vlan.id: -1 is less than 1"],
    ),
    (
        vlan,
        "{parent: p, id: 4095}",
        &["spec.links[0].vlan.id: 4095 is more than 4094"],
    ),
    (
        vlan,
        "{parent: p, id: 65636}",
        &["spec.links[0].vlan.id: 65636 is more than 4094"],
    ),
    (
        vlan,
        "{parent: p, id: 18446744073709551715}",
        &["spec.links[0].vlan.id: 1.8446744073709552e+19 is not an integer"],
    ),
    (
        vlan,
        "{parent: p, id: '100'}",
        &[r#"spec.links[0].vlan.id: "100" is not an integer; leave out the quotes"#],
    ),
    (
        vlan,
        "{parent: p, id: 100-199}",
        &[r#"spec.links[0].vlan.id: "100-199" is not an integer"#],
    ),
    (
        vlan,
        "{parent: p, id: 1.5}",
        &["spec.links[0].vlan.id: 1.5 is not an integer"],
    ),
    (
        vlan,
        "{parent: p, id: true}",
        &["spec.links[0].vlan.id: true is not an integer"],
    ),
    (
        vlan,
        "{parent: p, id: [100]}",
        &["spec.links[0].vlan.id: a list is not an integer"],
    ),
];

#[test]
fn an_id_that_no_tag_can_hold_is_refused() {
    all_refused(IDS);
}

const MODES: &[Case] = &[
    (
        vlan,
        "{parent: p, id: 1, mode: shared}",
        &[r#"spec.links[0].vlan.mode: "shared" is not one of Shared, Exclusive"#],
    ),
    (
        vlan,
        "{parent: p, id: 1, mode: Private}",
        &[r#"spec.links[0].vlan.mode: "Private" is not one of Shared, Exclusive"#],
    ),
    (
        vlan,
        "{parent: p, id: 1, mode: ''}",
        &[r#"spec.links[0].vlan.mode: "" is not one of Shared, Exclusive"#],
    ),
    (
        vlan,
        "{parentLink: q, id: 1, mode: Shared}",
        &[
            "spec.links[0].vlan: mode is about a device of the node; a vlan on a parentLink is the pod's alone",
        ],
    ),
    (
        vlan,
        "{parentLink: q, id: 1, mode: Exclusive}",
        &[
            "spec.links[0].vlan: mode is about a device of the node; a vlan on a parentLink is the pod's alone",
        ],
    ),
];

#[test]
fn a_mode_is_one_of_two_words_and_about_the_nodes_devices() {
    all_refused(MODES);
}

const UNKNOWN: &[Case] = &[
    (
        vlan,
        "{parent: p, ID: 1}",
        &[
            "spec.links[0].vlan.id: is missing",
            "spec.links[0].vlan.ID: unknown field; did you mean id?",
        ],
    ),
    (
        vlan,
        "{parent: p, id: 1, parentlink: q}",
        &["spec.links[0].vlan.parentlink: unknown field; did you mean parentLink?"],
    ),
    (
        vlan,
        "{paren: p, id: 1}",
        &["spec.links[0].vlan.paren: unknown field; did you mean parent?"],
    ),
    (
        vlan,
        "{parent: p, id: 1, modes: [Shared]}",
        &["spec.links[0].vlan.modes: unknown field; did you mean mode?"],
    ),
    (
        vlan,
        "{parent: p, id: 1, protocol: 802.1ad}",
        &["spec.links[0].vlan.protocol: unknown field"],
    ),
    (
        vlan,
        "{parent: p, id: 1, mtu: 1500}",
        &["spec.links[0].vlan.mtu: unknown field"],
    ),
    (
        link,
        "{name: v, vlam: {parent: p, id: 1}}",
        &["spec.links[0].vlam: unknown field; did you mean vlan?"],
    ),
];

#[test]
fn an_unknown_field_of_a_vlan_is_named() {
    all_refused(UNKNOWN);
}
