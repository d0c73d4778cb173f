//! Pods that have ended although their network namespace remains, mounted or held by an open
//! descriptor. Two conditions end a pod: the plugin has no record of it, and the source has no
//! object. One alone proves nothing: a record can be lost, and an object can be deleted before its
//! sandbox.

use std::collections::HashSet;

use store::Stores;

use crate::podconfig::{
    NodeReconciler,
    objects::{ObjectSnapshot, Objects},
};

type Uids = Option<HashSet<String>>;

/// If the runtime passes no uid, the sandbox's id is used, and no object has that.
const CONTAINER_ID: usize = 64;

impl Objects {
    /// Whether neither the plugin nor the source knows the pod.
    pub(super) fn has_ended(&self, uid: &str, snapshot: &ObjectSnapshot) -> bool {
        uid.len() != CONTAINER_ID
            && !self.pods.has(uid)
            && self.pods.has_folder()
            && matches!(self.uids(snapshot), Some(uids) if !uids.contains(uid))
    }

    fn uids<'s>(&self, snapshot: &'s ObjectSnapshot) -> &'s Uids {
        let recorded = |object: &_| self.pods.has_name_of(object);
        snapshot.uids.get_or_init(|| uids(&self.stores, recorded))
    }
}

fn uids(stores: &Stores, is_recorded: impl Fn(&store::Pod) -> bool) -> Uids {
    let mut uids = HashSet::new();
    for object in stores.pods() {
        match &object.metadata.uid {
            Some(uid) => drop(uids.insert(uid.clone())),
            // Its own record identifies the pod.
            None if is_recorded(&object) => (),
            None => return None,
        }
    }
    Some(uids)
}

impl NodeReconciler {
    /// Deletes the devices inside an ended pod; its host ends are deleted with those of others.
    /// Retried if the kernel refuses.
    pub(super) fn end(&mut self, uid: &str) {
        let applied = self.schedule.applied(uid);
        let own = applied.map(|applied| applied.devices.clone());
        let own = own.unwrap_or_default();
        for netns in self.kernel_ids.netns_of(|owner| owner == uid) {
            let is_its =
                |index: u32, owner: Option<&str>| owner == Some(uid) || own.contains(&index);
            match self.remove_devices_in(netns, is_its) {
                Ok(devices) => {
                    if devices > 0 {
                        tracing::info!(
                            uid,
                            devices,
                            "removed devices from the namespace of an ended pod"
                        );
                    }
                    self.kernel_ids.remove_netns(netns);
                }
                Err(error) => {
                    tracing::error!(uid, "cannot delete the links of an ended pod: {error}")
                }
            }
        }
    }

    /// After a restart only the kernel knows devices in the namespaces of ended pods.
    pub(in crate::podconfig) fn sweep_namespaces(&mut self) {
        let ids = match self.machine.netns_ids() {
            Ok(ids) => ids,
            Err(error) => return tracing::error!("{error}"),
        };
        let snapshot = self.objects.snapshot();
        for netns in ids {
            if self.kernel_ids.netns_owner(netns).is_some() {
                continue;
            }
            let ended = match self.machine.devices_in(netns) {
                Ok(devices) => devices
                    .into_iter()
                    .filter_map(|(_, mark)| Some(mark?.pod_uid)),
                Err(error) => {
                    tracing::error!("cannot list links of ended pods: {error}");
                    continue;
                }
            };
            let ended: HashSet<String> = ended
                .filter(|uid| self.objects.has_ended(uid, &snapshot))
                .collect();
            for uid in ended {
                self.kernel_ids.insert_netns(netns, &uid);
                self.end(&uid);
            }
        }
    }

    fn remove_devices_in(
        &mut self,
        netns: i32,
        is_its: impl Fn(u32, Option<&str>) -> bool,
    ) -> Result<usize, node::netlink::Error> {
        let devices = self.machine.devices_in(netns)?.into_iter();
        let its = devices.filter(|(index, mark)| {
            is_its(*index, mark.as_ref().map(|mark| mark.pod_uid.as_str()))
        });
        let its: Vec<u32> = its.map(|(index, _)| index).collect();
        self.machine.remove_in(netns, &its)?;
        Ok(its.len())
    }

    /// Forgets the pods that this pass has ended.
    pub(super) fn forget_ended(&mut self, orphans: &[String]) {
        for uid in orphans {
            let has_links =
                !self.machine.ends_of(uid).is_empty() || self.devices_of(uid).next().is_some();
            if !has_links && self.unrecorded.orphans.contains(uid) {
                self.forget(uid);
            }
        }
    }
}
