//! Node tests that need more of a kernel than most machines have: vlans above all.
//! `make test` runs them on the machine's own kernel where that can, and in `tests/vm.sh` where not.

#![allow(clippy::unwrap_used, clippy::panic)]

/// The kernel does what the stories need.
#[path = "full/harness.rs"]
mod harness;
/// A kernel without IPv6.
#[path = "full/ipv6_disabled.rs"]
mod ipv6_disabled;
/// CNI plugins that make devices of the kernel.
#[path = "full/plugins.rs"]
mod plugins;
/// Links on 802.1Q networks.
#[path = "full/vlan.rs"]
mod vlan;
// The other stories use all of it; these need not.
#[allow(dead_code)]
mod support;
