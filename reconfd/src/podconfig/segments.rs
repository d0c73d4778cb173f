//! Segments: VLANs and VXLANs on devices of the node, which several pods can share.

use std::collections::{BTreeMap, BTreeSet};

/// Pure: the device that a segment should have.
pub mod device;
/// Pure: the tunnel endpoints of `peers: {auto: {}}`.
pub mod endpoints;
/// Evaluation of segments against the node and the slices.
mod evaluate;
/// Pure: which namespace owns a segment, and whose settings it has.
pub mod owner;
/// The reconcile of a segment's device.
mod reconcile;

use device::SegmentTarget;
pub use owner::{Member, Registration};

/// The segments of this node, by name.
#[derive(Debug, Default)]
pub struct Segments {
    pub owners: owner::SegmentOwners,
    /// What each should be. Evaluated once per pass, and again when its configuration changes.
    pub targets: BTreeMap<String, SegmentTarget>,
    /// Those to reconcile in the next pass.
    pub dirty: BTreeSet<String>,
}

impl Segments {
    /// Drops what was evaluated for a configuration that has changed since.
    fn drop_outdated(&mut self) {
        for name in self.owners.take_changed() {
            self.targets.remove(&name);
        }
    }
}
