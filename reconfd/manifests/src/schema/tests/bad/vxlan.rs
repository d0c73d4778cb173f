use super::*;

fn vxlan(vxlan: &str) -> String {
    link(&format!("{{name: x, vxlan: {vxlan}}}"))
}

/// A tunnel to these peers.
fn peers(peers: &str) -> String {
    vxlan(&format!("{{underlay: u, vni: 7, peers: {peers}}}"))
}

const CARRIERS: &[Case] = &[
    (
        vxlan,
        "{vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[
            "spec.links[0].vxlan: a vxlan has exactly one carrier: underlay (a device of the node) or underlayLink (a link of the pod)",
        ],
    ),
    (
        vxlan,
        "{underlay: u, underlayLink: eth0, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[
            "spec.links[0].vxlan: a vxlan has exactly one carrier: underlay (a device of the node) or underlayLink (a link of the pod)",
        ],
    ),
    (
        vxlan,
        "{}",
        &[
            "spec.links[0].vxlan.peers: is missing",
            "spec.links[0].vxlan.vni: is missing",
        ],
    ),
    (
        vxlan,
        "{underlayLink: x, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0]: a link cannot carry itself; underlayLink is another link of the pod"],
    ),
    (
        vxlan,
        "{underlay: sixteen-letters-, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[r#"spec.links[0].vxlan.underlay: "sixteen-letters-" is longer than 15 characters"#],
    ),
    (
        vxlan,
        "{underlay: a/b, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[
            r#"spec.links[0].vxlan.underlay: "a/b": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vxlan,
        "{underlay: 'eth%d', vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[
            r#"spec.links[0].vxlan.underlay: "eth%d": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vxlan,
        r#"{underlay: "u\n", vni: 7, peers: {addresses: [10.77.0.2]}}"#,
        &[
            r#"spec.links[0].vxlan.underlay: "u\n": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
    (
        vxlan,
        "{underlay: '', vni: 7, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.underlay: is empty"],
    ),
    (
        vxlan,
        "{underlayLink: sixteen-letters-, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[r#"spec.links[0].vxlan.underlayLink: "sixteen-letters-" is longer than 15 characters"#],
    ),
    (
        vxlan,
        "{underlayLink: a/b, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &[
            r#"spec.links[0].vxlan.underlayLink: "a/b": an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'"#,
        ],
    ),
];

#[test]
fn a_vxlan_has_one_carrier_with_a_decent_name() {
    all_refused(CARRIERS);
}

