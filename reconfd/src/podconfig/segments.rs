//! Segments: VLANs and VXLANs on devices of the node, which several pods can share.

use std::collections::{BTreeMap, BTreeSet};

/// Periodic checks.
mod checks;
/// Pure: the device that a segment should have.
pub mod device;
/// Pure: whether it has that device.
pub mod drift;
/// Pure: the tunnel endpoints of `peers: {auto: {}}`.
pub mod endpoints;
/// Evaluation of segments against the node and the slices.
mod evaluate;
/// The peer filter.
mod filter;
/// Pure: which namespace owns a segment, and whose settings it has.
pub mod owner;
/// The reconcile of a segment's device.
mod reconcile;

use device::{Readiness, SegmentTarget};
pub use evaluate::choose_rule;
pub use filter::{retain_peer_filters, verify_filter_if_notified};
pub use owner::{Member, Registration};
pub use reconcile::SegmentDemand;

use node::{Machine, netlink::Error};
use store::Stores;

/// What segments are evaluated against.
pub type Surroundings<'a> = (&'a mut Machine, &'a Stores);

/// The segments of this node, by name. Devices inside pods are not here: each is its pod's own.
#[derive(Debug, Default)]
pub struct Segments {
    pub owners: owner::SegmentOwners,
    /// What each should be. Evaluated once per pass, and again when its configuration changes.
    pub targets: BTreeMap<String, SegmentTarget>,
    /// Those to reconcile.
    pub dirty: BTreeSet<String>,
    /// What links could rely on when their pods were last enqueued for it.
    readiness: BTreeMap<String, Readiness>,
    /// Those whose device the kernel refused when it was last tried.
    failed: BTreeSet<String>,
    /// Why those that cannot be evaluated cannot be, as last logged.
    unevaluated: BTreeMap<String, String>,
}

/// The segments of a pass, reconciled: links are made on them afterwards.
#[derive(Debug, Default)]
pub struct ReconciledSegments {
    errors: BTreeMap<String, Error>,
}

impl ReconciledSegments {
    /// Why a segment's device could not be made or updated.
    pub fn error(&self, segment: &str) -> Option<&Error> {
        self.errors.get(segment)
    }
}

impl Segments {
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty() || self.owners.has_changed()
    }

    /// Enqueues those whose parent has one of these names.
    pub fn enqueue_on(&mut self, is_parent: impl Fn(&str) -> bool) {
        self.dirty.extend(self.owners.on_parent(is_parent));
    }

    fn begin_pass(&mut self) {
        self.targets.clear();
        self.drop_outdated();
        let owners = &self.owners;
        self.readiness.retain(|name, _| owners.is_used(name));
        self.failed.retain(|name| owners.is_used(name));
        self.unevaluated.retain(|name, _| owners.is_used(name));
    }

    /// Drops what was evaluated for a configuration that has changed since.
    fn drop_outdated(&mut self) {
        for name in self.owners.take_changed() {
            self.targets.remove(&name);
            self.dirty.insert(name);
        }
    }

    /// Whether a rule of any user permits the device what it needs.
    fn is_permitted(&self, target: &SegmentTarget) -> bool {
        let name = &target.segment.name;
        self.owners.permits(name, target.on_port, target.unfiltered)
    }

    /// Saves what links can rely on; returns whether that has changed.
    fn take_readiness(&mut self, name: &str) -> bool {
        let Some(target) = self.targets.get(name) else {
            return false;
        };
        let now = target.readiness();
        let before = self.readiness.insert(name.into(), now.clone());
        before.is_some_and(|before| before != now)
    }

    /// Logs why a segment cannot be evaluated, when that has changed.
    fn log_unevaluated(&mut self, name: &str, result: Result<(), &Error>) {
        let Err(error) = result.map_err(Error::to_string) else {
            self.unevaluated.remove(name);
            return;
        };
        if self.unevaluated.get(name) != Some(&error) {
            tracing::error!(segment = name, "cannot evaluate a segment: {error}");
            self.unevaluated.insert(name.into(), error);
        }
    }

    /// Saves what the kernel said; returns whether it has begun or ceased to refuse the device.
    fn take_result(&mut self, name: &str, result: Result<(), &Error>) -> bool {
        match result {
            Ok(()) => self.failed.remove(name),
            Err(_) => self.failed.insert(name.into()),
        }
    }
}

#[cfg(test)]
mod tests;
