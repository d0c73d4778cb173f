//! The series: their labels, their names and what they say. What is counted when is not known here.

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

#[derive(Clone, Debug)]
pub struct Numbers {
    pub reconciles: Family<Ended, Counter>,
    pub reconcile_duration: Histogram,
    pub operations: Family<Operated, Counter>,
    pub operation_duration: Family<Operation, Histogram>,
    pub links: Family<Links, Gauge>,
    pub links_unready: Family<Unready, Gauge>,
    pub drift_repairs: Family<OfKind, Counter>,
    pub pods_recorded: Family<Recorded, Gauge>,
    pub pods_unrecorded: Gauge,
    pub address_conflicts: Gauge,
    pub netlink_errors: Family<Refused, Counter>,
    pub netlink_changes: Counter,
    pub refused_manifests: Gauge,
    pub oldest_unapplied: Gauge<f64, AtomicU64>,
    pub switch_pinned: Gauge,
    pub watch_restarts: Family<Watched, Counter>,
    pub api_writes: Family<Watched, Counter>,
    pub api_write_failures: Counter,
    pub claims: Family<Claimed, Gauge>,
    pub claim_requests: Family<Asked, Counter>,
    pub ranges_full: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operation {
    pub op: &'static str,
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operated {
    pub op: &'static str,
    pub kind: &'static str,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Links {
    pub kind: &'static str,
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Unready {
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Claimed {
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    pub verb: &'static str,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfKind {
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Recorded {
    pub source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Refused {
    pub errno: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Watched {
    pub resource: &'static str,
}

impl Numbers {
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
        }
    }

    pub fn register_work(&self, to: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The version that runs", version);
        to.register(
            "reconciles",
            "Passes over one pod, by the worst reason that they ended with",
            self.reconciles.clone(),
        );
        let help = "How long a pass over one pod took";
        to.register_with_unit(
            "reconcile_duration",
            help,
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        to.register(
            "link_operations",
            "Links made, changed and removed",
            self.operations.clone(),
        );
        let help = "How long making, changing or removing a link took";
        to.register_with_unit(
            "link_operation_duration",
            help,
            Unit::Seconds,
            self.operation_duration.clone(),
        );
        let help = "Links put right after somebody else undid them";
        to.register("drift_repairs", help, self.drift_repairs.clone());
        to.register(
            "netlink_errors",
            "Messages that the kernel refused",
            self.netlink_errors.clone(),
        );
        to.register(
            "netlink_changes",
            "Messages sent that change something",
            self.netlink_changes.clone(),
        );
        self.register_api(to);
    }

    fn register_api(&self, to: &mut Registry) {
        let help = "Watches of the API that began anew after a failure";
        to.register("watch_restarts", help, self.watch_restarts.clone());
        to.register(
            "api_writes",
            "Objects written to the API",
            self.api_writes.clone(),
        );
        to.register(
            "api_write_failures",
            "Writes that the API did not take",
            self.api_write_failures.clone(),
        );
        to.register(
            "claim_requests",
            "What was asked of the place where claims to addresses are kept, and what it said",
            self.claim_requests.clone(),
        );
    }

    pub fn register_state(&self, to: &mut Registry) {
        to.register(
            "claims",
            "Claims to addresses of this node, and wishes for one, by state",
            self.claims.clone(),
        );
        to.register(
            "ranges_full",
            "Wishes for an address of a range that has none left",
            self.ranges_full.clone(),
        );
        to.register(
            "links",
            "Links that are asked for, by state",
            self.links.clone(),
        );
        to.register(
            "links_unready",
            "Links that are not as asked for, by reason",
            self.links_unready.clone(),
        );
        to.register(
            "pods_recorded",
            "Pods whose network namespace is known, by who told of it",
            self.pods_recorded.clone(),
        );
        to.register(
            "pods_unrecorded",
            "Pods that no record tells of",
            self.pods_unrecorded.clone(),
        );
        to.register(
            "address_conflicts",
            "Links that overlap a network which has appeared since they were made",
            self.address_conflicts.clone(),
        );
        to.register(
            "refused_manifests",
            "Manifests that are refused now",
            self.refused_manifests.clone(),
        );
        let help =
            "For how long the oldest link is due that only this daemon or the API keeps waiting";
        to.register_with_unit(
            "oldest_unapplied",
            help,
            Unit::Seconds,
            self.oldest_unapplied.clone(),
        );
        to.register(
            "switch_pinned",
            "Whether the switch is where it should be",
            self.switch_pinned.clone(),
        );
    }
}

/// From 0.1 ms, less than one netlink message takes, to 6.5 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}
