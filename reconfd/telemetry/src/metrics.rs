//! Metrics of the daemon. Label values are closed sets, never pod names, so the number of series does not grow
//! with the cluster. There is no global registry: callers hold a `Metrics`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use address::claims::Counts;
use crds::{
    Reason,
    report::{LinkState, RecordSource},
};
use nix::errno::Errno;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use crate::http::Encode;

/// The series with their labels, names and help texts.
mod series;
use series::{
    AttachmentLabels, ClaimLabels, ClaimRequestLabels, DaemonSeries, ErrnoLabels, KindLabels,
    LinkLabels, OperationLabels, OperationResultLabels, PluginRunLabels, ReasonLabels,
    ReconcileLabels, RecordSourceLabels, ResourceLabels,
};

/// Clones share the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    series: DaemonSeries,
}

/// An operation on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Make,
    Change,
    Remove,
}

impl Default for Metrics {
    fn default() -> Self {
        let series = DaemonSeries::new();
        let mut registry = Registry::with_prefix("reconfd");
        series.register_work(&mut registry);
        series.register_state(&mut registry);
        let metrics = Self {
            registry: Arc::new(registry),
            series,
        };
        for source in RecordSource::ALL {
            metrics.set_recorded(source, 0);
        }
        metrics
    }
}

impl Metrics {
    /// Records the reconciliation of one pod: `LinkReady` if it is in the desired state, else the worst reason.
    pub fn reconciled(&self, result: Reason, took: Duration) {
        self.series
            .reconciles
            .get_or_create(&ReconcileLabels {
                result: result.as_str(),
            })
            .inc();
        self.series.reconcile_duration.observe(took.as_secs_f64());
    }

    /// Records the creation, change or removal of a link, or its failure.
    pub fn operated(&self, op: Op, kind: &'static str, done: bool, took: Duration) {
        let (op, result) = (op.as_str(), if done { "ok" } else { "failed" });
        self.series
            .operations
            .get_or_create(&OperationResultLabels { op, kind, result })
            .inc();
        self.series
            .operation_duration
            .get_or_create(&OperationLabels { op, kind })
            .observe(took.as_secs_f64());
    }

    /// Sets the number of links of a kind in a state.
    pub fn set_links(&self, kind: &'static str, state: LinkState, links: usize) {
        let state = match state {
            LinkState::Ready => "Ready",
            LinkState::Pending => "Pending",
            LinkState::Failed => "Failed",
        };
        set(
            &self.series.links.get_or_create(&LinkLabels { kind, state }),
            links,
        );
    }

    /// Sets the number of links that are not ready, by reason. A reason seen before stays, with zero.
    pub fn set_links_unready(&self, links: &HashMap<Reason, usize>) {
        let unready = &self.series.links_unready;
        let gauge = |reason: Reason| ReasonLabels {
            reason: reason.as_str(),
        };
        for &reason in Reason::ALL {
            match links.get(&reason) {
                Some(links) => set(&unready.get_or_create(&gauge(reason)), *links),
                None => {
                    if let Some(gauge) = unready.get(&gauge(reason)) {
                        gauge.set(0);
                    }
                }
            }
        }
    }

    /// Records the repair of a link that another program changed.
    pub fn drift_repaired(&self, kind: &'static str) {
        self.series
            .drift_repairs
            .get_or_create(&KindLabels { kind })
            .inc();
    }

    /// Sets the number of pods whose network namespace is known, by its source.
    pub fn set_recorded(&self, source: RecordSource, pods: usize) {
        let source = match source {
            RecordSource::Plugin => "plugin",
            RecordSource::Cache => "cache",
            RecordSource::Cri => "cri",
        };
        let recorded = &self.series.pods_recorded;
        set(
            &recorded.get_or_create(&RecordSourceLabels { source }),
            pods,
        );
    }

    /// Sets the number of links that overlap a network which appeared after their creation.
    pub fn set_address_conflicts(&self, links: usize) {
        set(&self.series.address_conflicts, links);
    }

    /// Sets the number of pods without a record of their network namespace.
    pub fn set_unrecorded(&self, pods: usize) {
        set(&self.series.pods_unrecorded, pods);
    }

    /// Records a netlink error; `errno` may have either sign.
    pub fn netlink_refused(&self, errno: i32) {
        let errno = format!("{:?}", Errno::from_raw(errno.saturating_abs()));
        self.series
            .netlink_errors
            .get_or_create(&ErrnoLabels { errno })
            .inc();
    }

    /// Adds to the number of sent messages that change kernel state.
    pub fn netlink_changes(&self, messages: usize) {
        self.series.netlink_changes.inc_by(messages as u64);
    }

    pub fn set_refused_manifests(&self, manifests: usize) {
        set(&self.series.refused_manifests, manifests);
    }

    /// Records the restart of a watch after a failure.
    pub fn watch_restarted(&self, resource: &'static str) {
        let restarts = self
            .series
            .watch_restarts
            .get_or_create(&ResourceLabels { resource });
        restarts.inc();
    }

    /// Records a write to the API.
    pub fn wrote(&self, resource: &'static str) {
        self.series
            .api_writes
            .get_or_create(&ResourceLabels { resource })
            .inc();
    }

    /// Records a failed write to the API.
    pub fn write_refused(&self) {
        self.series.api_write_failures.inc();
    }

    /// Records a request to the claim backend.
    pub fn claim_requested(&self, verb: &'static str, result: &'static str) {
        let requests = &self.series.claim_requests;
        requests
            .get_or_create(&ClaimRequestLabels { verb, result })
            .inc();
    }

    /// Sets the number of address claims of this node.
    pub fn set_claims(&self, counts: Counts) {
        let states = [
            ("Held", counts.held),
            ("Resting", counts.resting),
            ("Wanted", counts.waiting),
        ];
        for (state, claims) in states {
            set(
                &self.series.claims.get_or_create(&ClaimLabels { state }),
                claims,
            );
        }
        set(&self.series.ranges_full, counts.full);
    }

    /// Records one execution of a CNI plugin.
    pub fn plugin_ran(&self, command: &'static str, plugin_type: &str, done: bool, took: Duration) {
        let labels = PluginRunLabels {
            command,
            r#type: plugin_type.to_owned(),
            result: if done { "ok" } else { "failed" },
        };
        self.series.plugin_runs.get_or_create(&labels).inc();
        self.series.plugin_run_duration.observe(took.as_secs_f64());
    }

    /// Sets the numbers of links of CNI plugins, by state, and of those that were given up.
    pub fn set_attachments(&self, by_state: &[(&'static str, usize)], lost: usize) {
        for &(state, number) in by_state {
            let labels = AttachmentLabels { state };
            set(&self.series.attachments.get_or_create(&labels), number);
        }
        set(&self.series.attachments_lost, lost);
    }

    /// Sets the age of the oldest link change that is not applied; zero if there is none.
    pub fn set_oldest_unapplied(&self, age: Duration) {
        self.series.oldest_unapplied.set(age.as_secs_f64());
    }

    pub fn set_switch_pinned(&self, pinned: bool) {
        self.series.switch_pinned.set(i64::from(pinned));
    }
}

impl Encode for Metrics {
    fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Op {
    fn as_str(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }
}

/// Sets a gauge to a count.
pub fn set(gauge: &Gauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests;
