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
fn answered(sink: &Sink, wishes: &[Wish], written: &[PodReport]) {
    for report in written {
        let key = super::super::watch::key(report);
        sink.has_written(&key, report.status.clone());
    }
    wishes.iter().for_each(|_| sink.is_answered());
}

#[test]
fn of_one_object_the_latest_wish_alone_is_written() {
    let sink = Sink::default();
    sink.write_pod_report(&report("a", "u", "1"));
    sink.write_pod_report(&report("a", "u", "2"));
    let wishes = sink.take();
    assert_eq!(wishes.len(), 1);
    let Wish::Report(_, ReportWish::Write(status)) = &wishes[0] else {
        panic!("no report")
    };
    assert_eq!(status.sandbox, "2");
}

#[test]
fn what_the_api_has_is_not_written_again() {
    let sink = Sink::default();
    sink.found_first(vec![report("a", "u", "1")]);
    sink.write_pod_report(&report("a", "u", "1"));
    assert!(sink.is_done());
    assert_eq!(sink.written("t", "a").unwrap().sandbox, "1");
    sink.write_pod_report(&report("a", "u", "2"));
    assert!(!sink.is_done());
}

#[test]
fn a_wish_that_is_on_its_way_is_overtaken_by_the_opposite() {
    let sink = Sink::default();
    sink.found_first(vec![report("a", "u", "1")]);
    sink.write_pod_report(&report("a", "u", "2"));
    let under_way = sink.take();
    // Back to what the API has had: the write that is on its way would win.
    sink.write_pod_report(&report("a", "u", "1"));
    answered(&sink, &under_way, &[report("a", "u", "2")]);
    assert_eq!(sink.take().len(), 1);
}

#[test]
fn the_same_wish_twice_is_written_once() {
    let sink = Sink::default();
    sink.write_pod_report(&report("a", "u", "1"));
    let under_way = sink.take();
    sink.write_pod_report(&report("a", "u", "1"));
    answered(&sink, &under_way, &[report("a", "u", "1")]);
    assert!(sink.take().is_empty());
}

#[test]
fn without_an_answer_nobody_knows_what_the_api_has() {
    let sink = Sink::default();
    sink.found_first(vec![report("a", "u", "1")]);
    sink.write_pod_report(&report("a", "u", "2"));
    let unanswered = sink.take().remove(0);
    sink.write_pod_report(&report("a", "u", "1"));
    sink.put_back(unanswered);
    sink.is_answered();
    let wishes = sink.take();
    assert!(
        matches!(&wishes[..], [Wish::Report(_, ReportWish::Write(status))] if status.sandbox == "1"),
        "{}",
        wishes.len()
    );
}

#[test]
fn a_failed_write_does_not_undo_a_later_wish() {
    let sink = Sink::default();
    sink.write_pod_report(&report("a", "u", "1"));
    let failed = sink.take().remove(0);
    sink.write_pod_report(&report("a", "u", "2"));
    sink.put_back(failed);
    let wishes = sink.take();
    let Wish::Report(_, ReportWish::Write(status)) = &wishes[0] else {
        panic!("no report")
    };
    assert_eq!((wishes.len(), status.sandbox.as_str()), (1, "2"));
}

#[test]
fn a_pod_that_never_had_a_report_costs_no_request() {
    let sink = Sink::default();
    sink.remove_pod_report("t", "a", "u");
    assert!(sink.is_done());
}

#[test]
fn the_report_of_a_later_pod_of_the_name_is_not_taken_away() {
    let sink = Sink::default();
    sink.found_first(vec![report("a", "later", "1")]);
    sink.remove_pod_report("t", "a", "earlier");
    assert!(sink.is_done());
    sink.remove_pod_report("t", "a", "later");
    assert!(!sink.is_done());
}

#[test]
fn what_was_left_by_pods_that_are_gone_is_taken_away_at_the_start() {
    let sink = Sink::default();
    sink.found_first(vec![report("a", "u", "1"), report("b", "v", "1")]);
    sink.keep_only(&["v"]);
    let wishes = sink.take();
    assert_eq!(wishes.len(), 1);
    assert!(
        matches!(&wishes[0], Wish::Report((_, name), ReportWish::Remove(uid)) if name == "a" && uid == "u")
    );
}

fn key(name: &str) -> Key {
    ("t".into(), name.into())
}

