//! Stories that keep to namespaces of their own.

/// A PodConfig that no policy allows is refused when it is written.
mod admission;
/// Links of running workloads: they come, go, and follow their pods.
mod attach;
/// What the controller writes, of pods on nodes that do not exist.
mod controller;
/// What Events say.
mod events;
/// What RBAC cannot say.
mod fences;
/// Pods that wait for their links.
mod gate;
/// Addresses that podconfig chooses.
mod ipam;
/// The README's quick start.
mod quickstart;
/// A listed address in a rollout.
mod rollout;
/// One tenant and another.
mod tenants;
/// A token of a daemon in the wrong hands.
mod thief;
/// Pods of several nodes.
mod tunnel;
