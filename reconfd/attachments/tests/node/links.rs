//! Several links of a pod, several sandboxes, and what is not known.

use std::{collections::BTreeSet, time::Duration};

use attachments::{
    entry::Requester,
    state::{Attachments, CheckMode, LinkRequest, Target},
    status::{Change, FailureReason, LinkState},
};

use crate::{
    model::{Faults, Model},
    samples::{Pod, chain},
};

const MINUTE: Duration = Duration::from_secs(60);

fn started() -> (Model, Attachments, Pod) {
    let model = Model::new(&["c1", "c2"]);
    let state = model.start();
    (model, state, Pod::new("tenant", "u1", "c1"))
}

/// ADD and DEL, in their order.
fn chains_run(model: &Model) -> Vec<&str> {
    let lines = model.log.iter().map(String::as_str);
    lines
        .filter(|line| line.starts_with("ADD") || line.starts_with("DEL"))
        .collect()
}

#[test]
fn links_are_attached_in_order_and_deleted_in_reverse() {
    let (mut model, mut state, pod) = started();
    let links = vec![
        pod.link("z", "a", &[]),
        pod.link("b", "a", &[]),
        pod.link("y", "a", &[]),
    ];
    state.request(pod.request(links));
    model.settle(&mut state, MINUTE).unwrap();
    state.request(pod.request(vec![]));
    model.settle(&mut state, MINUTE).unwrap();
    let ran = chains_run(&model).join(" ").replace(" {0, 1, 2}", "");
    assert_eq!(
        ran,
        "ADD a-c1-z ADD a-c1-b ADD a-c1-y DEL a-c1-y DEL a-c1-b DEL a-c1-z"
    );
}

#[test]
fn a_link_waits_for_the_one_that_it_is_made_on() {
    let (mut model, mut state, pod) = started();
    model.faults.add = Some((0, 2));
    let links = vec![pod.link("vlan", "v", &["net1"]), pod.link("net1", "a", &[])];
    state.request(pod.request(links));
    model.settle(&mut state, Duration::ZERO).unwrap();
    let outcome = state.outcome("u1");
    assert_eq!(
        outcome.links[0],
        LinkState::Pending("waits for the link net1".into())
    );
    assert!(
        matches!(&outcome.links[1], LinkState::Failed(failure) if failure.reason == FailureReason::PluginFailed)
    );
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("v", "c1", "vlan"), chain("a", "c1", "net1")]);
}

#[test]
fn what_is_made_on_a_link_goes_before_it_and_comes_after_it() {
    let (mut model, mut state, pod) = started();
    let links = |network| {
        vec![
            pod.link("net1", network, &[]),
            pod.link("vlan", "v", &["net1"]),
        ]
    };
    state.request(pod.request(links("a")));
    model.settle(&mut state, MINUTE).unwrap();
    model.log.clear();
    state.request(pod.request(links("b")));
    model.settle(&mut state, MINUTE).unwrap();
    let run = chains_run(&model);
    let begins = [
        "DEL v-c1-vlan",
        "DEL a-c1-net1",
        "ADD b-c1-net1",
        "ADD v-c1-vlan",
    ];
    assert_eq!(run.len(), 4, "{run:?}");
    assert!(
        run.iter()
            .zip(begins)
            .all(|(line, begin)| line.starts_with(begin)),
        "{run:?}"
    );
}

#[test]
fn a_change_that_cannot_run_leaves_what_is_made_on_the_link() {
    let (mut model, mut state, pod) = started();
    let links = |network| {
        vec![
            pod.link("net1", network, &[]),
            pod.link("vlan", "v", &["net1"]),
        ]
    };
    state.request(pod.request(links("a")));
    model.settle(&mut state, MINUTE).unwrap();
    model.log.clear();
    model.faults.unavailable = 3;
    state.request(pod.request(links("b")));
    model.settle(&mut state, Duration::from_secs(2)).unwrap();
    assert!(chains_run(&model).is_empty(), "{}", model.story());
    model.attached(&[chain("a", "c1", "net1"), chain("v", "c1", "vlan")]);
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("b", "c1", "net1"), chain("v", "c1", "vlan")]);
}

