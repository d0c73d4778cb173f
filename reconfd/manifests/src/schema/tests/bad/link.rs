use super::*;

const NAMES: &[Case] = &[
    (
        link,
        "{veth: {bridge: b}}",
        &["spec.links[0].name: is missing"],
    ),
    (
        link,
        "{name: '', veth: {bridge: b}}",
        &["spec.links[0].name: is empty"],
    ),
    (
        link,
        "{name: lo, veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "lo": lo, eth0, all and default are never podconfig's; give the link another name"#,
        ],
    ),
    (
        link,
        "{name: eth0, veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "eth0": lo, eth0, all and default are never podconfig's; give the link another name"#,
        ],
    ),
    (
        link,
        "{name: all, veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "all": lo, eth0, all and default are never podconfig's; give the link another name"#,
        ],
    ),
    (
        link,
        "{name: default, veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "default": lo, eth0, all and default are never podconfig's; give the link another name"#,
        ],
    ),
    (
        link,
        "{name: ., veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: ".": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: .., veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "..": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: ../eth0, veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "../eth0": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: 'a b', veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "a b": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        r#"{name: "a\n", veth: {bridge: b}}"#,
        &[
            r#"spec.links[0].name: "a\n": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        r#"{name: "a\0", veth: {bridge: b}}"#,
        &[
            r#"spec.links[0].name: "a\0": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: 'eth%d', veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "eth%d": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: 'eth0:1', veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "eth0:1": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: -a, veth: {bridge: b}}",
        &[
            r#"spec.links[0].name: "-a": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: sixteen-letters-, veth: {bridge: b}}",
        &[r#"spec.links[0].name: "sixteen-letters-" is longer than 15 characters"#],
    ),
    (
        link,
        r#"{name: "\u0435th0", veth: {bridge: b}}"#,
        &[
            "spec.links[0].name: \"\u{435}th0\": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'",
        ],
    ),
    (
        link,
        r#"{name: "a\u200b", veth: {bridge: b}}"#,
        &[
            r#"spec.links[0].name: "a\u{200b}": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        r#"{name: "\u001b[2Jpwned", veth: {bridge: b}}"#,
        &[
            r#"spec.links[0].name: "\u{1b}[2Jpwned": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        links,
        "[{name: a, veth: {bridge: b}}, {name: c, veth: {bridge: b}}, {name: a, veth: {routed: {}}}]",
        &[r#"spec.links[2].name: duplicate value "a""#],
    ),
];

#[test]
fn a_name_that_is_no_name_or_not_to_be_had_is_refused() {
    all_refused(NAMES);
}

const PLACES: &[Case] = &[
    (
        link,
        "{name: a}",
        &["spec.links[0]: a link has exactly one kind: veth, vlan, vxlan or cni"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, vlan: {parent: p, id: 1}}",
        &["spec.links[0]: a link has exactly one kind: veth, vlan, vxlan or cni"],
    ),
    (
        link,
        "{name: a, veth: {}}",
        &[
            "spec.links[0].veth: a veth has exactly one place for its other end: bridge, hostBridge or routed",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b, hostBridge: c}}",
        &[
            "spec.links[0].veth: a veth has exactly one place for its other end: bridge, hostBridge or routed",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b, routed: {}}}",
        &[
            "spec.links[0].veth: a veth has exactly one place for its other end: bridge, hostBridge or routed",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: Blue}}",
        &[
            r#"spec.links[0].veth.bridge: "Blue": a bridge name has only lower-case letters, digits and '-', and starts and ends with no '-'"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b-}}",
        &[
            r#"spec.links[0].veth.bridge: "b-": a bridge name has only lower-case letters, digits and '-', and starts and ends with no '-'"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: ''}}",
        &["spec.links[0].veth.bridge: is empty"],
    ),
    (
        link,
        "{name: a, veth: {hostBridge: ../br0}}",
        &[
            r#"spec.links[0].veth.hostBridge: "../br0": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {hostBridge: a-very-long-altname}}",
        &[r#"spec.links[0].veth.hostBridge: "a-very-long-altname" is longer than 15 characters"#],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, slaac: accept}",
        &[r#"spec.links[0].slaac: "accept" is not one of Ignore, Accept"#],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mac: '01:00:5e:00:00:01'}",
        &[
            r#"spec.links[0].mac: "01:00:5e:00:00:01": this is no address of one device: the first byte is even, and not all bytes are zero"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mac: '00:00:00:00:00:00'}",
        &[
            r#"spec.links[0].mac: "00:00:00:00:00:00": this is no address of one device: the first byte is even, and not all bytes are zero"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mac: 0a-58-0a-63-00-0a}",
        &[
            r#"spec.links[0].mac: "0a-58-0a-63-00-0a": write six bytes in hexadecimal with colons between, such as 0a:58:0a:63:00:0a"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, mac: '0a:58:0a:63:00:0a:00'}",
        &[r#"spec.links[0].mac: "0a:58:0a:63:00:0a:00" is longer than 17 characters"#],
    ),
];

#[test]
fn a_link_has_one_kind_one_place_and_a_decent_mac() {
    all_refused(PLACES);
}
