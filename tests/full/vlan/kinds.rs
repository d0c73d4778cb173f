//! A link that is edited to a vlan, shared, whole or on a link of the pod, and back.

use crate::support::{
    fabric::Fabric,
    kinds::{Kind, More, Pair},
    manifests::{ANY_VETH, policy},
};

const SHARED: Kind = Kind {
    name: "vlan",
    spec: "vlan: {parent: eth1, id: 100}",
    below: "",
    meets: true,
};
/// One pod alone has such a device, so each has another vlan.
const EXCLUSIVE: Kind = Kind {
    name: "Exclusive",
    spec: "vlan: {parent: eth1, id: 15N, mode: Exclusive}",
    below: "",
    meets: false,
};
const INSIDE: Kind = Kind {
    name: "parentLink",
    spec: "vlan: {parentLink: up0, id: 7}",
    below: "{name: up0, veth: {bridge: green}, addresses: [10.66.0.N/24]}, ",
    meets: true,
};
const ROUTED: Kind = Kind {
    name: "routed",
    spec: "veth: {routed: {}}",
    below: "",
    meets: true,
};
const BOTH: More = "addresses: [10.99.0.N/24, 'fd99::N/64']";
const ANY_VLAN: &str = "{vlan: {parents: [eth1], ids: [{min: 1, max: 200}], \
    modes: [Shared, Exclusive]}, addresses: [0.0.0.0/0, '::/0'], macs: Any}";

#[test]
fn a_routed_link_becomes_a_vlan_of_every_kind_and_back() {
    let fabric = Fabric::new(1);
    let node = &fabric[0];
    let rules = format!("[{ANY_VETH}, {ANY_VLAN}]");
    node.apply("policy", &policy("everything", "{}", &rules));
    let _daemon = node.daemon();
    let pair = Pair::new(node);
    let kinds = [&ROUTED, &SHARED, &EXCLUSIVE, &INSIDE];
    let references = pair.references(&kinds, &[BOTH]);
    let [routed, shared, exclusive, inside] = kinds;
    for kind in [routed, shared, exclusive, routed, inside, routed] {
        pair.becomes(kind, BOTH, &references);
    }
}
