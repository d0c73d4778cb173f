//! Links whose pod has no record, and pods of which no record speaks. A missing record is never taken
//! for a dead pod.

use std::{collections::HashMap, sync::Arc};

use crds::Reason;

use super::{Picture, work::verdict};
use crate::{
    node::links::{Link, Mark, Place},
    podconfig::{Controller, Telling, policy, wanted},
};

impl Controller {
    /// Links of a pod whose record is not there stay, as long as somebody still asks for them: a
    /// missing record is not a dead pod. So do their addresses.
    pub(super) fn look_at_orphan(&mut self, uid: &str, picture: &Picture) -> Vec<(Place, u32)> {
        let ends = self.machine.ends_of(uid);
        if ends.is_empty() {
            self.forget(uid);
            return Vec::new();
        }
        let configs = self.objects.podconfigs();
        let is_asked_for = |mark: &Mark| {
            let config = configs
                .iter()
                .find(|config| config.metadata.uid.as_deref() == Some(&mark.podconfig_uid))?;
            let link = config
                .spec
                .links
                .iter()
                .find(|link| link.name == mark.link)?;
            let namespace = config.metadata.namespace.as_deref()?;
            let labels = self.objects.namespace_labels(namespace);
            let selected = policy::selecting(picture.policies.iter().map(Arc::as_ref), &labels);
            let permit = policy::judge(link, &selected.policies).ok()?;
            wanted::link_of(link, permit, namespace, &self.machine.installation).ok()
        };
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (place, row, mark) in ends {
            match is_asked_for(&mark) {
                Some(link) => kept.push(link),
                None => gone.push((place, row.index)),
            }
        }
        if !kept.is_empty() {
            tracing::info!(uid, links = kept.len(), reason = %Reason::NoRecord, "links of a pod without a record stay");
        }
        self.hold(uid, &kept);
        gone
    }

    /// What another pod holds already, it keeps: of two links that stand, none is taken away.
    fn hold(&mut self, uid: &str, links: &[Link]) {
        let freed = self.holders.keep(uid, links.iter());
        self.dirty.extend(freed);
        for link in links {
            let _ = self.holders.take(uid, link);
        }
    }

    /// Pods that are selected and that no record speaks of: nothing can be done, and that is told.
    pub(super) fn tell_unrecorded(&mut self, picture: &mut Picture) {
        for namespace in std::mem::take(&mut self.unsure) {
            let now: HashMap<String, _> = self
                .pods
                .unrecorded(&namespace, &self.objects)
                .into_iter()
                .map(|pod| (pod.uid.clone(), pod))
                .collect();
            let gone: Vec<String> = self
                .unrecorded
                .iter()
                .filter(|(_, at)| **at == namespace)
                .map(|(uid, _)| uid.clone())
                .collect();
            for uid in gone.into_iter().filter(|uid| !now.contains_key(uid)) {
                self.unrecorded.remove(&uid);
                if !self.pods.has(&uid) {
                    let _ = self.telling.send(Telling::PodGone { uid });
                }
            }
            for (uid, pod) in now {
                let configs = picture
                    .configs
                    .entry(namespace.clone())
                    .or_insert_with(|| self.objects.podconfigs_of(&namespace));
                let judged = wanted::wanted(
                    &pod,
                    0,
                    configs,
                    &picture.policies,
                    &self.machine.installation,
                );
                self.unrecorded.insert(uid, namespace.clone());
                let _ = self.telling.send(Telling::Pod(Box::new(verdict::unrecorded(
                    pod,
                    judged,
                    self.pods.has_bad_ones(),
                ))));
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        let freed = self.holders.keep(uid, [].into_iter());
        self.dirty.extend(freed);
        self.numbers.retain(|_, owner| owner != uid);
        self.host_ends.retain(|_, owner| owner != uid);
        self.settled.remove(uid);
        let _ = self.telling.send(Telling::PodGone { uid: uid.into() });
    }
}
