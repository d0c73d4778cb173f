//! The page of metrics, from what the programs serve at `/metrics`.

use std::{collections::BTreeSet, time::Duration};

use address::claims::Counts;
use crds::{Reason, report::LinkState};
use telemetry::{
    http::Encode,
    metrics::{Metrics, Op},
};

use crate::{code, row, table};

const LABELS: &str = "\
## Labels

Labels are closed sets, never the name of a pod: the number of series does not grow with the cluster.

| label | values |
|---|---|
| `result` of `reconfd_reconciles_total` | `LinkReady`, or the worst [reason](../troubleshooting.md#reasons) of the pass |
| `reason` | the reason of a link that is not ready; a link that cannot be made is counted here and not in `reconfd_oldest_unapplied_seconds` |
| `op` | `make`, `change`, `remove` |
| `kind` | of the daemon: the kind of a link, and `vxlan` also for the peers of a tunnel and the peer filter; of the controller: the kind of an object |
| `type` | the type of a CNI plugin; only those of the node's list are executed |
| `command` | `ADD`, `DEL`, `CHECK`, `STATUS`, `VERSION`, `GC` |
| `state` of `reconfd_attachments` | `Attaching`, `Attached`, `Detaching`, `Unreadable` (a file of the store that is left alone) |
| `source` of `reconfd_pods_recorded` | `plugin`, `cache` (the runtime's cached results) or `cri` |
| `state` of `reconfd_claims` | `Held`, `Resting` (in quarantine), `Wanted` (requested, not held yet) |
| `result` of `reconfd_claim_requests_total` | `ok`, `conflict` (another writer was faster), `failed` |
| `result` of other metrics | `ok`, `failed` |
";

pub fn page() -> String {
    let mut page =
        "# Metrics\n\nDaemon and controller serve OpenMetrics at `/metrics`.\n\n".to_owned();
    page += &section("Metrics of the daemon", &one_of_each());
    page += &section(
        "Metrics of the controller",
        &controller::metrics::Metrics::default(),
    );
    page + LABELS
}

fn section<M: Encode + std::fmt::Debug>(heading: &str, metrics: &M) -> String {
    let families = families(&metrics.encode());
    let registered = format!("{metrics:?}").matches("Descriptor {").count();
    assert_eq!(
        families.len(),
        registered,
        "a family without a sample is not encoded: give it one in `one_of_each`"
    );
    let mut text = format!(
        "## {heading}\n\n{}",
        table(&["metric", "type", "labels", "description"])
    );
    for family in families {
        let labels = family.labels.iter().map(|label| code(label));
        let labels = labels.collect::<Vec<_>>().join(", ");
        text += &row(&[&code(&family.name), &family.kind, &labels, &family.help]);
    }
    text + "\n"
}

#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The families in the order in which they were registered. A `# HELP` line comes first.
fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            families.push(Family {
                name: name.to_owned(),
                help: help.to_owned(),
                ..Family::default()
            });
            continue;
        }
        let Some(family) = families.last_mut() else {
            continue;
        };
        if let Some((_, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            let ending = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            (family.name, family.kind) = (format!("{}{ending}", family.name), kind.to_owned());
        } else if let Some((_, labels)) = line.split_once('{') {
            let labels = labels.split('}').next().unwrap_or_default().split(',');
            let names = labels.filter_map(|label| label.split_once('=').map(|(name, _)| name));
            let names = names.filter(|name| *name != "le").map(ToOwned::to_owned);
            family.labels.extend(names);
        }
    }
    families
}

/// A family without a sample is not encoded, so each is counted once.
fn one_of_each() -> Metrics {
    let (metrics, moment) = (Metrics::default(), Duration::from_millis(1));
    metrics.reconciled(Reason::LinkReady, moment);
    metrics.operated(Op::Make, "veth", true, moment);
    metrics.set_links_unready(&[(Reason::RangeFull, 1)].into());
    metrics.set_links("veth", LinkState::Ready, 1);
    metrics.drift_repaired("veth");
    metrics.netlink_refused(1);
    metrics.plugin_ran("ADD", "macvlan", true, moment);
    metrics.set_attachments(&[("Attached", 1)], 0);
    metrics.watch_restarted("pods");
    metrics.wrote("podreports");
    metrics.claim_requested("create", "ok");
    metrics.set_claims(Counts::default());
    metrics
}