/// What was requested in between is no trouble of the link any more.
#[test]
fn a_change_that_could_not_run_and_is_withdrawn_leaves_no_failure() {
    let (mut model, mut state, pod) = started();
    let request = |network| pod.request(vec![pod.link("net1", network, &[])]);
    state.request(request("a"));
    model.settle(&mut state, MINUTE).unwrap();
    model.faults.unavailable = 1;
    state.request(request("b"));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert!(matches!(state.outcome("u1").links[0], LinkState::Failed(_)));
    state.request(request("a"));
    model.settle(&mut state, Duration::ZERO).unwrap();
    let outcome = state.outcome("u1");
    assert!(
        matches!(
            &outcome.links[0],
            LinkState::Attached { degraded: None, .. }
        ),
        "{outcome:?}"
    );
}

#[test]
fn a_change_that_cannot_run_leaves_what_is_attached() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    model.faults.unavailable = 2;
    state.request(pod.request(vec![pod.link("net1", "b", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    let outcome = state.outcome("u1");
    assert!(
        matches!(&outcome.links[0], LinkState::Failed(failure) if failure.reason == FailureReason::PluginNotAvailable)
    );
    assert!(matches!(
        model.changes().last(),
        Some(Change::AttachFailed(_))
    ));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("b", "c1", "net1")]);
}

#[test]
fn a_link_whose_change_cannot_run_is_deleted_at_once_when_it_is_not_requested() {
    let (mut model, mut state, pod) = started();
    let links = |network| {
        vec![
            pod.link("net1", "p", &[]),
            pod.link("vlan", network, &["net1"]),
        ]
    };
    state.request(pod.request(links("a")));
    model.settle(&mut state, MINUTE).unwrap();
    model.faults.unavailable = 1000;
    state.request(pod.request(links("b")));
    model.settle(&mut state, 10 * MINUTE).unwrap();
    let now = model.now;
    model.log.clear();
    // The link is in its backoff of five minutes: neither it nor the link below waits for that.
    state.request(pod.request(vec![]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(model.now, now);
    let run = chains_run(&model).join(" ").replace(" {0, 1, 2}", "");
    assert_eq!(run, "DEL a-c1-vlan DEL p-c1-net1");
}

#[test]
fn a_taken_name_is_neither_added_nor_deleted() {
    let (mut model, mut state, pod) = started();
    let stranger = chain("stranger", "c1", "net1");
    model
        .effects
        .insert((attachments::entry::Slot::of(&stranger), 0), stranger);
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    assert!(chains_run(&model).is_empty() && model.disk.is_empty());
    assert_eq!(model.effects.len(), 1);
    assert!(
        matches!(&state.outcome("u1").links[0], LinkState::Failed(failure) if failure.reason == FailureReason::NameTaken)
    );
}

#[test]
fn of_two_links_of_one_name_the_first_is_attached() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[]), pod.link("net1", "b", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    let outcome = state.outcome("u1");
    assert!(matches!(&outcome.links[0], LinkState::Attached { .. }));
    assert!(
        matches!(&outcome.links[1], LinkState::Failed(failure) if failure.reason == FailureReason::NameTaken)
    );
}

#[test]
fn a_link_that_fails_keeps_no_other_one() {
    let (mut model, mut state, pod) = started();
    model.faults.add = Some((1, 1));
    let links = vec![pod.link("net1", "a", &[]), pod.link("net2", "a", &[])];
    state.request(pod.request(links));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("a", "c1", "net2")]);
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1"), chain("a", "c1", "net2")]);
}

