//! The tables of the README say what the program says: no reason, flag or metric more or less.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use clap::CommandFactory;
use crds::{Reason, report::LinkState};
use reconfd::{
    config::Config,
    metrics::{Metrics, Op},
};

/// The first words in code style of the table's rows under a heading.
fn listed(heading: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|part| part.starts_with(heading));
    let rows = section.unwrap_or_default().lines();
    rows.filter_map(|row| row.strip_prefix("| `")?.split(['`', '{']).next())
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_reason_is_explained_in_its_own_words() {
    let known = Reason::ALL.map(|reason| reason.as_str().to_owned());
    assert_eq!(listed("Reasons"), BTreeSet::from(known));
}

#[test]
fn every_flag_is_told() {
    let command = Config::command();
    let flags = command.get_arguments().filter_map(|flag| flag.get_long());
    let known = flags.filter(|flag| !["help", "version"].contains(flag));
    let known: BTreeSet<String> = known.map(|flag| format!("--{flag}")).collect();
    assert_eq!(listed("Flags"), known);
}

#[test]
fn every_metric_is_told() {
    let known: BTreeSet<String> = one_of_each().encode().lines().filter_map(name).collect();
    assert_eq!(listed("Metrics"), known);
}

/// A family without a sample is not written, so each is counted once.
fn one_of_each() -> Metrics {
    let (metrics, moment) = (Metrics::default(), Duration::from_millis(1));
    metrics.reconciled(Reason::LinkReady, moment);
    metrics.operated(Op::Make, "veth", true, moment);
    metrics.set_links("veth", LinkState::Ready, 1);
    metrics.drift_repaired("veth");
    metrics.netlink_refused(1);
    metrics.watch_restarted("pods");
    metrics.wrote("podreports");
    metrics
}

/// `# TYPE reconfd_reconciles counter` → `reconfd_reconciles_total`.
fn name(line: &str) -> Option<String> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    let ending = match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    Some(format!("{name}{ending}"))
}
