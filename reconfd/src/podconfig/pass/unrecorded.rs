//! Links whose pod has no record or no object, and pods without a record. A missing record or
//! object does not mean that the pod is dead.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crds::Reason;
use node::{
    links::{HostNetns, Link, OwnershipMark},
    sandbox::Unreachable,
};
use policy::Permit;

use super::outcomes;
use crate::podconfig::{
    NodeReconciler, ReportJob, desired,
    objects::{ObjectSnapshot, Objects},
    pods::UnrecordedPod,
    segments::Member,
    unrecorded::UnrecordedState,
};

/// DEL calls the plugin first in the chain: the sandbox's namespace outlives its record by up to
/// this time.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

impl NodeReconciler {
    /// Links of a pod without a record or object stay while they are still requested, because its
    /// sandbox may still run. So do their addresses.
    pub(super) fn observe_orphan(
        &mut self,
        uid: &str,
        snapshot: &ObjectSnapshot,
    ) -> Vec<(HostNetns, u32)> {
        let ends = self.machine.ends_of(uid);
        let has_ended = self.objects.has_ended(uid, snapshot);
        if has_ended {
            self.end(uid);
        }
        // A device inside the pod continues without a record, and cannot be seen.
        if ends.is_empty() && self.devices_of(uid).next().is_none() {
            self.forget(uid);
            return Vec::new();
        }
        if !self.objects.pods.has(uid) {
            self.unrecorded.orphans.insert(uid.into());
        }
        if ends.is_empty() {
            return Vec::new();
        }
        let desired: Vec<_> = ends
            .iter()
            .filter(|_| !has_ended)
            .filter_map(|(.., mark)| self.objects.desired_by(mark, snapshot))
            .collect();
        let refused = self.register_segments(uid, &desired);
        self.release_all_but(uid, &desired);
        let kept: Vec<&String> = desired.iter().map(|(link, ..)| &link.name).collect();
        let stays =
            |mark: &OwnershipMark| kept.contains(&&mark.link) && !refused.contains(&mark.link);
        let (kept, gone): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| stays(&end.2));
        if has_ended {
            tracing::info!(
                uid,
                links = gone.len(),
                "the pod has ended and its network namespace remains; its links are deleted"
            );
        }
        if !kept.is_empty() && !self.objects.pods.has(uid) && !self.has_lost_its_sandbox(uid) {
            tracing::info!(uid, links = kept.len(), reason = %Reason::NoRecord, "links of a pod without a record stay");
        }
        gone.into_iter()
            .map(|(place, row, _)| (place, row.index))
            .collect()
    }

    /// Reports selected pods without a record.
    pub(super) fn report_unrecorded(&mut self, snapshot: &mut ObjectSnapshot) {
        for namespace in std::mem::take(&mut self.unrecorded.stale_namespaces) {
            let now: HashMap<String, UnrecordedPod> = self
                .objects
                .pods
                .unrecorded(&namespace, &self.objects.stores)
                .into_iter()
                .map(|missing| (missing.pod.uid.clone(), missing))
                .collect();
            let gone: Vec<String> = self
                .unrecorded
                .reported
                .iter()
                .filter(|(_, state)| state.namespace == namespace)
                .map(|(uid, _)| uid.clone())
                .collect();
            for uid in gone.into_iter().filter(|uid| !now.contains_key(uid)) {
                self.unrecorded.reported.remove(&uid);
                if !self.objects.pods.has(&uid) {
                    self.reports.send(ReportJob::PodGone { uid });
                }
            }
            for (uid, missing) in now {
                let has_ended = self.has_lost_its_sandbox(&uid);
                if has_ended {
                    self.unrecorded.discovery.retry_later(&namespace);
                }
                let state = UnrecordedState {
                    namespace: namespace.clone(),
                    is_missed: missing.unsupported.is_none() && !has_ended,
                };
                self.unrecorded.reported.insert(uid, state);
                self.report_unrecorded_pod(missing, has_ended, snapshot);
            }
        }
    }

    /// Whether the pod's sandbox has ended: its last record was deleted recently, and its namespace
    /// is gone. This holds for a completed pod until its object says so, and for a recreated
    /// sandbox until it exists.
    fn has_lost_its_sandbox(&self, uid: &str) -> bool {
        let departed = self.objects.pods.departed(uid);
        departed.is_some_and(|departed| {
            let is_ending = departed.at.elapsed() < ENDS_WITHIN;
            let found = || self.machine.find(&departed.record);
            is_ending || matches!(found(), Err(Unreachable::Gone(_)))
        })
    }

    fn report_unrecorded_pod(
        &mut self,
        missing: UnrecordedPod,
        has_ended: bool,
        snapshot: &mut ObjectSnapshot,
    ) {
        let namespace = &missing.pod.namespace;
        let pod = (&missing.pod, Some(&*missing.object));
        let desired = self.objects.evaluate(pod, 0, &self.attachments, snapshot);
        let key = (namespace.clone(), missing.pod.name.clone());
        let trouble = match has_ended && missing.unsupported.is_none() {
            true => outcomes::sandbox_ended(),
            false => outcomes::why_unrecorded(
                &missing,
                self.unrecorded.discovery.why_unverified(&key),
                self.objects.pods.has_invalid_records(),
            ),
        };
        let is_requested = !desired.granted.is_empty() || !desired.attachments.is_empty();
        if is_requested && trouble.0 == Reason::NoRecord {
            self.unrecorded.discovery.backfill.request(&missing.object);
        }
        let outcome = outcomes::unrecorded(missing.pod, desired, trouble);
        self.reports.send(ReportJob::Pod(Box::new(outcome)));
    }

    pub(super) fn forget(&mut self, uid: &str) {
        self.unrecorded.orphans.remove(uid);
        self.release_all(uid);
        let applied = self.schedule.forget(uid);
        let ends = applied.iter().flat_map(|applied| applied.host_ends.keys());
        self.kernel_ids.forget(uid, ends);
        self.addressing
            .probes
            .iter_mut()
            .for_each(|probes| probes.forget(uid));
        // Its report as a pod without a record stays until its object is deleted.
        if !self.unrecorded.reported.contains_key(uid) {
            self.reports.send(ReportJob::PodGone { uid: uid.into() });
        }
    }
}

impl Objects {
    /// The link of an alias, if it is still requested and allowed.
    pub(super) fn desired_by(
        &self,
        mark: &OwnershipMark,
        snapshot: &ObjectSnapshot,
    ) -> Option<(Link, Member, Permit)> {
        let configs = self.stores.podconfigs();
        let config = configs
            .iter()
            .find(|config| config.metadata.uid.as_deref() == Some(&mark.podconfig_uid))?;
        let mut links = config.spec.links.iter();
        let link = links.find(|link| link.name == mark.link)?;
        let namespace = config.metadata.namespace.as_deref()?;
        if self.earlier_server(namespace).is_some() {
            return None;
        }
        let labels = self.stores.namespace_labels(namespace);
        let selected = policy::selecting(snapshot.policies.iter().map(Arc::as_ref), &labels);
        let permit = policy::evaluate(link, namespace, &selected.policies).ok()?;
        let link = desired::link_of(link, &permit, namespace, &self.installation);
        Some((link.ok()?, desired::member(config), permit))
    }
}