#[test]
fn the_later_of_two_sandboxes_of_a_uid_has_the_links() {
    let (mut model, mut state, first) = started();
    let second = Pod::new("tenant", "u1", "c2");
    state.request(first.request(vec![first.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    state.request(second.request(vec![second.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c2", "net1")]);
    let last = chains_run(&model)[1..].to_vec();
    assert_eq!(last, ["DEL a-c1-net1 {0, 1, 2}", "ADD a-c2-net1"]);
}

#[test]
fn a_restart_changes_nothing_before_it_knows_what_is_requested() {
    let (mut model, mut state, pod) = started();
    let request = pod.request(vec![pod.link("net1", "a", &[])]);
    state.request(request.clone());
    model.settle(&mut state, MINUTE).unwrap();
    let steps = model.steps;
    let mut state = model.start();
    model.settle(&mut state, 60 * MINUTE).unwrap();
    assert_eq!(model.steps, steps);
    state.request(request);
    model.settle(&mut state, 60 * MINUTE).unwrap();
    assert_eq!(
        model.steps, steps,
        "and nothing after it: it is as requested"
    );
    assert!(matches!(
        state.outcome("u1").links[0],
        LinkState::Attached { .. }
    ));
}

#[test]
fn an_unknown_sandbox_and_a_link_that_is_kept_change_nothing() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    let mut unknown = pod.request(vec![]);
    unknown.sandbox = None;
    state.request(unknown);
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    let keep = |ifname: &str| LinkRequest {
        ifname: ifname.into(),
        target: Target::Keep,
    };
    state.request(pod.request(vec![keep("net1"), keep("net2")]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    state.request(pod.request(vec![keep("net2")]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
}

#[test]
fn pods_that_are_gone_when_all_are_known_have_ended() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    let mut state = model.start();
    state.synced(&BTreeSet::from(["u1".into()]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    state.synced(&BTreeSet::from(["u2".into()]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
    assert_eq!(state.outcome("u1"), Default::default());
}

#[test]
fn a_sandbox_that_ends_during_its_first_add_is_deleted() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    let work = state.next(model.now).unwrap();
    state.sandbox_ended("c1");
    model.run(&mut state, work).unwrap();
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
    // The same request arrives once more, late: the sandbox does not come back.
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
}

#[test]
fn an_uninstallation_detaches_everything() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[]), pod.link("net2", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    state.drain();
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
    assert!(state.is_empty());
}

#[test]
fn another_requester_of_the_same_attachment_is_stored_and_nothing_runs() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    let mut link = pod.link("net1", "a", &[]);
    let requester = Requester::Annotation {
        definition: "tenant/a".into(),
        element: "1".into(),
    };
    if let Target::Attach(wanted) = &mut link.target {
        wanted.requester = requester.clone();
    }
    state.request(pod.request(vec![link]));
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(chains_run(&model).len(), 1);
    assert_eq!(model.disk.values().next().unwrap().requester, requester);
}

#[test]
fn the_digests_that_were_found_are_frozen_with_the_chain() {
    let (mut model, mut state, pod) = started();
    model.digests = [("macvlan".into(), "sha256:1".into())].into();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(
        model.disk.values().next().unwrap().chain.digests,
        model.digests
    );
    model.digests.clear();
    state.request(pod.request(vec![]));
    // The model compares the chain of each effect with that of its DEL.
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
}

#[test]
fn a_link_that_is_made_on_another_one_now_is_deleted_before_it() {
    let (mut model, mut state, pod) = started();
    let links = |after: &[&str]| {
        let (first, second) = (pod.link("net1", "a", &[]), pod.link("vlan", "v", after));
        pod.request(vec![second, first])
    };
    state.request(links(&[]));
    model.settle(&mut state, MINUTE).unwrap();
    state.request(links(&["net1"]));
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(chains_run(&model).len(), 2, "nothing runs for it");
    state.pod_ended("u1");
    model.settle(&mut state, MINUTE).unwrap();
    let last = chains_run(&model)[2..].join(" ");
    assert!(last.starts_with("DEL v-c1-vlan"), "{last}");
}

#[test]
fn checks_after_a_restart_are_spread_over_their_interval() {
    let (mut model, mut state, pod) = started();
    let links =
        (0..10).map(|number| pod.checked(&format!("net{number}"), "a", &[], CheckMode::Report));
    let request = pod.request(links.collect());
    state.request(request.clone());
    model.settle(&mut state, MINUTE).unwrap();
    model.log.clear();
    let mut state = model.start();
    state.request(request);
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(model.count("CHECK"), 2);
    model.settle(&mut state, 4 * MINUTE).unwrap();
    assert_eq!(model.count("CHECK"), 10);
}

#[test]
fn the_first_check_is_the_baseline_of_later_ones() {
    let (mut model, mut state, pod) = started();
    model.faults.check = [2].into();
    state.request(pod.request(vec![pod.checked("net1", "a", &[], CheckMode::Report)]));
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(model.count("CHECK a-c1-net1 None"), 1);
    assert_eq!(
        model.disk.values().next().unwrap().baseline,
        Some([0, 1].into())
    );
    // Every five minutes, of the plugins that passed.
    model.settle(&mut state, 10 * MINUTE).unwrap();
    assert_eq!(model.count("CHECK a-c1-net1 Some({0, 1})"), 2);
    model.faults.check = [0, 2].into();
    model.settle(&mut state, 5 * MINUTE).unwrap();
    let LinkState::Attached { degraded, .. } = &state.outcome("u1").links[0] else {
        panic!("{:?}", state.outcome("u1"));
    };
    assert_eq!(degraded.as_ref().unwrap().reason, FailureReason::Drifted);
    assert_eq!(model.count("DEL"), 0, "it only reports");
    model.faults.check.clear();
    state.links_changed("c1", model.now);
    model.settle(&mut state, Duration::from_secs(10)).unwrap();
    assert!(matches!(
        &state.outcome("u1").links[0],
        LinkState::Attached { degraded: None, .. }
    ));
}

#[test]
fn a_repair_follows_a_failed_check_and_not_too_often() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.checked("net1", "a", &[], CheckMode::Repair)]));
    model.settle(&mut state, MINUTE).unwrap();
    model.faults.check = [0].into();
    state.links_changed("c1", model.now);
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(model.count("ADD"), 2);
    // The baseline of the new one has no plugin 0: nothing fails any more.
    for _ in 0..20 {
        state.links_changed("c1", model.now);
        model.settle(&mut state, Duration::from_secs(10)).unwrap();
    }
    assert_eq!(model.count("ADD"), 2);
    model.attached(&[chain("a", "c1", "net1")]);
}

#[test]
fn check_never_and_a_chain_without_check_are_not_checked() {
    let (mut model, mut state, pod) = started();
    let mut disabled = pod.checked("net2", "a", &[], CheckMode::Report);
    if let Target::Attach(wanted) = &mut disabled.target {
        wanted.chain.disable_check = true;
    }
    state.request(pod.request(vec![pod.link("net1", "a", &[]), disabled]));
    model.settle(&mut state, 60 * MINUTE).unwrap();
    assert_eq!(model.count("CHECK"), 0);
}

#[test]
fn a_failed_add_reports_its_error_and_comes_back() {
    let (mut model, mut state, pod) = started();
    model.faults = Faults {
        add: Some((2, 3)),
        ..Faults::default()
    };
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, MINUTE).unwrap();
    let failed = model
        .changes()
        .into_iter()
        .filter(|change| matches!(change, Change::AttachFailed(_)));
    assert_eq!(failed.count(), 3);
    assert!(matches!(
        model.changes().last(),
        Some(Change::Attached(Some(_)))
    ));
    model.attached(&[chain("a", "c1", "net1")]);
}

#[test]
fn an_add_whose_end_is_not_known_is_undone_at_once_and_reported() {
    let (mut model, mut state, pod) = started();
    model.faults.broken = 1;
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[]);
    assert!(
        matches!(model.changes()[..], [Change::AttachFailed(_)]),
        "{:?}",
        model.changes()
    );
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
}

#[test]
fn gc_knows_the_attachments_of_a_network_and_none_of_its_operations_runs_beside_it() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[]), pod.link("net2", "b", &[])]));
    assert!(state.networks_with_gc().is_empty());
    model.settle(&mut state, MINUTE).unwrap();
    assert_eq!(
        state.networks_with_gc(),
        ["a".to_owned(), "b".to_owned()].into()
    );
    let garbage = state.hold_network("a").unwrap();
    let valid: Vec<&str> = garbage
        .valid
        .iter()
        .map(|one| one.ifname.as_str())
        .collect();
    assert_eq!((valid, garbage.chains.len()), (vec!["net1"], 1));
    assert_eq!(garbage.chains[0].network, "a");
    assert!(state.hold_network("b").is_none(), "one at a time");
    state.request(pod.request(vec![]));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    state.release_network();
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
}

#[test]
fn gc_waits_for_the_operations_of_its_network() {
    let (mut model, mut state, pod) = started();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    let work = state.next(model.now).unwrap();
    assert!(state.hold_network("a").is_none());
    assert!(state.hold_network("b").is_some());
    state.release_network();
    model.run(&mut state, work).unwrap();
    assert!(state.hold_network("a").is_some());
}
