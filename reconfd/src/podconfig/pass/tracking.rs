//! Evaluates and observes a pod, and keeps what follows from it beside its plan: namespace ids, and
//! records whose namespace is gone.

use std::sync::Arc;

use store::Pod;

use super::{
    net_admin::prove_net_admin,
    observe::{Observed, observe},
};
use crate::podconfig::{
    NodeReconciler,
    attachments::Attachments,
    desired::{self, Desired},
    objects::{ObjectSnapshot, Objects},
    outcome::LocalPod,
    pods::RecordedPod,
};

impl NodeReconciler {
    /// Observes a pod by its newest record whose namespace exists.
    pub(super) fn observe_newest(
        &mut self,
        known: RecordedPod,
        snapshot: &mut ObjectSnapshot,
    ) -> Observed {
        let mut observed = self.observe(known, snapshot);
        while observed.is_gone() {
            self.unrecorded.discover_in(&observed.known.pod.namespace);
            if !self.objects.pods.mark_newest_gone(observed.uid()) {
                break;
            }
            // Its record was the later one only because the clock was set back.
            let Some(known) = self.objects.recorded(observed.uid()) else {
                break;
            };
            observed = self.observe(known, snapshot);
        }
        self.track(&observed);
        observed
    }

    fn observe(&mut self, mut known: RecordedPod, snapshot: &mut ObjectSnapshot) -> Observed {
        prove_net_admin(&self.machine, &mut known, &snapshot.policies);
        let place = self.objects.place(&known.pod.namespace, &known.pod.uid);
        let object = self.objects.object_of(&known.pod);
        let pod = (&*known.pod, object.as_deref());
        let desired = self
            .objects
            .evaluate(pod, place, &self.attachments, snapshot);
        for trouble in &desired.troubles {
            tracing::warn!(
                namespace = known.pod.namespace,
                pod = known.pod.name,
                "{trouble}"
            );
        }
        let applied = self.schedule.applied(&known.pod.uid);
        observe(&mut self.machine, (known, desired), applied)
    }

    fn track(&mut self, observed: &Observed) {
        let uid = observed.uid();
        let Some(id) = observed.netns_id else {
            return;
        };
        self.objects.pods.unmark_newest_gone(uid);
        // An id of another pod: that pod's namespace has ended, and the event of its end will name
        // this pod.
        let before = self
            .kernel_ids
            .netns_owner(id)
            .filter(|before| *before != uid);
        self.schedule.enqueue(before.cloned());
        self.kernel_ids.insert_netns(id, uid);
        if let (Some(applied), Ok(reading)) = (self.schedule.applied_mut(uid), &observed.netns) {
            let links = &reading.inside.links;
            let is_there = |index: &u32| links.contains_key(index);
            applied.retain_veth_ends(&observed.known.pod.sandbox, is_there);
        }
    }
}

impl Objects {
    /// The object of a pod, unless it is another one of that name.
    fn object_of(&self, pod: &LocalPod) -> Option<Arc<Pod>> {
        let object = self.stores.pod(&pod.namespace, &pod.name)?;
        let uid = object.metadata.uid.as_deref();
        uid.is_none_or(|uid| uid == pod.uid).then_some(object)
    }

    /// The links that a pod should have, by its PodConfigs and its annotation. `place`: its position in its namespace.
    pub(super) fn evaluate(
        &self,
        (pod, object): (&LocalPod, Option<&Pod>),
        place: usize,
        attachments: &Attachments,
        snapshot: &mut ObjectSnapshot,
    ) -> Desired {
        let mut configs = snapshot.configs_for(pod, &self.stores);
        let mut requested = attachments.requested_by((pod, object), &configs);
        configs.extend(requested.config.take().map(Arc::new));
        let policies = &snapshot.policies;
        let desired = desired::desired(pod, place, &configs, policies, &self.installation);
        let desired = desired.with_annotation(requested);
        self.apply_precedence(&pod.namespace, desired)
    }
}
