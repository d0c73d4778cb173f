//! Node tests: the real programs on a real kernel, each story on a throwaway node of its own.
//! They need root, and no cluster. `make test` runs them.

#![allow(clippy::unwrap_used, clippy::panic)]

/// Addresses and routes change one by one.
mod addresses;
/// Addresses announced when they come onto a link.
mod announce;
/// Links that CNI plugins make.
mod attachments;
/// Pods that no plugin recorded.
mod backfill;
/// Links change without going down.
mod change;
/// Plugins read what was judged.
mod cni_reader;
/// Wishes that meet something: a missing bridge, a taken name, another wish.
mod conflicts;
/// A disk that is full or takes no writes.
mod disk;
/// What another program with root on the node changes is put back within a second.
mod drift;
/// Pods that have ended while their network namespace stays.
mod ended;
/// System calls that fail, and descriptor limits.
mod faults;
/// What the stories are told with does what it says.
mod harness;
/// Addresses that podconfig chooses.
mod ipam;
/// Pods in which IPv6 is off.
mod ipv6_off;
/// The keeper of switch and chain.
mod keep;
/// Killed in the middle of anything.
mod killed;
/// Pods come, go, and come back.
mod life;
/// One MAC address is one link's, on all nodes.
mod macs;
/// Broken manifests disturb nothing.
mod manifests;
/// Pods that may administer their network.
mod net_admin;
/// What no link may overlap.
mod networks;
/// Probes, metrics, signals, one daemon per installation.
mod ops;
/// The kernel's notifications of the daemon's own changes.
mod own_changes;
/// What one pod may do to another.
mod peers;
/// Default deny, judged at every reconcile.
mod policy;
/// Records that nobody should trust.
mod records;
/// What the kernel refuses.
mod refused;
/// Started again: what is right is not touched, and what is not is made right.
mod restart;
/// Routed veths, and routes.
mod routed;
/// What each field of a rule allows.
mod rules;
/// CNI plugins, executed for pods that run.
mod runner;
/// What a pod may do to the node from a segment.
mod segments;
/// Links whose host end is not where it belongs.
mod stranded;
mod support;
/// The switch itself.
mod switch;
/// A tenant with root in the pod.
mod tenant;
/// podconfig taken away again.
mod uninstall;
/// Every form of a veth on a bridge.
mod veth;
/// Tunnels between nodes.
mod vxlan;
