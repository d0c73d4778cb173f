#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn report(name: &str, uid: &str, sandbox: &str) -> PodReport {
    let mut report = PodReport::new(name, crds::report::PodReportSpec::default());
    report.metadata.namespace = Some("t".into());
    report.status = Some(PodReportStatus {
        pod_uid: uid.into(),
        sandbox: sandbox.into(),
        ..PodReportStatus::default()
    });
    report
}

/// The API has taken these, one for each wish.
fn answered(queue: &WriteQueue, requests: &[WriteRequest], written: &[PodReport]) {
    for report in written {
        let key = kubeio::watch::key(report);
        queue.has_written(&key, report.status.clone());
    }
    requests.iter().for_each(|_| queue.complete());
}

#[test]
fn of_one_object_the_latest_wish_alone_is_written() {
    let queue = WriteQueue::default();
    queue.write_pod_report(&report("a", "u", "1"));
    queue.write_pod_report(&report("a", "u", "2"));
    let requests = queue.take();
    assert_eq!(requests.len(), 1);
    let WriteRequest::Report(_, ReportWrite::Write(status)) = &requests[0] else {
        panic!("no report")
    };
    assert_eq!(status.sandbox, "2");
}

#[test]
fn what_the_api_has_is_not_written_again() {
    let queue = WriteQueue::default();
    queue.seed(vec![report("a", "u", "1")]);
    queue.write_pod_report(&report("a", "u", "1"));
    assert!(queue.is_drained());
    assert_eq!(queue.written("t", "a").unwrap().sandbox, "1");
    queue.write_pod_report(&report("a", "u", "2"));
    assert!(!queue.is_drained());
}

#[test]
fn a_wish_that_is_on_its_way_is_overtaken_by_the_opposite() {
    let queue = WriteQueue::default();
    queue.seed(vec![report("a", "u", "1")]);
    queue.write_pod_report(&report("a", "u", "2"));
    let in_flight = queue.take();
    // Back to what the API has had: the write that is on its way would win.
    queue.write_pod_report(&report("a", "u", "1"));
    answered(&queue, &in_flight, &[report("a", "u", "2")]);
    assert_eq!(queue.take().len(), 1);
}

#[test]
fn the_same_wish_twice_is_written_once() {
    let queue = WriteQueue::default();
    queue.write_pod_report(&report("a", "u", "1"));
    let in_flight = queue.take();
    queue.write_pod_report(&report("a", "u", "1"));
    answered(&queue, &in_flight, &[report("a", "u", "1")]);
    assert!(queue.take().is_empty());
}

#[test]
fn without_an_answer_nobody_knows_what_the_api_has() {
    let queue = WriteQueue::default();
    queue.seed(vec![report("a", "u", "1")]);
    queue.write_pod_report(&report("a", "u", "2"));
    let unanswered = queue.take().remove(0);
    queue.write_pod_report(&report("a", "u", "1"));
    queue.requeue(unanswered);
    queue.complete();
    let requests = queue.take();
    assert!(
        matches!(&requests[..], [WriteRequest::Report(_, ReportWrite::Write(status))] if status.sandbox == "1"),
        "{}",
        requests.len()
    );
}

#[test]
fn a_failed_write_does_not_undo_a_later_wish() {
    let queue = WriteQueue::default();
    queue.write_pod_report(&report("a", "u", "1"));
    let failed = queue.take().remove(0);
    queue.write_pod_report(&report("a", "u", "2"));
    queue.requeue(failed);
    let requests = queue.take();
    let WriteRequest::Report(_, ReportWrite::Write(status)) = &requests[0] else {
        panic!("no report")
    };
    assert_eq!((requests.len(), status.sandbox.as_str()), (1, "2"));
}

#[test]
fn a_pod_that_never_had_a_report_costs_no_request() {
    let queue = WriteQueue::default();
    queue.remove_pod_report("t", "a", "u");
    assert!(queue.is_drained());
}

#[test]
fn the_report_of_a_later_pod_of_the_name_is_not_taken_away() {
    let queue = WriteQueue::default();
    queue.seed(vec![report("a", "later", "1")]);
    queue.remove_pod_report("t", "a", "earlier");
    assert!(queue.is_drained());
    queue.remove_pod_report("t", "a", "later");
    assert!(!queue.is_drained());
}

#[test]
fn what_was_left_by_pods_that_are_gone_is_taken_away_at_the_start() {
    let queue = WriteQueue::default();
    queue.seed(vec![report("a", "u", "1"), report("b", "v", "1")]);
    queue.keep_only(&["v"]);
    let requests = queue.take();
    assert_eq!(requests.len(), 1);
    assert!(
        matches!(&requests[0], WriteRequest::Report((_, name), ReportWrite::Remove(uid)) if name == "a" && uid == "u")
    );
}