/// A desk whose report of pod `a` was written.
fn written() -> (Sink, Instant) {
    let sink = Sink::default();
    let a = report("a", "u", "1");
    sink.write_pod_report(&a);
    let under_way = sink.take();
    answered(&sink, &under_way, &[a]);
    (sink, Instant::now())
}

/// What is written when all that was observed has been thought over.
fn written_again(sink: &Sink) -> Vec<String> {
    let Some(due) = sink.next_rewrite() else {
        return Vec::new();
    };
    sink.write_again(|_, uid| uid == "u", due);
    let word = |wish| match wish {
        Wish::Report((_, name), ReportWish::Write(status)) => format!("{name} {}", status.sandbox),
        _ => panic!("no report is written"),
    };
    sink.take().into_iter().map(word).collect()
}

#[test]
fn a_report_that_was_deleted_is_written_again_within_a_second() {
    let (sink, now) = written();
    sink.observed(&key("a"), None, now);
    assert!(sink.next_rewrite().unwrap() < now + Duration::from_secs(1));
    assert_eq!(written_again(&sink), ["a 1"]);
}

#[test]
fn a_report_that_was_changed_is_written_again() {
    let (sink, now) = written();
    sink.observed(&key("a"), report("a", "u", "other").status, now);
    assert_eq!(written_again(&sink), ["a 1"]);
}

#[test]
fn a_report_that_is_left_to_another_installation_is_not_written_again() {
    let (sink, now) = written();
    sink.leave_pod("t", "a");
    let others = report("a", "u", "of another").status;
    sink.observed(&key("a"), others, now);
    let later = now + Duration::from_secs(60);
    assert!(sink.write_again(|_, _| true, later).is_empty());
    assert!(sink.take().is_empty());
    // Taken back, it is written over what the other has left.
    sink.write_pod_report(&report("a", "u", "1"));
    assert_eq!(sink.take().len(), 1);
}

#[test]
fn a_report_that_a_whole_list_does_not_hold_is_written_again() {
    let (sink, now) = written();
    sink.listed("elsewhere", |_| false, now);
    assert_eq!(written_again(&sink), [""; 0]);
    sink.listed("t", |_| false, now);
    assert_eq!(written_again(&sink), ["a 1"]);
}

#[test]
fn what_the_watch_says_late_is_no_change_of_others() {
    let (sink, now) = written();
    let later = report("a", "u", "2");
    sink.write_pod_report(&later);
    let under_way = sink.take();
    answered(&sink, &under_way, std::slice::from_ref(&later));
    for sandbox in ["1", "2"] {
        sink.observed(&key("a"), report("a", "u", sandbox).status, now);
    }
    assert_eq!(written_again(&sink), [""; 0]);
}

#[test]
fn the_report_of_a_pod_that_is_gone_is_not_written_again() {
    let (sink, now) = written();
    sink.observed(&key("a"), None, now);
    let due = sink.next_rewrite().unwrap();
    assert!(sink.write_again(|_, _| false, due).is_empty());
    assert!(sink.is_done());
    // Nor one that this daemon took away itself.
    let (sink, now) = written();
    sink.remove_pod_report("t", "a", "u");
    sink.take();
    sink.is_answered();
    sink.observed(&key("a"), None, now);
    assert_eq!(sink.next_rewrite(), None);
}

#[test]
fn a_report_that_this_daemon_never_wrote_is_nothing_to_it() {
    let (sink, now) = written();
    sink.observed(&key("b"), report("b", "v", "1").status, now);
    sink.observed(&key("b"), None, now);
    assert_eq!(sink.next_rewrite(), None);
}

#[test]
fn the_namespaces_are_those_with_reports() {
    let (sink, now) = written();
    assert_eq!(sink.namespaces(), BTreeSet::from(["t".to_owned()]));
    sink.remove_pod_report("t", "a", "u");
    sink.observed(&key("a"), None, now);
    assert!(sink.namespaces().is_empty());
}

#[test]
fn events_that_nobody_takes_do_not_pile_up() {
    let sink = Sink::default();
    for number in 0..MOST_NOTICES + 10 {
        sink.tell(Notice {
            regarding: Default::default(),
            is_warning: false,
            reason: "LinkAdded".into(),
            note: number.to_string(),
            action: String::new(),
        });
    }
    let wishes = sink.take();
    assert_eq!(wishes.len(), MOST_NOTICES);
    assert!(matches!(&wishes[0], Wish::Notice(notice) if notice.note == "10"));
}
