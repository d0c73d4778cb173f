//! Records of dead sandboxes, deleted: each would cost every start of the daemon a look. Nothing that
//! could be alive is deleted: object or newer record say that the sandbox has ended, and its namespace has
//! not been at its path for a while, not even behind a mount that is being changed.

use std::{sync::Arc, time::Duration};

use cni_plugin::record::Record;

use super::NodeReconciler;
use crate::node::{links::ownership_mark::host_end_name, sandbox::Unreachable};

/// For so long a namespace must be gone.
const GONE_FOR: Duration = Duration::from_secs(10);
/// So many namespaces are looked for at once.
const MOST_VISITS: usize = 2048;

impl NodeReconciler {
    pub(super) fn sweep_records(&mut self) {
        let suspects = self.pods.suspects(&self.stores, self.machine.boot_id());
        // Where there are more, each has its turn: some stay suspects, because their namespace is there.
        let turn = suspects.len().div_ceil(MOST_VISITS).max(1);
        let first = self.rounds as usize % turn * MOST_VISITS;
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
                self.pods.mark_gone(file);
                let gone_for = self.pods.gone_for(file).unwrap_or_default();
                gone_for >= GONE_FOR && (!self.has_links(record) || self.is_unknown_to_api(record))
            }
            found => {
                if found.is_ok() {
                    self.pods.is_there(file);
                }
                false
            }
        }
    }

    /// Whether a host end of the sandbox is there: its other end is in a namespace that lives, wherever.
    fn has_links(&self, record: &Record) -> bool {
        let uid = record.pod_uid.as_deref().unwrap_or(&record.container_id);
        let mut ends = self.machine.ends_of(uid).into_iter();
        ends.any(|(_, row, mark)| row.name == host_end_name(&record.container_id, &mark.link))
    }

    /// Whether the API has no such pod any more. Then its links end with the record, wherever somebody
    /// holds its namespace.
    fn is_unknown_to_api(&self, record: &Record) -> bool {
        let object = self.stores.pod(&record.pod_namespace, &record.pod_name);
        let uid = object.and_then(|object| object.metadata.uid.clone());
        self.stores.knows_all_pods() && (uid.is_none() || uid != record.pod_uid)
    }

    fn delete_record(&mut self, file: &str, record: &Record) {
        let (namespace, pod) = (&record.pod_namespace, &record.pod_name);
        match self.pods.delete(file, record) {
            Ok(Some(uid)) => {
                tracing::info!(namespace, pod, file, "deleted the record of a dead sandbox");
                self.dirty.insert(uid);
            }
            // The plugin was quicker.
            Ok(None) => (),
            Err(error) => tracing::error!(
                namespace,
                pod,
                "delete the record of a dead sandbox: {error}"
            ),
        }
    }
}
