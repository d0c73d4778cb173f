//! The tables of the README say what the program says: no reason, flag or metric more or less.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use clap::{Args as _, Command, CommandFactory};
use crds::{Reason, report::LinkState};
use reconfd::{
    address::claims::Counts,
    cli::ControllerConfig,
    config::Config,
    controller,
    http::Encode as _,
    metrics::{Metrics, Op},
};

/// The first words in code style of the table's rows under a heading.
fn listed(heading: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(path).unwrap();
    let mut sections = text.split("\n## ");
    let section = sections.find(|part| part.lines().next() == Some(heading));
    let rows = section.unwrap_or_default().lines();
    rows.filter_map(|row| row.strip_prefix("| `")?.split(['`', '{']).next())
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_reason_is_explained_in_its_own_words() {
    let known = Reason::ALL.map(|reason| reason.as_str().to_owned());
    assert_eq!(listed("Reasons, and what to do"), BTreeSet::from(known));
}

/// What a command prints of a pod's namespace, and what it resolves there, is the tenant's.
#[test]
fn no_page_sends_an_administrator_into_a_pods_namespace() {
    for page in ["README.md", "SECURITY.md", "install/README.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
        let text = fs::read_to_string(path).unwrap();
        for command in ["ip -n ", "bridge -n ", "tc -n ", "ip netns exec "] {
            for rest in text.split(command).skip(1) {
                assert!(
                    rest.starts_with("podconfig"),
                    "{page}: {command}{}",
                    &rest[..20]
                );
            }
        }
    }
}

#[test]
fn every_flag_is_told() {
    assert_eq!(listed("Flags of reconfd"), flags(&Config::command()));
    let controller = ControllerConfig::augment_args(Command::new("controller"));
    assert_eq!(listed("Flags of reconfd controller"), flags(&controller));
}

fn flags(command: &Command) -> BTreeSet<String> {
    let flags = command.get_arguments().filter_map(|flag| flag.get_long());
    let known = flags.filter(|flag| !["help", "version"].contains(flag));
    known.map(|flag| format!("--{flag}")).collect()
}

#[test]
fn every_metric_is_told() {
    let names = |text: String| text.lines().filter_map(name).collect::<BTreeSet<String>>();
    assert_eq!(listed("Metrics"), names(one_of_each().encode()));
    let controller = controller::metrics::Metrics::default();
    assert_eq!(
        listed("Metrics of the controller"),
        names(controller.encode())
    );
}

/// A family without a sample is not written, so each is counted once.
fn one_of_each() -> Metrics {
    let (metrics, moment) = (Metrics::default(), Duration::from_millis(1));
    metrics.reconciled(Reason::LinkReady, moment);
    metrics.operated(Op::Make, "veth", true, moment);
    metrics.set_links_unready(&[(Reason::RangeFull, 1)].into());
    metrics.set_links("veth", LinkState::Ready, 1);
    metrics.drift_repaired("veth");
    metrics.netlink_refused(1);
    metrics.watch_restarted("pods");
    metrics.wrote("podreports");
    metrics.claim_asked("create", "ok");
    metrics.set_claims(Counts::default());
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
