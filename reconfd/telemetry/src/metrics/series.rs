//! Definitions of the series: names, labels and help texts.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// All series of the daemon.
#[derive(Clone, Debug)]
pub struct DaemonSeries {
    pub reconciles: Family<ReconcileLabels, Counter>,
    pub reconcile_duration: Histogram,
    pub operations: Family<OperationResultLabels, Counter>,
    pub operation_duration: Family<OperationLabels, Histogram>,
    pub links: Family<LinkLabels, Gauge>,
    pub links_unready: Family<ReasonLabels, Gauge>,
    pub drift_repairs: Family<KindLabels, Counter>,
    pub pods_recorded: Family<RecordSourceLabels, Gauge>,
    pub pods_unrecorded: Gauge,
    pub address_conflicts: Gauge,
    pub netlink_errors: Family<ErrnoLabels, Counter>,
    pub netlink_changes: Counter,
    pub refused_manifests: Gauge,
    pub oldest_unapplied: Gauge<f64, AtomicU64>,
    pub switch_pinned: Gauge,
    pub watch_restarts: Family<ResourceLabels, Counter>,
    pub api_writes: Family<ResourceLabels, Counter>,
    pub api_write_failures: Counter,
    pub claims: Family<ClaimLabels, Gauge>,
    pub claim_requests: Family<ClaimRequestLabels, Counter>,
    pub ranges_full: Gauge,
    pub plugin_runs: Family<PluginRunLabels, Counter>,
    pub plugin_run_duration: Histogram,
    pub attachments: Family<AttachmentLabels, Gauge>,
    pub attachments_lost: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PluginRunLabels {
    pub command: &'static str,
    /// Limited by the node's list of plugins.
    pub r#type: String,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttachmentLabels {
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    pub op: &'static str,
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationResultLabels {
    pub op: &'static str,
    pub kind: &'static str,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LinkLabels {
    pub kind: &'static str,
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClaimLabels {
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClaimRequestLabels {
    pub verb: &'static str,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RecordSourceLabels {
    pub source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrnoLabels {
    pub errno: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabels {
    pub resource: &'static str,
}

impl DaemonSeries {
    pub fn new() -> Self {
        Self {
            reconciles: Family::default(),
            reconcile_duration: durations(),
            operations: Family::default(),
            operation_duration: Family::new_with_constructor(durations),
            links: Family::default(),
            links_unready: Family::default(),
            drift_repairs: Family::default(),
            pods_recorded: Family::default(),
            pods_unrecorded: Gauge::default(),
            address_conflicts: Gauge::default(),
            netlink_errors: Family::default(),
            netlink_changes: Counter::default(),
            refused_manifests: Gauge::default(),
            oldest_unapplied: Gauge::default(),
            switch_pinned: Gauge::default(),
            watch_restarts: Family::default(),
            api_writes: Family::default(),
            api_write_failures: Counter::default(),
            claims: Family::default(),
            claim_requests: Family::default(),
            ranges_full: Gauge::default(),
            plugin_runs: Family::default(),
            plugin_run_duration: durations(),
            attachments: Family::default(),
            attachments_lost: Gauge::default(),
        }
    }

    pub fn register_work(&self, to: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "Version of the running program", version);
        to.register(
            "reconciles",
            "Reconciliations of single pods, by their worst reason",
            self.reconciles.clone(),
        );
        let help = "Duration of the reconciliation of one pod";
        to.register_with_unit(
            "reconcile_duration",
            help,
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        to.register(
            "link_operations",
            "Links created, changed and removed",
            self.operations.clone(),
        );
        let help = "Duration of creating, changing or removing a link";
        to.register_with_unit(
            "link_operation_duration",
            help,
            Unit::Seconds,
            self.operation_duration.clone(),
        );
        let help = "Links repaired after another program changed them";
        to.register("drift_repairs", help, self.drift_repairs.clone());
        to.register(
            "netlink_errors",
            "Netlink messages that the kernel refused",
            self.netlink_errors.clone(),
        );
        to.register(
            "netlink_changes",
            "Netlink messages sent that change kernel state",
            self.netlink_changes.clone(),
        );
        self.register_api(to);
        self.register_plugins(to);
    }

    fn register_plugins(&self, to: &mut Registry) {
        to.register(
            "plugin_runs",
            "Executions of CNI plugins, by command, type and result",
            self.plugin_runs.clone(),
        );
        to.register_with_unit(
            "plugin_run_duration",
            "Duration of one execution of a CNI plugin",
            Unit::Seconds,
            self.plugin_run_duration.clone(),
        );
        to.register(
            "attachments",
            "Links of CNI plugins in the store, by state",
            self.attachments.clone(),
        );
        let help = "Links of CNI plugins given up since the start, because DEL failed for a day without their namespace";
        to.register("attachments_lost", help, self.attachments_lost.clone());
    }

    fn register_api(&self, to: &mut Registry) {
        let help = "Watches of the API restarted after a failure";
        to.register("watch_restarts", help, self.watch_restarts.clone());
        to.register(
            "api_writes",
            "Objects written to the API",
            self.api_writes.clone(),
        );
        to.register(
            "api_write_failures",
            "Failed writes to the API",
            self.api_write_failures.clone(),
        );
        to.register(
            "claim_requests",
            "Requests to the backend of address claims, by verb and result",
            self.claim_requests.clone(),
        );
    }

    pub fn register_state(&self, to: &mut Registry) {
        to.register(
            "claims",
            "Address claims and pending address requests of this node, by state",
            self.claims.clone(),
        );
        to.register(
            "ranges_full",
            "Address requests that wait because their range is full",
            self.ranges_full.clone(),
        );
        to.register("links", "Desired links, by state", self.links.clone());
        to.register(
            "links_unready",
            "Desired links that are not ready, by reason",
            self.links_unready.clone(),
        );
        to.register(
            "pods_recorded",
            "Pods whose network namespace is known, by source",
            self.pods_recorded.clone(),
        );
        to.register(
            "pods_unrecorded",
            "Pods without a record of their network namespace",
            self.pods_unrecorded.clone(),
        );
        to.register(
            "address_conflicts",
            "Links that overlap a network which appeared after their creation",
            self.address_conflicts.clone(),
        );
        to.register(
            "refused_manifests",
            "Manifests that are currently refused",
            self.refused_manifests.clone(),
        );
        let help = "Age of the oldest link change not yet applied, where only this daemon or the API is the cause";
        to.register_with_unit(
            "oldest_unapplied",
            help,
            Unit::Seconds,
            self.oldest_unapplied.clone(),
        );
        to.register(
            "switch_pinned",
            "Whether the switch is pinned at its path",
            self.switch_pinned.clone(),
        );
    }
}

/// Buckets from 0.1 ms, less than the time of one netlink message, to 6.5 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}
