use cluster;
use kube::runtime::watcher::Event;
use serde_json::json;
use store::{Pod, StoreWriter};

use super::*;

/// Tells of a cluster where the pod `a` is, whose report an earlier daemon wrote.
fn teller(phase: &str) -> (Reporter, cluster::WriteQueue) {
    let (mut writer, sink) = (StoreWriter::of_api(), cluster::WriteQueue::default());
    writer.ready();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"namespace": "t", "name": "a", "uid": "u"},
        "spec": {"nodeName": "n0"}, "status": {"phase": phase},
    }))
    .unwrap_or_default();
    writer.apply(&Event::Apply(pod));
    let mut report = PodReport::new("a", crds::report::PodReportSpec::default());
    report.metadata.namespace = Some("t".into());
    report.status = Some(PodReportStatus {
        pod_uid: "u".into(),
        node: "n0".into(),
        ..PodReportStatus::default()
    });
    sink.seed(vec![report]);
    let to = (writer.stores(), ReportSink::Cluster(sink.clone()));
    let teller = Reporter::new(
        to,
        Metrics::default(),
        "n0".into(),
        ReporterOptions::default(),
    );
    (teller, sink)
}

#[test]
fn a_start_keeps_the_report_of_a_living_pod_whose_turn_is_still_to_come() {
    let (mut teller, sink) = teller("Running");
    teller.take(ReportJob::Started);
    assert!(sink.is_drained(), "it was taken away");
    // When the turn comes, it decides.
    let none = example::outcome(Vec::new(), SystemTime::UNIX_EPOCH);
    teller.take(ReportJob::Pod(Box::new(none)));
    assert!(!sink.is_drained(), "nothing is asked for in the pod");
}

#[test]
fn a_start_takes_away_the_report_of_a_pod_that_has_ended() {
    let (mut teller, sink) = teller("Succeeded");
    teller.take(ReportJob::Started);
    assert!(!sink.is_drained());
}

fn with(state: LinkState, reason: Reason) -> ReportJob {
    let links = vec![example::link("l", state, reason, &[])];
    let outcome = example::outcome(links, SystemTime::UNIX_EPOCH);
    ReportJob::Pod(Box::new(outcome))
}

#[test]
fn a_link_that_is_attached_meanwhile_costs_one_report() {
    let (mut teller, sink) = teller("Running");
    teller.take(with(LinkState::Pending, Reason::Reconciling));
    teller.report_unfinished(Some(Instant::now()));
    assert!(sink.is_drained(), "it was reported too early");
    teller.take(with(LinkState::Ready, Reason::LinkReady));
    assert!(!sink.is_drained());
    assert!(teller.unreported.is_empty(), "it would be reported again");
}

#[test]
fn a_link_that_takes_longer_is_reported_meanwhile() {
    let (mut teller, sink) = teller("Running");
    teller.take(with(LinkState::Pending, Reason::Reconciling));
    let first = teller.until_unfinished(Instant::now());
    assert!(first < IDLE, "{first:?}");
    // Outcomes that are no further do not put it off.
    teller.take(with(LinkState::Pending, Reason::Reconciling));
    assert!(teller.until_unfinished(Instant::now()) <= first);
    teller.report_unfinished(Some(Instant::now() + first));
    assert!(!sink.is_drained());
}

#[test]
fn what_waits_for_others_is_reported_at_once() {
    let (mut teller, sink) = teller("Running");
    teller.take(with(LinkState::Pending, Reason::ClaimPending));
    assert!(!sink.is_drained());
}
