#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_first_repairs_follow_at_once_and_later_ones_wait_longer_and_longer() {
    let (mut applied, now) = (AppliedState::default(), Instant::now());
    for _ in 0..FREE_REPAIRS {
        applied.repaired(now);
        assert!(applied.may_observe(now));
    }
    applied.repaired(now);
    assert!(applied.must_back_off(now));
    assert_eq!(applied.due, Some(now + FIRST_WAIT));
    applied.repaired(now);
    assert!(applied.must_back_off(now + FIRST_WAIT));
    assert!(!applied.must_back_off(now + 2 * FIRST_WAIT));
}

#[test]
fn a_wait_is_reported_once() {
    let (mut applied, now) = (AppliedState::default(), Instant::now());
    (0..=FREE_REPAIRS).for_each(|_| applied.repaired(now));
    assert!(applied.may_observe(now));
    assert!(!applied.may_observe(now));
    assert!(applied.may_observe(now + FIRST_WAIT));
}

#[test]
fn a_pod_left_in_peace_starts_afresh() {
    let (mut applied, now) = (AppliedState::default(), Instant::now());
    (0..20).for_each(|_| applied.repaired(now));
    assert!(applied.must_back_off(now + LONGEST_WAIT - Duration::from_millis(1)));
    applied.repaired(now + RESET_AFTER + Duration::from_secs(1));
    assert!(!applied.must_back_off(now + RESET_AFTER + Duration::from_secs(1)));
}

#[test]
fn a_pod_that_plays_with_its_links_is_looked_at_less_and_less() {
    let (mut applied, mut now) = (AppliedState::default(), Instant::now());
    let mut looks = 0;
    let end = now + Duration::from_secs(10);
    while now < end {
        applied.retry_soon(now);
        now += Duration::from_millis(1);
        if applied.due.is_some_and(|due| due <= now) {
            applied.due = None;
            looks += 1;
        }
    }
    assert!((2..12).contains(&looks), "{looks}");
}

#[test]
fn events_of_own_changes_need_no_observation() {
    let mut applied = AppliedState::default();
    let end = AppliedPodEnd {
        name: "data0".into(),
        mtu: 1500,
        mac: [1; 6],
        addresses: vec!["10.1.0.1/24".parse().unwrap()],
    };
    applied.pod_ends.insert(7, end);
    let echo = LinkInfo {
        index: 7,
        name: "data0".into(),
        up: true,
        mtu: 1500,
        mac: Some([1; 6]),
        ..LinkInfo::default()
    };
    let class = |row: LinkInfo| applied.classify(&NetnsEvent::Link(Box::new(row)));
    assert_eq!(class(echo.clone()), EventClass::OwnChange);
    assert_eq!(
        class(LinkInfo {
            up: false,
            ..echo.clone()
        }),
        EventClass::Drift
    );
    assert_eq!(
        class(LinkInfo {
            name: "mine".into(),
            ..echo
        }),
        EventClass::Drift
    );
    let gone = |address: &str| NetnsEvent::AddressGone {
        index: 7,
        network: address.parse().unwrap(),
    };
    assert_eq!(applied.classify(&gone("10.1.0.1/24")), EventClass::Drift);
    // One that was taken away on purpose, or that is the pod's own.
    assert_eq!(
        applied.classify(&gone("10.1.0.9/24")),
        EventClass::OwnChange
    );
    assert_eq!(
        applied.classify(&NetnsEvent::LinkGone(7)),
        EventClass::Drift
    );
    assert_eq!(
        applied.classify(&NetnsEvent::LinkGone(8)),
        EventClass::OwnChange
    );
}

#[test]
fn a_link_that_the_pod_itself_refuses_is_tried_again_ever_more_seldom() {
    let (mut applied, start) = (AppliedState::default(), Instant::now());
    let mut now = start;
    let mut waits = Vec::new();
    for _ in 0..9 {
        applied.overlaps_in_pod(true, now);
        let next = applied.next().unwrap();
        // An observation that came of something else does not put it off.
        applied.overlaps_in_pod(true, now + Duration::from_millis(10));
        assert_eq!(applied.next(), Some(next));
        assert!(!applied.take_due(next - Duration::from_millis(1)));
        assert!(applied.take_due(next));
        assert!(!applied.take_due(next));
        waits.push(next - now);
        now = next;
    }
    assert_eq!(waits[..3], [800, 1600, 3200].map(Duration::from_millis));
    assert_eq!(waits.last(), Some(&LONGEST_WAIT));
    applied.overlaps_in_pod(true, now);
    applied.overlaps_in_pod(false, now);
    assert_eq!(applied.next(), None);
    applied.overlaps_in_pod(true, now);
    assert_eq!(applied.next(), Some(now + waits[0]));
}

/// The event of a link that goes is a reason to look at once.
#[test]
fn an_event_in_the_pod_is_not_kept_waiting_by_that() {
    let (mut applied, now) = (AppliedState::default(), Instant::now());
    applied.overlaps_in_pod(true, now);
    applied.retry_soon(now);
    assert!(applied.next().unwrap() < now + Duration::from_millis(100));
}
