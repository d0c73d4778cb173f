//! Reconciles segments whose configuration or peers have changed. All users share one device, so
//! that no pod needs to be reconciled for it.

use crate::{
    node::netlink::Error,
    podconfig::{NodeReconciler, node_view::NodeView as _},
};

impl NodeReconciler {
    /// The remote endpoints of a tunnel have changed in this namespace. A device inside a pod is
    /// changed in the pod's pass.
    pub(in crate::podconfig) fn enqueue_tunnel(&mut self, namespace: &str, vni: i32, port: i32) {
        let owners = &self.segments.owners;
        for name in owners.discovering(namespace, vni, port) {
            self.dirty.extend(owners.exclusive_users(&name));
            self.segments.dirty.insert(name);
        }
    }

    /// Reconciles the dirty segments that have a device. If the kernel refuses, the users are
    /// enqueued: they report it and try again.
    pub(in crate::podconfig) fn reconcile_segments(&mut self) {
        self.segments.drop_outdated();
        for name in std::mem::take(&mut self.segments.dirty) {
            if let Err(error) = self.reconcile_segment(&name) {
                tracing::error!(segment = name, "cannot update a segment: {error}");
                self.dirty.extend(self.segments.owners.users(&name));
            }
        }
    }

    fn reconcile_segment(&mut self, name: &str) -> Result<(), Error> {
        self.evaluate_segment(name)?;
        let target = self.segments.targets.get(name);
        let Some((target, device)) = target.and_then(|t| Some((t, t.device.as_ref().ok()?))) else {
            return Ok(());
        };
        match self.machine.shared(&target.segment).device {
            Some(_) => self.machine.segment(&target.segment, device).map(drop),
            None => Ok(()),
        }
    }
}
