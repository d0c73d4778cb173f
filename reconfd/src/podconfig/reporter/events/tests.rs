use std::time::{Duration, SystemTime};

use super::*;
use crate::podconfig::reporter::example;

const BEGAN: u64 = 1000;

fn at(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn link(name: &str, state: LinkState, reason: Reason) -> LinkOutcome {
    example::link(name, state, reason, &["192.168.100.7/24"])
}

fn ready(name: &str, changed: u64) -> LinkOutcome {
    LinkOutcome {
        last_change: Some(at(changed)),
        ..link(name, LinkState::Ready, Reason::LinkReady)
    }
}

fn outcome(links: Vec<LinkOutcome>) -> PodOutcome {
    example::outcome(links, at(BEGAN))
}

fn events_of(before: Option<&PodOutcome>, now: &PodOutcome) -> Vec<(Reason, String)> {
    let lines = lines(before, now).into_iter();
    lines.map(|line| (line.reason, line.text)).collect()
}

#[test]
fn a_link_that_was_made_is_reported_with_its_address() {
    let now = outcome(vec![ready("data0", BEGAN + 3)]);
    let text = "data0 192.168.100.7/24".to_owned();
    assert_eq!(events_of(None, &now), [(Reason::LinkAdded, text)]);
}

#[test]
fn a_restart_tells_nothing_of_links_that_stand() {
    let standing = outcome(vec![ready("data0", BEGAN - 1)]);
    assert!(events_of(None, &standing).is_empty());
    let untouched = link("data0", LinkState::Ready, Reason::LinkReady);
    assert!(events_of(None, &outcome(vec![untouched])).is_empty());
}

#[test]
fn a_link_that_drifted_is_reported_as_repaired() {
    let before = outcome(vec![ready("data0", BEGAN - 9)]);
    let mut now = outcome(vec![ready("data0", BEGAN + 1)]);
    let reason = |now: &PodOutcome| events_of(Some(&before), now)[0].0;
    assert_eq!(reason(&now), Reason::LinkChanged);
    now.repaired = [("data0".into(), "address".into())].into();
    assert_eq!(reason(&now), Reason::LinkRepaired);
}

#[test]
fn a_link_that_waited_for_its_new_address_is_reported_as_changed() {
    let mut waited = ready("data0", BEGAN - 9);
    (waited.state, waited.reason) = (LinkState::Pending, Reason::ClaimPending);
    let before = outcome(vec![waited]);
    let now = outcome(vec![ready("data0", BEGAN + 1)]);
    assert_eq!(events_of(Some(&before), &now)[0].0, Reason::LinkChanged);
    let mut absent = before;
    absent.links[0].present = None;
    assert_eq!(events_of(Some(&absent), &now)[0].0, Reason::LinkAdded);
}

#[test]
fn a_link_that_went_is_reported_also_after_a_restart() {
    let mut now = outcome(Vec::new());
    now.removed = vec!["data0".into()];
    let expected = [(Reason::LinkRemoved, "data0".to_owned())];
    assert_eq!(events_of(None, &now), expected);
    let before = outcome(vec![ready("data0", 1)]);
    assert_eq!(events_of(Some(&before), &now), expected);
    assert_eq!(lines(Some(&before), &now)[0].podconfig, "data");
}

#[test]
fn a_link_that_is_made_anew_is_not_reported_as_gone() {
    let before = outcome(vec![ready("data0", 1)]);
    let mut now = outcome(vec![ready("data0", BEGAN + 1)]);
    now.removed = vec!["data0".into()];
    assert_eq!(events_of(Some(&before), &now)[0].0, Reason::LinkChanged);
    assert_eq!(events_of(Some(&before), &now).len(), 1);
}

#[test]
fn a_refusal_is_reported_once_and_before_all_else() {
    let refused = link("b", LinkState::Failed, Reason::NotAllowed);
    let now = outcome(vec![ready("a", BEGAN + 1), refused]);
    let events = events_of(None, &now);
    assert_eq!(events[0], (Reason::NotAllowed, "b: why".into()));
    assert_eq!(events[1].0, Reason::LinkAdded);
    let later = PodOutcome {
        since: at(BEGAN + 100),
        ..now.clone()
    };
    assert!(events_of(Some(&now), &later).is_empty());
}

#[test]
fn the_end_of_a_pod_is_no_news() {
    let ending = link("a", LinkState::Pending, Reason::NamespaceGone);
    assert!(events_of(None, &outcome(vec![ending])).is_empty());
}

#[test]
fn a_podconfig_hears_of_its_pods_in_one_breath() {
    let mut podconfig_events = PodConfigEvents::default();
    let now = outcome(vec![ready("data0", BEGAN + 3)]);
    let line = lines(None, &now).remove(0);
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let mut pod = (*now.pod).clone();
        pod.name = name.into();
        podconfig_events.add(&pod, line.clone());
    }
    let happened = &podconfig_events.0[&("t".to_owned(), "data".to_owned())];
    assert_eq!(
        on_podconfig(happened, Reason::LinkAdded, "n0"),
        "7 pods of node n0 (a, b, c, d, e and 2 more): data0 192.168.100.7/24"
    );
}

#[test]
fn net_admin_is_reported_once_and_only_where_links_do_not_say_it() {
    let with = |links: Vec<LinkOutcome>, net_admin: NetAdmin| {
        let mut outcome = outcome(links);
        std::sync::Arc::make_mut(&mut outcome.pod).net_admin = net_admin;
        outcome
    };
    let yes = || NetAdmin::Yes("container \"c\" is privileged".into());
    let links = || vec![ready("data0", 0)];
    let reasons = |before: Option<&PodOutcome>, now: &PodOutcome| {
        let reasons = events_of(before, now).into_iter();
        reasons.map(|(reason, _)| reason).collect::<Vec<_>>()
    };
    let (quiet, loud) = (with(links(), NetAdmin::No), with(links(), yes()));
    assert_eq!(reasons(Some(&quiet), &loud), [Reason::NetAdminPod]);
    assert_eq!(reasons(Some(&loud), &loud), []);
    assert_eq!(reasons(None, &with(Vec::new(), yes())), []);
    let refused = with(
        vec![link("data0", LinkState::Failed, Reason::NetAdminPod)],
        yes(),
    );
    assert_eq!(events_of(None, &refused).len(), 1);
    let lines = lines(Some(&quiet), &loud);
    assert_eq!(super::links(&lines), "NetAdminPod");
}
