//! Pure: orphaned reports of a namespace.

use std::collections::HashSet;

use super::NamespaceState;
use crate::{
    action::{Action, OrphanReport},
    gc::is_orphan,
    reconcile_key::{Delay, ReconcileKey, Requeue},
};

impl NamespaceState {
    pub fn reports_of(&self, node: &str) -> Vec<Requeue> {
        let reports = self
            .reports
            .iter()
            .filter(|(_, report)| report.node == node);
        let requeue = |(pod, _): (&String, _)| {
            ReconcileKey::orphan_report(&self.name, pod).after(Delay::OrphanGrace)
        };
        reports.map(requeue).collect()
    }

    pub fn orphan(&self, pod: &str, nodes: Option<&HashSet<String>>) -> Option<Action> {
        let report = self.reports.get(pod)?;
        is_orphan(report, self.pods.get(pod), nodes).then(|| {
            Action::DeleteReport(OrphanReport {
                namespace: self.name.clone(),
                pod: pod.to_owned(),
                pod_uid: report.pod_uid.clone(),
                node: report.node.clone(),
                uid: report.uid.clone(),
                version: report.version.clone(),
            })
        })
    }
}
