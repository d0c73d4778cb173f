//! Metrics of the controller. Label values are closed sets, so the number of series does not grow with the
//! cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crds::reserved::{ReadState, ReservedNetwork, SourceState};
use telemetry::{http::Encode, metrics::set};

use address::sources::ALL;
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
use store::kinds::ObjectKind;

const OK: &str = "ok";
const FAILED: &str = "failed";
/// Kinds that the controller writes.
const WRITTEN: [&str; 5] = [
    "PodConfig",
    "PodConfigAllowance",
    "PeerSlice",
    "PodReport",
    "ReservedNetworks",
];

/// Clones share the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    series: ControllerSeries,
}

#[derive(Clone, Debug)]
struct ControllerSeries {
    writes: Family<WriteLabels, Counter>,
    write_duration: Family<ObjectKindLabels, Histogram>,
    objects: Family<ObjectKindLabels, Gauge>,
    known: Family<ObjectKindLabels, Gauge>,
    jobs: Gauge,
    served_elsewhere: Gauge,
    reserved_networks: Family<SourceLabels, Gauge>,
    unknown_sources: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectKindLabels {
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let series = ControllerSeries {
            writes: Family::default(),
            write_duration: Family::new_with_constructor(durations),
            objects: Family::default(),
            known: Family::default(),
            jobs: Gauge::default(),
            served_elsewhere: Gauge::default(),
            reserved_networks: Family::default(),
            unknown_sources: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("reconfd_controller");
        series.register(&mut registry);
        let metrics = Self {
            registry: Arc::new(registry),
            series,
        };
        metrics.initialize();
        metrics
    }
}

impl ControllerSeries {
    fn register(&self, to: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "Version of the running program", version);
        let help = "Writes to the API, by kind and result";
        to.register("writes", help, self.writes.clone());
        let help = "Duration of writes to the API";
        let durations = self.write_duration.clone();
        to.register_with_unit("write_duration", help, Unit::Seconds, durations);
        to.register(
            "objects",
            "Objects in the controller's index",
            self.objects.clone(),
        );
        let help = "Whether all watches of the kind are synced";
        to.register("known", help, self.known.clone());
        let help = "Keys in the work queue or being reconciled";
        to.register("jobs", help, self.jobs.clone());
        let help = "Namespaces ignored because another installation with precedence serves them";
        to.register("served_twice", help, self.served_elsewhere.clone());
        let help = "Networks that no link may overlap, by source";
        to.register("reserved_networks", help, self.reserved_networks.clone());
        let help =
            "Sources of networks that cannot be read; with any, no new addresses are allocated";
        to.register("unknown_sources", help, self.unknown_sources.clone());
    }
}

impl Metrics {
    /// Initializes all series, so that they are exported as zero.
    fn initialize(&self) {
        for kind in ObjectKind::of_controller() {
            self.set_kind(kind, 0, false);
        }
        for kind in WRITTEN {
            for result in [OK, FAILED] {
                let written = WriteLabels { kind, result };
                drop(self.series.writes.get_or_create(&written));
            }
            let of_kind = ObjectKindLabels { kind };
            drop(self.series.write_duration.get_or_create(&of_kind));
        }
        self.set_networks([], &[]);
    }

    /// Records a write and its duration.
    pub fn wrote(&self, kind: &'static str, is_done: bool, took: Duration) {
        let result = if is_done { OK } else { FAILED };
        let written = WriteLabels { kind, result };
        self.series.writes.get_or_create(&written).inc();
        let durations = self
            .series
            .write_duration
            .get_or_create(&ObjectKindLabels { kind });
        durations.observe(took.as_secs_f64());
    }

    /// Sets the number of objects of a kind, and whether it is synced.
    pub fn set_kind(&self, kind: ObjectKind, objects: usize, is_synced: bool) {
        let kind = ObjectKindLabels {
            kind: kind.as_str(),
        };
        set(&self.series.objects.get_or_create(&kind), objects);
        set(&self.series.known.get_or_create(&kind), is_synced.into());
    }

    /// Sets the number of published networks by source, and of unknown sources.
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
                .series
                .reserved_networks
                .get_or_create(&SourceLabels { source });
            set(&gauge, count);
        }
        let unknown = states
            .iter()
            .filter(|state| state.state == ReadState::Unknown);
        set(&self.series.unknown_sources, unknown.count());
    }

    pub fn set_served_elsewhere(&self, namespaces: usize) {
        set(&self.series.served_elsewhere, namespaces);
    }

    pub fn set_jobs(&self, jobs: usize) {
        set(&self.series.jobs, jobs);
    }
}

impl Encode for Metrics {
    fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Buckets from 1 ms to 32 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}
