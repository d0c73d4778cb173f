//! Deletes the records of dead sandboxes: each would cost a check at every start of the daemon.
//! Nothing that may be alive is deleted: object or newer record show that the sandbox has ended,
//! and its namespace has been missing at its path for a while, not only behind a mount that is
//! being changed.

use std::{sync::Arc, time::Duration};

use node::{links::ownership_mark::host_end_name, sandbox::Unreachable};
use sandbox_record::Record;

use super::NodeReconciler;

/// How long a namespace must be gone.
const GONE_FOR: Duration = Duration::from_secs(10);
/// Maximum number of namespaces checked at once.
const MOST_VISITS: usize = 2048;

impl NodeReconciler {
    pub(super) fn sweep_records(&mut self) {
        let suspects = self
            .objects
            .pods
            .suspects(&self.objects.stores, self.machine.boot_id());
        // With more suspects they take turns: some remain suspects because their namespace exists.
        let groups = suspects.len().div_ceil(MOST_VISITS);
        let first = self.rounds.turn(groups) * MOST_VISITS;
        for (file, record) in suspects.into_iter().skip(first).take(MOST_VISITS) {
            if self.is_dead(&file, &record) {
                self.delete_record(&file, &record);
            }
        }
    }

    fn is_dead(&mut self, file: &str, record: &Arc<Record>) -> bool {
        if record.boot_id != self.machine.boot_id() {
            return true;
        }
        match self.machine.find(record) {
            Err(Unreachable::Gone(_)) => {
                self.objects.pods.mark_gone(file);
                let gone_for = self.objects.pods.gone_for(file).unwrap_or_default();
                gone_for >= GONE_FOR && (!self.has_links(record) || self.is_unknown_to_api(record))
            }
            found => {
                if found.is_ok() {
                    self.objects.pods.is_there(file);
                }
                false
            }
        }
    }

    /// Whether a host end of the sandbox exists: its pod end is then in a living namespace,
    /// wherever that is.
    fn has_links(&self, record: &Record) -> bool {
        let uid = record.pod_uid.as_deref().unwrap_or(&record.container_id);
        let mut ends = self.machine.ends_of(uid).into_iter();
        ends.any(|(_, row, mark)| row.name == host_end_name(&record.container_id, &mark.link))
    }

    /// Whether the API has no such pod any more. Then its links end with the record, even if
    /// another process holds its namespace.
    fn is_unknown_to_api(&self, record: &Record) -> bool {
        let object = self
            .objects
            .stores
            .pod(&record.pod_namespace, &record.pod_name);
        let uid = object.and_then(|object| object.metadata.uid.clone());
        self.objects.stores.knows_all_pods() && (uid.is_none() || uid != record.pod_uid)
    }

    fn delete_record(&mut self, file: &str, record: &Record) {
        let (namespace, pod) = (&record.pod_namespace, &record.pod_name);
        match self.objects.pods.delete(file, record) {
            Ok(Some(uid)) => {
                tracing::info!(namespace, pod, file, "deleted the record of a dead sandbox");
                self.schedule.enqueue([uid]);
            }
            // The plugin deleted it first.
            Ok(None) => (),
            Err(error) => tracing::error!(
                namespace,
                pod,
                "cannot delete the record of a dead sandbox: {error}"
            ),
        }
    }
}
