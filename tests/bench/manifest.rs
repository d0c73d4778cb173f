//! The manifests of the bench.

use std::{fmt::Write, net::Ipv4Addr};

use crate::node::NAMESPACE;

/// Every namespace may have links on bridges of its own.
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
";

/// One PodConfig for one pod with the one link `data0`.
pub fn one(name: &str, pod: &str, address: Ipv4Addr, mtu: u32) -> String {
    config(name, pod, &[("data0", "blue", address)], mtu)
}

/// One PodConfig for one pod: link, bridge and address of each.
pub fn config(name: &str, pod: &str, links: &[(&str, &str, Ipv4Addr)], mtu: u32) -> String {
    let mut text = format!(
        "---\napiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata:\n  namespace: {NAMESPACE}\n  name: {name}\n\
         spec:\n  podSelector:\n    matchLabels:\n      pod: {pod}\n  links:\n"
    );
    for (link, bridge, address) in links {
        // A String takes every write.
        let _ = write!(
            text,
            "  - name: {link}\n    veth:\n      bridge: {bridge}\n    mtu: {mtu}\n    addresses: [{address}/16]\n"
        );
    }
    text
}