fn key(name: &str) -> ObjectKey {
    ("t".into(), name.into())
}

/// A desk whose report of pod `a` was written.
fn written() -> (WriteQueue, Instant) {
    let queue = WriteQueue::default();
    let a = report("a", "u", "1");
    queue.write_pod_report(&a);
    let in_flight = queue.take();
    answered(&queue, &in_flight, &[a]);
    (queue, Instant::now())
}

/// What is written when all that was observed has been thought over.
fn written_again(queue: &WriteQueue) -> Vec<String> {
    let Some(due) = queue.next_rewrite() else {
        return Vec::new();
    };
    queue.write_again(|_, uid| uid == "u", due);
    let word = |request| match request {
        WriteRequest::Report((_, name), ReportWrite::Write(status)) => {
            format!("{name} {}", status.sandbox)
        }
        _ => panic!("no report is written"),
    };
    queue.take().into_iter().map(word).collect()
}

#[test]
fn a_report_that_was_deleted_is_written_again_within_a_second() {
    let (queue, now) = written();
    queue.observed(&key("a"), None, now);
    assert!(queue.next_rewrite().unwrap() < now + Duration::from_secs(1));
    assert_eq!(written_again(&queue), ["a 1"]);
}

#[test]
fn a_report_that_was_changed_is_written_again() {
    let (queue, now) = written();
    queue.observed(&key("a"), report("a", "u", "other").status, now);
    assert_eq!(written_again(&queue), ["a 1"]);
}

#[test]
fn a_report_that_is_left_to_another_installation_is_not_written_again() {
    let (queue, now) = written();
    queue.forget_pod("t", "a");
    let others = report("a", "u", "of another").status;
    queue.observed(&key("a"), others, now);
    let later = now + Duration::from_secs(60);
    assert!(queue.write_again(|_, _| true, later).is_empty());
    assert!(queue.take().is_empty());
    // Taken back, it is written over what the other has left.
    queue.write_pod_report(&report("a", "u", "1"));
    assert_eq!(queue.take().len(), 1);
}

#[test]
fn a_report_that_a_whole_list_does_not_hold_is_written_again() {
    let (queue, now) = written();
    queue.listed("elsewhere", |_| false, now);
    assert_eq!(written_again(&queue), [""; 0]);
    queue.listed("t", |_| false, now);
    assert_eq!(written_again(&queue), ["a 1"]);
}

#[test]
fn what_the_watch_says_late_is_no_change_of_others() {
    let (queue, now) = written();
    let later = report("a", "u", "2");
    queue.write_pod_report(&later);
    let in_flight = queue.take();
    answered(&queue, &in_flight, std::slice::from_ref(&later));
    for sandbox in ["1", "2"] {
        queue.observed(&key("a"), report("a", "u", sandbox).status, now);
    }
    assert_eq!(written_again(&queue), [""; 0]);
}

#[test]
fn the_report_of_a_pod_that_is_gone_is_not_written_again() {
    let (queue, now) = written();
    queue.observed(&key("a"), None, now);
    let due = queue.next_rewrite().unwrap();
    assert!(queue.write_again(|_, _| false, due).is_empty());
    assert!(queue.is_drained());
    // Nor one that this daemon took away itself.
    let (queue, now) = written();
    queue.remove_pod_report("t", "a", "u");
    queue.take();
    queue.complete();
    queue.observed(&key("a"), None, now);
    assert_eq!(queue.next_rewrite(), None);
}

#[test]
fn a_report_that_this_daemon_never_wrote_is_nothing_to_it() {
    let (queue, now) = written();
    queue.observed(&key("b"), report("b", "v", "1").status, now);
    queue.observed(&key("b"), None, now);
    assert_eq!(queue.next_rewrite(), None);
}

#[test]
fn the_namespaces_are_those_with_reports() {
    let (queue, now) = written();
    assert_eq!(queue.namespaces(), BTreeSet::from(["t".to_owned()]));
    queue.remove_pod_report("t", "a", "u");
    queue.observed(&key("a"), None, now);
    assert!(queue.namespaces().is_empty());
}

#[test]
fn events_that_nobody_takes_do_not_pile_up() {
    let queue = WriteQueue::default();
    for number in 0..MAX_NOTICES + 10 {
        queue.publish(Notice {
            regarding: Default::default(),
            is_warning: false,
            reason: "LinkAdded".into(),
            note: number.to_string(),
            action: String::new(),
        });
    }
    let requests = queue.take();
    assert_eq!(requests.len(), MAX_NOTICES);
    assert!(matches!(&requests[0], WriteRequest::Notice(notice) if notice.note == "10"));
}
