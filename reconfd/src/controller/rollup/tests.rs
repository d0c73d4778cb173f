use super::*;

fn waiting(is_untold: bool) -> Option<Verdict> {
    Some(Verdict::Waiting { is_untold })
}

#[test]
fn a_pod_that_stays_configured_is_no_news() {
    let mut roll = Roll::default();
    assert!(roll.put("a", Some(Verdict::Configured)));
    assert!(!roll.put("a", Some(Verdict::Configured)));
    assert!(roll.put("a", None));
    assert!(!roll.put("a", None));
    assert_eq!(roll, Roll::default());
}

#[test]
fn what_a_pod_lacks_may_be_told_in_other_words_each_time() {
    let mut roll = Roll::default();
    assert!(roll.put("a", Some(Verdict::Failed)));
    assert!(roll.put("a", Some(Verdict::Failed)));
}

#[test]
fn only_nodes_that_have_not_told_are_waited_for() {
    let mut roll = Roll::default();
    roll.put("a", waiting(true));
    roll.put("b", waiting(true));
    assert_eq!(roll.wait(), Wait::Soon);
    roll.put("a", waiting(false));
    assert_eq!(roll.wait(), Wait::Soon);
    roll.put("b", None);
    assert_eq!(roll.wait(), Wait::Now);
}
