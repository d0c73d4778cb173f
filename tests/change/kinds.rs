//! A link that is edited to another kind is what it would be if it had been made so: each kind to each
//! other one, and back.

use crate::support::{
    daemon::Daemon,
    fabric::Fabric,
    kinds::{Kind, More, Pair, round},
    manifests::{ANY_VETH, policy},
    node::TestNode,
};

const BRIDGE: Kind = Kind {
    name: "bridge",
    spec: "veth: {bridge: blue}",
    below: "",
    meets: true,
};
const HOST_BRIDGE: Kind = Kind {
    name: "hostBridge",
    spec: "veth: {hostBridge: br-lan}",
    ..BRIDGE
};
const ROUTED: Kind = Kind {
    name: "routed",
    spec: "veth: {routed: {}}",
    ..BRIDGE
};
const SHARED: Kind = Kind {
    name: "vxlan",
    spec: "vxlan: {underlay: eth1, vni: 42, peers: {addresses: [10.77.0.2]}}",
    ..BRIDGE
};
/// One pod alone has such a device, so each has another tunnel.
const EXCLUSIVE: Kind = Kind {
    name: "Exclusive",
    spec: "vxlan: {underlay: eth1, vni: 5N, mode: Exclusive, peers: {addresses: [10.77.0.2]}}",
    below: "",
    meets: false,
};
const OVER: Kind = Kind {
    name: "underlayLink",
    spec: "vxlan: {underlayLink: up0, vni: 9, peers: {addresses: [10.66.0.M]}}",
    below: "{name: up0, veth: {bridge: green}, addresses: [10.66.0.N/24]}, ",
    meets: true,
};

const KINDS: [&Kind; 4] = [&BRIDGE, &HOST_BRIDGE, &ROUTED, &SHARED];

const IPV4: More = "addresses: [10.99.0.N/24]";
const IPV6: More = "addresses: ['fd99::N/64']";
const BOTH: More = "addresses: [10.99.0.N/24, 'fd99::N/64']";
/// All that an edit can change at the same time.
const OTHER: More = "mac: '02:00:00:00:00:0N', mtu: 1380, \
    addresses: [10.99.7.N/25, 192.168.9.N/32, 'fd97::N/64', 'fd99::N/128'], routes: [\
    {to: 172.20.0.0/16}, {to: 172.21.0.0/16, metric: 77}, {to: 'fd72::/48'}, \
    {to: 0.0.0.0/0, table: 150}, {to: '::/0', table: 150}]";
const PLAIN: More = "mac: '02:00:00:00:01:0N', mtu: 1400, \
    addresses: [10.99.0.N/24, 'fd99::N/64'], routes: [{to: 172.20.0.0/16, table: 151}]";

const ANY_VXLAN: &str = "{vxlan: {underlays: [eth1], vnis: [{min: 1, max: 100}], \
    modes: [Shared, Exclusive], ports: [{min: 1, max: 65535}], peers: [10.77.0.0/24, 10.66.0.0/24]}, \
    addresses: [0.0.0.0/0, '::/0'], routes: [0.0.0.0/0, '::/0'], \
    tables: [{min: 1, max: 4000000000}], macs: Any}";

fn node_of(fabric: &Fabric) -> &TestNode {
    let node = &fabric[0];
    node.add_bridge("br-lan", "10.200.0.1/24");
    let rules = format!("[{ANY_VETH}, {ANY_VXLAN}]");
    node.apply("policy", &policy("everything", "{}", &rules));
    node
}

fn every_kind_becomes_every_other(kinds: &[&'static Kind], more: More) {
    let fabric = Fabric::new(1);
    let node = node_of(&fabric);
    let _daemon = node.daemon();
    let pair = Pair::new(node);
    let references = pair.references(kinds, &[more]);
    for kind in round(kinds) {
        pair.becomes(kind, more, &references);
    }
}

#[test]
fn every_kind_becomes_every_other_one_with_ipv4() {
    every_kind_becomes_every_other(&KINDS, IPV4);
}

#[test]
fn every_kind_becomes_every_other_one_with_ipv6() {
    every_kind_becomes_every_other(&KINDS, IPV6);
}

#[test]
fn every_kind_becomes_every_other_one_with_both_families() {
    every_kind_becomes_every_other(&KINDS, BOTH);
}

#[test]
fn a_veth_becomes_a_device_in_the_pod_and_back() {
    every_kind_becomes_every_other(&[&ROUTED, &EXCLUSIVE, &OVER, &BRIDGE], BOTH);
}

#[test]
fn a_kind_changes_together_with_all_else_also_while_the_daemon_is_away() {
    let fabric = Fabric::new(1);
    let node = node_of(&fabric);
    let mut daemon: Daemon = node.daemon();
    let pair = Pair::new(node);
    let references = pair.references(&KINDS, &[PLAIN, OTHER]);
    for (turn, kind) in round(&KINDS).into_iter().enumerate() {
        let more = [PLAIN, OTHER][turn % 2];
        if turn % 3 == 2 {
            let _ = daemon.terminate();
            pair.ask(kind, more);
            daemon = node.daemon();
        }
        pair.becomes(kind, more, &references);
    }
}
