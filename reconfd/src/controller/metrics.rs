//! What the controller counts. Labels are closed sets: the number of series does not grow with the cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crds::reserved::{ReadState, ReservedNetwork, SourceState};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::reconcile_key::ObjectKind;
use crate::{address::sources::ALL, http::Encode};

const OK: &str = "ok";
const FAILED: &str = "failed";
/// The kinds that the controller writes.
const WRITTEN: [&str; 5] = [
    "PodConfig",
    "PodConfigAllowance",
    "PeerSlice",
    "PodReport",
    "ReservedNetworks",
];

/// A clone counts into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    numbers: Numbers,
}

#[derive(Clone, Debug)]
struct Numbers {
    writes: Family<Written, Counter>,
    write_duration: Family<OfKind, Histogram>,
    objects: Family<OfKind, Gauge>,
    known: Family<OfKind, Gauge>,
    jobs: Gauge,
    left_to_others: Gauge,
    reserved_networks: Family<OfSource, Gauge>,
    unknown_sources: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Written {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let numbers = Numbers {
            writes: Family::default(),
            write_duration: Family::new_with_constructor(durations),
            objects: Family::default(),
            known: Family::default(),
            jobs: Gauge::default(),
            left_to_others: Gauge::default(),
            reserved_networks: Family::default(),
            unknown_sources: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("reconfd_controller");
        numbers.register(&mut registry);
        let metrics = Self {
            registry: Arc::new(registry),
            numbers,
        };
        metrics.begin();
        metrics
    }
}

impl Numbers {
    fn register(&self, to: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The version that runs", version);
        let help = "Writes to the API, by kind of object and how they ended";
        to.register("writes", help, self.writes.clone());
        let help = "How long a write to the API took";
        let durations = self.write_duration.clone();
        to.register_with_unit("write_duration", help, Unit::Seconds, durations);
        to.register("objects", "Objects that are known", self.objects.clone());
        let help = "Whether all objects of the kind are known";
        to.register("known", help, self.known.clone());
        let help = "Objects that are to be looked at or are being written";
        to.register("jobs", help, self.jobs.clone());
        let help = "Namespaces that are left to another installation, which serves them as well";
        to.register("served_twice", help, self.left_to_others.clone());
        let help = "Networks of the cluster that no link may overlap, by who says so";
        to.register("reserved_networks", help, self.reserved_networks.clone());
        let help = "Sources of networks that cannot be read: with any, no new address is given out";
        to.register("unknown_sources", help, self.unknown_sources.clone());
    }
}

impl Metrics {
    /// What has not happened yet is told as zero.
    fn begin(&self) {
        for kind in ObjectKind::ALL {
            self.set_kind(kind, 0, false);
        }
        for kind in WRITTEN {
            for result in [OK, FAILED] {
                let written = Written { kind, result };
                drop(self.numbers.writes.get_or_create(&written));
            }
            let of_kind = OfKind { kind };
            drop(self.numbers.write_duration.get_or_create(&of_kind));
        }
        self.set_networks([], &[]);
    }

    pub fn wrote(&self, kind: &'static str, is_done: bool, took: Duration) {
        let result = if is_done { OK } else { FAILED };
        let written = Written { kind, result };
        self.numbers.writes.get_or_create(&written).inc();
        let durations = self.numbers.write_duration.get_or_create(&OfKind { kind });
        durations.observe(took.as_secs_f64());
    }

    pub fn set_kind(&self, kind: ObjectKind, objects: usize, is_known: bool) {
        let kind = OfKind {
            kind: kind.as_str(),
        };
        set(&self.numbers.objects.get_or_create(&kind), objects);
        set(&self.numbers.known.get_or_create(&kind), is_known.into());
    }

    /// What is published of the networks, and of those who know them.
    pub fn set_networks<'a>(
        &self,
        networks: impl IntoIterator<Item = &'a ReservedNetwork>,
        states: &[SourceState],
    ) {
        let sources = ALL.iter().map(|asked| (asked.source.to_string(), 0));
        let mut counts: BTreeMap<String, usize> = sources.collect();
        for network in networks {
            *counts.entry(network.source.to_string()).or_default() += 1;
        }
        for (source, count) in counts {
            let gauge = self
                .numbers
                .reserved_networks
                .get_or_create(&OfSource { source });
            set(&gauge, count);
        }
        let unknown = states
            .iter()
            .filter(|state| state.state == ReadState::Unknown);
        set(&self.numbers.unknown_sources, unknown.count());
    }

    pub fn set_left_to_others(&self, namespaces: usize) {
        set(&self.numbers.left_to_others, namespaces);
    }

    pub fn set_jobs(&self, jobs: usize) {
        set(&self.numbers.jobs, jobs);
    }
}

impl Encode for Metrics {
    fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail; an empty answer would be told by the scraper.
        if text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

fn set(gauge: &Gauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

/// From 1 ms to 32 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}
