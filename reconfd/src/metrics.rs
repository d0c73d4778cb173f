//! What the daemon counts. Labels are closed sets, never a pod's name: the number of series does not
//! grow with the cluster. No global: whoever counts holds one of these.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crds::{
    Reason,
    report::{LinkState, RecordSource},
};
use nix::errno::Errno;
use prometheus_client::{encoding::text, metrics::gauge::Gauge, registry::Registry};

use crate::{address::claims::Counts, http::Encode};

/// The series: their labels, names and helps.
mod series;
use series::{
    Asked, Claimed, Ended, Links, Numbers, OfKind, Operated, Operation, Recorded, Refused, Unready,
    Watched,
};

/// A clone counts into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    numbers: Numbers,
}

/// What was done to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Make,
    Change,
    Remove,
}

impl Default for Metrics {
    fn default() -> Self {
        let numbers = Numbers::new();
        let mut registry = Registry::with_prefix("reconfd");
        numbers.register_work(&mut registry);
        numbers.register_state(&mut registry);
        let metrics = Self {
            registry: Arc::new(registry),
            numbers,
        };
        for source in RecordSource::ALL {
            metrics.set_recorded(source, 0);
        }
        metrics
    }
}

impl Metrics {
    /// A pass over one pod ended: `LinkReady` when all is as wanted, else with the worst reason.
    pub fn reconciled(&self, result: Reason, took: Duration) {
        self.numbers
            .reconciles
            .get_or_create(&Ended {
                result: result.as_str(),
            })
            .inc();
        self.numbers.reconcile_duration.observe(took.as_secs_f64());
    }

    /// One link was made, changed or removed, or it was not.
    pub fn operated(&self, op: Op, kind: &'static str, done: bool, took: Duration) {
        let (op, result) = (op.as_str(), if done { "ok" } else { "failed" });
        self.numbers
            .operations
            .get_or_create(&Operated { op, kind, result })
            .inc();
        self.numbers
            .operation_duration
            .get_or_create(&Operation { op, kind })
            .observe(took.as_secs_f64());
    }

    /// How many links of a kind are in a state now.
    pub fn set_links(&self, kind: &'static str, state: LinkState, links: usize) {
        let state = match state {
            LinkState::Ready => "Ready",
            LinkState::Pending => "Pending",
            LinkState::Failed => "Failed",
        };
        set(
            &self.numbers.links.get_or_create(&Links { kind, state }),
            links,
        );
    }

    /// How many links are not as asked for now, by reason. A reason that was there stays, with zero.
    pub fn set_links_unready(&self, links: &HashMap<Reason, usize>) {
        let unready = &self.numbers.links_unready;
        let gauge = |reason: Reason| Unready {
            reason: reason.as_str(),
        };
        for reason in Reason::ALL {
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

    /// Somebody else undid a link and it was put right.
    pub fn drift_repaired(&self, kind: &'static str) {
        self.numbers
            .drift_repairs
            .get_or_create(&OfKind { kind })
            .inc();
    }

    /// Of how many pods of this node somebody told where their namespace is, by who did.
    pub fn set_recorded(&self, source: RecordSource, pods: usize) {
        let source = match source {
            RecordSource::Plugin => "plugin",
            RecordSource::Cache => "cache",
            RecordSource::Cri => "cri",
        };
        let recorded = &self.numbers.pods_recorded;
        set(&recorded.get_or_create(&Recorded { source }), pods);
    }

    /// How many links of this node overlap a network that has appeared since they were made.
    pub fn set_address_conflicts(&self, links: usize) {
        set(&self.numbers.address_conflicts, links);
    }

    /// Of how many pods of this node nobody did.
    pub fn set_unrecorded(&self, pods: usize) {
        set(&self.numbers.pods_unrecorded, pods);
    }

    /// The kernel refused a message; `errno` as the message has it, of either sign.
    pub fn netlink_refused(&self, errno: i32) {
        let errno = format!("{:?}", Errno::from_raw(errno.saturating_abs()));
        self.numbers
            .netlink_errors
            .get_or_create(&Refused { errno })
            .inc();
    }

    /// So many messages were sent that change something.
    pub fn netlink_changes(&self, messages: usize) {
        self.numbers.netlink_changes.inc_by(messages as u64);
    }

    pub fn set_refused_manifests(&self, manifests: usize) {
        set(&self.numbers.refused_manifests, manifests);
    }

    /// A watch of the API began anew after a failure.
    pub fn watch_restarted(&self, resource: &'static str) {
        let restarts = self
            .numbers
            .watch_restarts
            .get_or_create(&Watched { resource });
        restarts.inc();
    }

    /// Something was written to the API.
    pub fn wrote(&self, resource: &'static str) {
        self.numbers
            .api_writes
            .get_or_create(&Watched { resource })
            .inc();
    }

    /// The API did not take a write.
    pub fn write_refused(&self) {
        self.numbers.api_write_failures.inc();
    }

    /// Something was asked of the place where claims are kept.
    pub fn claim_asked(&self, verb: &'static str, result: &'static str) {
        let asked = &self.numbers.claim_requests;
        asked.get_or_create(&Asked { verb, result }).inc();
    }

    /// How many claims there are on this node now.
    pub fn set_claims(&self, counts: Counts) {
        let states = [
            ("Held", counts.held),
            ("Resting", counts.resting),
            ("Wanted", counts.waiting),
        ];
        for (state, claims) in states {
            set(
                &self.numbers.claims.get_or_create(&Claimed { state }),
                claims,
            );
        }
        set(&self.numbers.ranges_full, counts.full);
    }

    /// For how long the oldest link has been due; zero when none is.
    pub fn set_oldest_unapplied(&self, age: Duration) {
        self.numbers.oldest_unapplied.set(age.as_secs_f64());
    }

    pub fn set_switch_pinned(&self, pinned: bool) {
        self.numbers.switch_pinned.set(i64::from(pinned));
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

impl Op {
    fn as_str(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }
}

fn set(gauge: &Gauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests;
