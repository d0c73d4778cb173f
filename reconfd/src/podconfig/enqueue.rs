//! Events of the sources: enqueues the pods they concern for the next pass.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::SelectorExt as _;
use store::{Trigger, kinds::ObjectKind, pod::NETWORKS};

use super::{NodeReconciler, acd::AddressProbes, desired, reporter::ReportJob};

impl NodeReconciler {
    /// Handles all pending events.
    pub(super) fn handle_events(&mut self) {
        // By namespace: many PodConfigs that change at once visit each pod once.
        let mut podconfigs = BTreeMap::<String, BTreeSet<String>>::new();
        while let Ok(trigger) = self.events.triggers.try_recv() {
            match trigger {
                Trigger::Object(ObjectKind::PodConfig, (namespace, name)) => {
                    podconfigs.entry(namespace).or_default().insert(name);
                }
                Trigger::Object(kind, (namespace, name)) => {
                    self.object_changed(kind, namespace, name);
                }
                Trigger::Claims { uid } => self.schedule.enqueue([uid]),
                Trigger::Hint { namespace, .. } => self.unrecorded.discover_in(&namespace),
                Trigger::Records(file) => {
                    let touched = match file {
                        Some(file) => self.read_record(&file),
                        None => self.read_records(),
                    };
                    self.hold_ended_sandboxes(&touched);
                    self.schedule.enqueue(touched);
                }
                Trigger::PeerSlice {
                    namespace,
                    vni,
                    port,
                } => {
                    let tunnel = (namespace.as_str(), vni, port);
                    self.segments.enqueue_tunnel(tunnel, &mut self.schedule);
                }
                Trigger::NodeNetworks => self.refresh_networks(),
                Trigger::StepEnded(uid) => {
                    self.addressing
                        .probes
                        .iter_mut()
                        .for_each(AddressProbes::take);
                    self.schedule.enqueue([uid]);
                }
                Trigger::All => {
                    self.read_records();
                    self.enqueue_all();
                    self.objects.count_all_again();
                    self.reports.defer(ReportJob::AllPodConfigs);
                }
            }
        }
        for (namespace, names) in podconfigs {
            self.podconfigs_changed(namespace, names);
        }
    }

    fn podconfigs_changed(&mut self, namespace: String, names: BTreeSet<String>) {
        self.enqueue_selected(&namespace, &names);
        self.enqueue_orphans();
        self.unrecorded.mark_stale(&namespace);
        self.objects.count_again(&namespace);
        for name in names {
            let namespace = namespace.clone();
            self.reports.defer(ReportJob::PodConfig { namespace, name });
        }
    }

    /// Enqueues what depends on an object: the place where the reconciler of a kind registers.
    fn object_changed(&mut self, kind: ObjectKind, namespace: String, name: String) {
        match kind {
            ObjectKind::PodConfig => self.podconfigs_changed(namespace, [name].into()),
            ObjectKind::Pod => {
                self.schedule
                    .enqueue(self.objects.pods.uids_of(&namespace, &name));
                // The orphan's object may be the last that kept its links.
                self.schedule
                    .enqueue(self.unrecorded.orphans.iter().cloned());
                self.objects.count_again(&namespace);
                self.unrecorded.discover_in(&namespace);
            }
            ObjectKind::Namespace => {
                self.enqueue_namespace(&name);
                self.objects.count_again(&name);
                self.unrecorded.mark_stale(&name);
            }
            ObjectKind::PodConfigPolicy => {
                self.enqueue_all();
                self.objects.count_all_again();
            }
            ObjectKind::NetworkAttachmentDefinition => self.enqueue_attached(&namespace, &name),
            ObjectKind::ReservedNetworks => self.refresh_networks(),
            // Claims and slices have triggers of their own; the others concern no pod here.
            _ => (),
        }
    }

    pub(super) fn enqueue_namespace(&mut self, namespace: &str) {
        self.schedule.enqueue(self.objects.pods.uids_in(namespace));
    }

    /// Enqueues the pods that one of these PodConfigs selects, and those it requested links for
    /// before.
    fn enqueue_selected(&mut self, namespace: &str, names: &BTreeSet<String>) {
        let stores = &self.objects.stores;
        let configs = names
            .iter()
            .filter_map(|name| stores.podconfig(namespace, name));
        let selectors = configs.filter_map(|c| policy::selector(&c.spec.pod_selector).ok());
        let selectors: Vec<_> = selectors.collect();
        for uid in self.objects.pods.uids_in(namespace) {
            let applied = self.schedule.applied(&uid);
            let is_configured = applied.is_none_or(|applied| !applied.configs.is_disjoint(names));
            let is_selected = || {
                let labels = self.objects.pods.labels(&uid, stores);
                selectors.iter().any(|selector| selector.matches(&labels))
            };
            if is_configured || is_selected() {
                self.schedule.enqueue([uid]);
            }
        }
    }

    /// A plugin's DEL may need the namespace of a sandbox whose record is gone; the runtime deletes it next.
    fn hold_ended_sandboxes(&mut self, touched: &[String]) {
        let objects = &self.objects;
        let current = |uid: &str| objects.recorded(uid).map(|known| known.record);
        self.attachments.records_changed(touched, current);
    }

    /// Enqueues the pods whose PodConfig or annotation refers to this NetworkAttachmentDefinition.
    fn enqueue_attached(&mut self, namespace: &str, name: &str) {
        self.enqueue_annotated(name);
        for config in self.objects.stores.podconfigs() {
            let own = config.metadata.namespace.as_deref().unwrap_or_default();
            let mut links = config.spec.links.iter();
            if links.any(|link| desired::refers_to(link, own, (namespace, name))) {
                let podconfig = config.metadata.name.clone().unwrap_or_default();
                self.enqueue_selected(own, &[podconfig].into());
            }
        }
    }

    /// Enqueues the pods whose annotation has this name in it, also by chance: a visit changes nothing then.
    fn enqueue_annotated(&mut self, definition: &str) {
        if !self.attachments.follows_annotations() {
            return;
        }
        for object in self.objects.stores.pods() {
            let networks = object.annotation(NETWORKS).unwrap_or_default();
            let meta = &object.metadata;
            if let (true, Some(namespace), Some(name)) =
                (networks.contains(definition), &meta.namespace, &meta.name)
            {
                self.schedule
                    .enqueue(self.objects.pods.uids_of(namespace, name));
            }
        }
    }

    pub(super) fn enqueue_all(&mut self) {
        self.schedule.enqueue(self.objects.pods.uids());
        self.schedule.enqueue_where(|_| true);
        self.schedule.enqueue(self.machine.pods_with_links());
        self.segments
            .dirty
            .extend(self.segments.owners.names().cloned());
        self.mark_all_stale_namespaces();
    }

    pub(super) fn mark_all_stale_namespaces(&mut self) {
        let objects = self.objects.stores.pods();
        let namespaces = objects
            .iter()
            .filter_map(|pod| pod.metadata.namespace.clone());
        self.unrecorded.mark_all_stale(namespaces);
    }

    /// Enqueues pods that have links and no record.
    pub(super) fn enqueue_orphans(&mut self) {
        let orphans = self
            .machine
            .pods_with_links()
            .into_iter()
            .filter(|uid| !self.objects.pods.has(uid));
        self.schedule.enqueue(orphans.collect::<Vec<_>>());
    }
}