const NUMBERS: &[Case] = &[
    (
        vxlan,
        "{underlay: u, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vni: is missing"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 0, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vni: 0 is less than 1"],
    ),
    (
        vxlan,
        "{underlay: u, vni: -1, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vni: -1 is less than 1"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 16777216, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vni: 16777216 is more than 16777215"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 4294967303, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vni: 4294967303 is more than 16777215"],
    ),
    (
        vxlan,
        "{underlay: u, vni: '7', peers: {addresses: [10.77.0.2]}}",
        &[r#"spec.links[0].vxlan.vni: "7" is not an integer; leave out the quotes"#],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7.5, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vni: 7.5 is not an integer"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, port: 0, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.port: 0 is less than 1"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, port: -1, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.port: -1 is less than 1"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, port: 65536, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.port: 65536 is more than 65535"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, port: 70325, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.port: 70325 is more than 65535"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, port: '4789', peers: {addresses: [10.77.0.2]}}",
        &[r#"spec.links[0].vxlan.port: "4789" is not an integer; leave out the quotes"#],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, port: 4789/udp, peers: {addresses: [10.77.0.2]}}",
        &[r#"spec.links[0].vxlan.port: "4789/udp" is not an integer"#],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, mode: exclusive, peers: {addresses: [10.77.0.2]}}",
        &[r#"spec.links[0].vxlan.mode: "exclusive" is not one of Shared, Exclusive"#],
    ),
    (
        vxlan,
        "{underlayLink: eth0, vni: 7, mode: Shared, peers: {addresses: [10.77.0.2]}}",
        &[
            "spec.links[0].vxlan: mode is about a device of the node; a vxlan on an underlayLink is the pod's alone",
        ],
    ),
];

#[test]
fn a_number_that_no_tunnel_can_have_is_refused() {
    all_refused(NUMBERS);
}

const PEERS: &[Case] = &[
    (
        vxlan,
        "{underlay: u, vni: 7}",
        &["spec.links[0].vxlan.peers: is missing"],
    ),
    (
        peers,
        "{}",
        &["spec.links[0].vxlan.peers: peers have exactly one of auto, addresses or group"],
    ),
    (
        peers,
        "{addresses: [10.77.0.2], group: 239.1.1.1}",
        &["spec.links[0].vxlan.peers: peers have exactly one of auto, addresses or group"],
    ),
    (
        peers,
        "{auto: {}, addresses: [10.77.0.2]}",
        &["spec.links[0].vxlan.peers: peers have exactly one of auto, addresses or group"],
    ),
    (
        peers,
        "{auto: {}, group: 239.1.1.1}",
        &["spec.links[0].vxlan.peers: peers have exactly one of auto, addresses or group"],
    ),
    (
        peers,
        "{auto: true}",
        &["spec.links[0].vxlan.peers.auto: true is not an object"],
    ),
    (
        vxlan,
        "{underlayLink: eth0, vni: 7, peers: {auto: {}}}",
        &[
            "spec.links[0].vxlan: peers.auto are other nodes; a vxlan on an underlayLink has addresses or a group",
        ],
    ),
    (
        peers,
        "auto",
        &[r#"spec.links[0].vxlan.peers: "auto" is not an object"#],
    ),
    (
        peers,
        "[10.77.0.2]",
        &["spec.links[0].vxlan.peers: a list is not an object"],
    ),
    (
        peers,
        "{addresses: []}",
        &["spec.links[0].vxlan.peers.addresses: needs at least 1 item"],
    ),
    (
        peers,
        "{addresses: 10.77.0.2}",
        &[r#"spec.links[0].vxlan.peers.addresses: "10.77.0.2" is not a list"#],
    ),
    (
        peers,
        "{addresses: [10.77.0.2, 10.77.0.3, 10.77.0.2]}",
        &[r#"spec.links[0].vxlan.peers.addresses[2]: duplicate value "10.77.0.2""#],
    ),
    (
        peers,
        "{addresses: [10.77.0.2, 'fd77::2']}",
        &[
            "spec.links[0].vxlan.peers.addresses: the peers of one tunnel are of one family: all IPv4 or all IPv6",
        ],
    ),
    (
        peers,
        "{addresses: ['fd77::2', 10.77.0.2]}",
        &[
            "spec.links[0].vxlan.peers.addresses: the peers of one tunnel are of one family: all IPv4 or all IPv6",
        ],
    ),
    (
        peers,
        "{addresses: [10.77.0.2/24]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "10.77.0.2/24": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: [10.77.0.2/32]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "10.77.0.2/32": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: [node-7]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "node-7": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: ['10.77.0.2:4789']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "10.77.0.2:4789": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: [10.77.0.02]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "10.77.0.02": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: [0x0a.77.0.2]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "0x0a.77.0.2": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: [10.77.2]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "10.77.2": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: ['::ffff:10.77.0.2']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "::ffff:10.77.0.2": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: ['fd77::2%eth0']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "fd77::2%eth0": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: ['[fd77::2]']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "[fd77::2]": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: ['']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "": write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"#,
        ],
    ),
    (
        peers,
        "{addresses: [127.0.0.1]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "127.0.0.1": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: ['::1']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "::1": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: [169.254.169.254]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "169.254.169.254": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: ['fe80::1']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "fe80::1": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: [239.1.1.1]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "239.1.1.1": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: ['ff05::100']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "ff05::100": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: [255.255.255.255]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "255.255.255.255": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: [0.0.0.0]}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "0.0.0.0": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: ['::']}",
        &[
            r#"spec.links[0].vxlan.peers.addresses[0]: "::": a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        peers,
        "{addresses: [10.77]}",
        &["spec.links[0].vxlan.peers.addresses[0]: 10.77 is not a string; put it in quotes"],
    ),
    (
        peers,
        "{group: 10.77.0.2}",
        &[
            r#"spec.links[0].vxlan.peers.group: "10.77.0.2": a group is a multicast address: 224.0.0.0/4 or ff00::/8"#,
        ],
    ),
    (
        peers,
        "{group: 255.255.255.255}",
        &[
            r#"spec.links[0].vxlan.peers.group: "255.255.255.255": a group is a multicast address: 224.0.0.0/4 or ff00::/8"#,
        ],
    ),
    (
        peers,
        "{group: 'fd77::2'}",
        &[
            r#"spec.links[0].vxlan.peers.group: "fd77::2": a group is a multicast address: 224.0.0.0/4 or ff00::/8"#,
        ],
    ),
    (
        peers,
        "{group: 0.0.0.0}",
        &[
            r#"spec.links[0].vxlan.peers.group: "0.0.0.0": a group is a multicast address: 224.0.0.0/4 or ff00::/8"#,
        ],
    ),
    (
        peers,
        "{group: 239.1.1.1/32}",
        &[
            r#"spec.links[0].vxlan.peers.group: "239.1.1.1/32": write one multicast address, such as 239.1.1.1 or ff05::100"#,
        ],
    ),
    (
        peers,
        "{group: 239.0.0.0/8}",
        &[
            r#"spec.links[0].vxlan.peers.group: "239.0.0.0/8": write one multicast address, such as 239.1.1.1 or ff05::100"#,
        ],
    ),
    (
        peers,
        "{group: '::ffff:239.1.1.1'}",
        &[
            r#"spec.links[0].vxlan.peers.group: "::ffff:239.1.1.1": write one multicast address, such as 239.1.1.1 or ff05::100"#,
        ],
    ),
    (
        peers,
        "{group: 'ff02::1%eth0'}",
        &[
            r#"spec.links[0].vxlan.peers.group: "ff02::1%eth0": write one multicast address, such as 239.1.1.1 or ff05::100"#,
        ],
    ),
    (
        peers,
        "{group: [239.1.1.1]}",
        &["spec.links[0].vxlan.peers.group: a list is not a string"],
    ),
];

#[test]
fn peers_that_are_no_other_ends_are_refused() {
    all_refused(PEERS);
}

const UNKNOWN: &[Case] = &[
    (
        peers,
        "{auto: {interval: 10}}",
        &["spec.links[0].vxlan.peers.auto.interval: unknown field"],
    ),
    (
        peers,
        "{address: [10.77.0.2]}",
        &["spec.links[0].vxlan.peers.address: unknown field; did you mean addresses?"],
    ),
    (
        peers,
        "{groups: [239.1.1.1]}",
        &["spec.links[0].vxlan.peers.groups: unknown field; did you mean group?"],
    ),
    (
        vxlan,
        "{underlay: u, id: 7, peers: {addresses: [10.77.0.2]}}",
        &[
            "spec.links[0].vxlan.vni: is missing",
            "spec.links[0].vxlan.id: unknown field",
        ],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, ports: 4789, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.ports: unknown field; did you mean port?"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, vNI: 7, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.vNI: unknown field; did you mean vni?"],
    ),
    (
        vxlan,
        "{underlaylink: eth0, vni: 7, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.underlaylink: unknown field; did you mean underlayLink?"],
    ),
    (
        vxlan,
        "{underlay: u, vni: 7, remote: 10.77.0.2, peers: {addresses: [10.77.0.2]}}",
        &["spec.links[0].vxlan.remote: unknown field"],
    ),
    (
        link,
        "{name: x, vxlam: {underlay: u, vni: 7, peers: {addresses: [10.77.0.2]}}}",
        &["spec.links[0].vxlam: unknown field; did you mean vxlan?"],
    ),
];

#[test]
fn an_unknown_field_of_a_vxlan_is_named() {
    all_refused(UNKNOWN);
}

#[test]
fn one_peer_too_many_is_refused() {
    let addresses: Vec<String> = (1..=65).map(|n| format!("10.77.0.{n}")).collect();
    let manifest = peers(&format!("{{addresses: [{}]}}", addresses.join(", ")));
    assert_eq!(
        messages(&admit_yaml(&manifest).unwrap_err()),
        ["spec.links[0].vxlan.peers.addresses: 65 items are more than 64"]
    );
}
