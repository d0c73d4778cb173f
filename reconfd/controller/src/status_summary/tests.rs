use super::*;

fn waiting(not_reported: bool) -> Option<PodState> {
    Some(PodState::Waiting { not_reported })
}

#[test]
fn a_pod_that_stays_configured_is_no_news() {
    let mut summary = StatusSummary::default();
    assert!(summary.put("a", Some(PodState::Configured)));
    assert!(!summary.put("a", Some(PodState::Configured)));
    assert!(summary.put("a", None));
    assert!(!summary.put("a", None));
    assert_eq!(summary, StatusSummary::default());
}

#[test]
fn what_a_pod_lacks_may_be_told_in_other_words_each_time() {
    let mut summary = StatusSummary::default();
    assert!(summary.put("a", Some(PodState::Failed)));
    assert!(summary.put("a", Some(PodState::Failed)));
}

#[test]
fn only_nodes_that_have_not_told_are_waited_for() {
    let mut summary = StatusSummary::default();
    summary.put("a", waiting(true));
    summary.put("b", waiting(true));
    assert_eq!(summary.delay(), Delay::Batch);
    summary.put("a", waiting(false));
    assert_eq!(summary.delay(), Delay::Batch);
    summary.put("b", None);
    assert_eq!(summary.delay(), Delay::Now);
}
