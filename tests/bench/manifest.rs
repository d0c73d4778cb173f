//! The manifests of the bench.

use std::{fmt::Write, net::Ipv4Addr};

use crate::{node::NAMESPACE, wish::LINK};

/// Every namespace may have links on bridges of its own, and on segments of `eth1`.
pub const POLICY: &str = "apiVersion: podconfig.dev/v1alpha1
kind: PodConfigPolicy
metadata:
  name: bench
spec:
  namespaceSelector: {}
  allow:
  - veth:
      bridges: Own
    addresses: [10.0.0.0/7]
  - vlan:
      parents: [eth1]
      ids: [{min: 1, max: 4094}]
      modes: [Shared, Exclusive]
    addresses: [10.0.0.0/7]
  - vxlan:
      underlays: [eth1]
      vnis: [{min: 1, max: 16777215}]
      peers: [10.9.0.0/16]
    addresses: [10.0.0.0/7]
";

/// One PodConfig for one pod of the same name, with the one link on a bridge.
pub fn one(name: &str, address: Ipv4Addr, mtu: u32) -> String {
    config(name, &[(LINK, "blue", address)], mtu)
}

/// One PodConfig for one pod of the same name: link, bridge and address of each.
pub fn config(name: &str, links: &[(&str, &str, Ipv4Addr)], mtu: u32) -> String {
    let mut text = head(name, &format!("pod: {name}"));
    for (link, bridge, address) in links {
        // A String takes every write.
        let _ = write!(
            text,
            "  - name: {link}\n    veth:\n      bridge: {bridge}\n    mtu: {mtu}\n    addresses: [{address}/16]\n"
        );
    }
    text
}

/// One PodConfig for the pods with that label, and its one link in one line.
pub fn on(name: &str, label: &str, link: &str) -> String {
    format!("{}  - {link}\n", head(name, label))
}

fn head(name: &str, label: &str) -> String {
    format!(
        "---\napiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata:\n  namespace: {NAMESPACE}\n  name: {name}\n\
         spec:\n  podSelector:\n    matchLabels:\n      {label}\n  links:\n"
    )
}
