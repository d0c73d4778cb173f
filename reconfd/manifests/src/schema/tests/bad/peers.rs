//! Slices of peers: what one may not say.

use super::*;

fn slice(spec: &str) -> String {
    format!(
        "{{apiVersion: podconfig.dev/v1alpha1, kind: PeerSlice, metadata: {{name: a, namespace: b}}, spec: {spec}}}"
    )
}

fn naming(address: &str) -> String {
    slice(&format!(
        "{{vni: 7, port: 4789, peers: [{{node: a, address: {address}}}]}}"
    ))
}

const SLICES: &[Case] = &[
    (
        slice,
        "{}",
        &["spec.port: is missing", "spec.vni: is missing"],
    ),
    (
        slice,
        "{vni: 0, port: 65536}",
        &[
            "spec.port: 65536 is more than 65535",
            "spec.vni: 0 is less than 1",
        ],
    ),
    (
        slice,
        "{vni: 16777216, port: 1, peers: {}}",
        &[
            "spec.peers: an empty object is not a list",
            "spec.vni: 16777216 is more than 16777215",
        ],
    ),
    (
        slice,
        "{vni: 7, port: 4789, peers: [{node: a}]}",
        &["spec.peers[0].address: is missing"],
    ),
    (
        slice,
        "{vni: 7, port: 4789, peers: [{node: a, address: 10.77.0.1}, {node: a, address: 10.77.0.2}]}",
        &[r#"spec.peers[1].node: duplicate value "a""#],
    ),
];

#[test]
fn a_slice_says_which_tunnel_and_names_each_node_once() {
    all_refused(SLICES);
}

#[test]
fn a_peer_is_the_address_of_one_other_node() {
    let errors = |address: &str| messages(&admit_yaml(&naming(address)).unwrap_err());
    for text in [
        "10.77.0.0/24",
        "''",
        "node-b",
        "'::ffff:10.77.0.1'",
        "10.077.0.1",
    ] {
        let word = text.trim_matches('\'');
        let error = format!(
            "spec.peers[0].address: {word:?}: write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"
        );
        assert_eq!(errors(text), [error]);
    }
    for text in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "'::1'",
        "'fe80::1'",
    ] {
        let word = text.trim_matches('\'');
        let error = format!(
            "spec.peers[0].address: {word:?}: a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address"
        );
        assert_eq!(errors(text), [error]);
    }
    assert!(admit_yaml(&naming("10.77.0.1")).is_ok());
}

#[test]
fn a_slice_holds_a_hundred_nodes_and_no_more() {
    let of = |count: usize| {
        let peers: Vec<String> = (0..count)
            .map(|n| {
                format!(
                    "{{node: node-{n}, address: 10.77.{}.{}}}",
                    n / 200,
                    n % 200 + 1
                )
            })
            .collect();
        admit_yaml(&slice(&format!(
            "{{vni: 7, port: 4789, peers: [{}]}}",
            peers.join(", ")
        )))
    };
    assert!(of(100).is_ok());
    assert!(messages(&of(101).unwrap_err())[0].starts_with("spec.peers: "));
}
