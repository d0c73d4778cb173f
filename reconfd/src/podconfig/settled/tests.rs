#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_first_repairs_follow_at_once_and_later_ones_wait_longer_and_longer() {
    let (mut settled, now) = (Settled::default(), Instant::now());
    for _ in 0..FREE_REPAIRS {
        settled.repaired(now);
        assert!(settled.may_look_now(now));
    }
    settled.repaired(now);
    assert!(settled.must_wait(now));
    assert_eq!(settled.due, Some(now + FIRST_WAIT));
    settled.repaired(now);
    assert!(settled.must_wait(now + FIRST_WAIT));
    assert!(!settled.must_wait(now + 2 * FIRST_WAIT));
}

#[test]
fn a_wait_is_told_once() {
    let (mut settled, now) = (Settled::default(), Instant::now());
    (0..=FREE_REPAIRS).for_each(|_| settled.repaired(now));
    assert!(settled.may_look_now(now));
    assert!(!settled.may_look_now(now));
    assert!(settled.may_look_now(now + FIRST_WAIT));
}

#[test]
fn a_pod_left_in_peace_starts_afresh() {
    let (mut settled, now) = (Settled::default(), Instant::now());
    (0..20).for_each(|_| settled.repaired(now));
    assert!(settled.must_wait(now + LONGEST_WAIT - Duration::from_millis(1)));
    settled.repaired(now + PEACE + Duration::from_secs(1));
    assert!(!settled.must_wait(now + PEACE + Duration::from_secs(1)));
}

#[test]
fn a_pod_that_plays_with_its_links_is_looked_at_less_and_less() {
    let (mut settled, mut now) = (Settled::default(), Instant::now());
    let mut looks = 0;
    let end = now + Duration::from_secs(10);
    while now < end {
        settled.look_soon(now);
        now += Duration::from_millis(1);
        if settled.due.is_some_and(|due| due <= now) {
            settled.due = None;
            looks += 1;
        }
    }
    assert!((2..12).contains(&looks), "{looks}");
}

#[test]
fn the_echo_of_our_own_doing_disturbs_nobody() {
    let mut settled = Settled::default();
    let end = PodEnd {
        name: "data0".into(),
        mtu: 1500,
        mac: [1; 6],
        addresses: vec!["10.1.0.1/24".parse().unwrap()],
    };
    settled.pod_ends.insert(7, end);
    let echo = LinkInfo {
        index: 7,
        name: "data0".into(),
        up: true,
        mtu: 1500,
        mac: Some([1; 6]),
        ..LinkInfo::default()
    };
    let meaning = |row: LinkInfo| settled.meaning_of(&NetnsEvent::Link(Box::new(row)));
    assert_eq!(meaning(echo.clone()), Meaning::Echo);
    assert_eq!(
        meaning(LinkInfo {
            up: false,
            ..echo.clone()
        }),
        Meaning::Undone
    );
    assert_eq!(
        meaning(LinkInfo {
            name: "mine".into(),
            ..echo
        }),
        Meaning::Undone
    );
    let gone = |address: &str| NetnsEvent::AddressGone {
        index: 7,
        network: address.parse().unwrap(),
    };
    assert_eq!(settled.meaning_of(&gone("10.1.0.1/24")), Meaning::Undone);
    // One that was taken away on purpose, or that is the pod's own.
    assert_eq!(settled.meaning_of(&gone("10.1.0.9/24")), Meaning::Echo);
    assert_eq!(
        settled.meaning_of(&NetnsEvent::LinkGone(7)),
        Meaning::Undone
    );
    assert_eq!(settled.meaning_of(&NetnsEvent::LinkGone(8)), Meaning::Echo);
}
