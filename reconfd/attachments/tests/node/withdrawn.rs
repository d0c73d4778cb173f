//! What was attached and is no longer allowed: it goes, and it is not tried again and again.

use std::time::Duration;

use attachments::{
    entry::{Slot, Why},
    state::{Attachments, LinkRequest, Refusal, Target},
    status::{Change, Failure, FailureReason, LinkState},
};
use serde_json::json;

use crate::{
    model::{Faults, Model},
    samples::{Pod, chain},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn attached(faults: Faults) -> (Model, Attachments, Pod) {
    let mut model = Model::new(&["c1"]);
    let mut state = model.start();
    let pod = Pod::new("tenant", "u1", "c1");
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    model.faults = faults;
    (model, state, pod)
}

/// What a pass states about the result that the model's plugins print.
fn refusal(is_lasting: bool) -> Option<Refusal> {
    let not_allowed = FailureReason::Judged("NotAllowed");
    Some(Refusal {
        result: Some(json!({"cniVersion": "1.0.0"})),
        failure: Failure::new(not_allowed, "10.1.0.5 is not in the rule's addresses"),
        is_lasting,
    })
}

fn judge(state: &mut Attachments, refusal: Option<Refusal>) -> bool {
    state.judge_attached("u1", &Slot::new("c1", "net1"), refusal)
}

fn is_told(state: &Attachments) {
    let told = &state.outcome("u1").links[0];
    assert!(
        matches!(told, LinkState::Failed(failure) if failure.reason == FailureReason::Judged("NotAllowed")),
        "{told:?}"
    );
}

#[test]
fn a_refused_link_goes_and_is_told_as_not_allowed() {
    let (mut model, mut state, _) = attached(Faults::default());
    assert!(judge(&mut state, refusal(true)));
    assert!(!judge(&mut state, refusal(true)), "nothing new");
    model.settle(&mut state, 4 * MINUTE).unwrap();
    model.attached(&[]);
    model.mirrors(&state);
    is_told(&state);
    assert_eq!(model.count("ADD"), 1, "{}", model.story());
    let changes = model.changes();
    assert!(changes.contains(&&Change::Detached(Why::Refused)));
    assert!(matches!(changes.last(), Some(Change::AttachFailed(_))));
}

/// An IPAM plugin may give another address, but hardly one that is allowed.
#[test]
fn it_is_tried_again_after_five_minutes_at_the_earliest() {
    let (mut model, mut state, _) = attached(Faults::default());
    judge(&mut state, refusal(true));
    model.settle(&mut state, Duration::ZERO).unwrap();
    let since = model.now;
    assert_eq!(state.next_due(), Some(since + 5 * MINUTE));
    model.faults.refuse = u32::MAX;
    model.settle(&mut state, HOUR).unwrap();
    assert_eq!(model.count("ADD"), 1 + 12, "every five minutes");
    model.faults.refuse = 0;
    model.settle(&mut state, 5 * MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
}

#[test]
fn once_the_rules_allow_it_it_is_tried_at_once() {
    let (mut model, mut state, _) = attached(Faults::default());
    judge(&mut state, refusal(true));
    model.settle(&mut state, Duration::ZERO).unwrap();
    // A plugin that fails then has the backoff of a first failure.
    model.faults.add = Some((0, 1));
    state.try_again("u1", &Slot::new("c1", "net1"), model.now);
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(state.next_due(), Some(model.now + Duration::from_secs(1)));
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    // The refusal was of the result before.
    model.settle(&mut state, HOUR).unwrap();
    assert_eq!(model.count("ADD"), 3);
}

#[test]
fn a_refusal_that_may_pass_has_the_usual_backoff() {
    let (mut model, mut state, _) = attached(Faults::default());
    judge(&mut state, refusal(false));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(state.next_due(), Some(model.now + Duration::from_secs(1)));
    is_told(&state);
}

#[test]
fn a_refusal_of_another_result_detaches_nothing() {
    let (mut model, mut state, _) = attached(Faults::default());
    let other = refusal(true).map(|refusal| Refusal {
        result: Some(json!({"cniVersion": "1.0.0", "ips": []})),
        ..refusal
    });
    judge(&mut state, other);
    model.settle(&mut state, HOUR).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    assert_eq!(model.count("DEL"), 0);
}

#[test]
fn a_refusal_that_is_withdrawn_in_time_detaches_nothing() {
    let (mut model, mut state, _) = attached(Faults::default());
    judge(&mut state, refusal(true));
    judge(&mut state, None);
    model.settle(&mut state, HOUR).unwrap();
    assert_eq!(model.count("DEL"), 0);
}

/// The reason is not lost with the first DEL.
#[test]
fn a_del_that_fails_is_repeated_and_then_nothing_is_attached() {
    let faults = Faults {
        del: [(1, 3)].into(),
        ..Faults::default()
    };
    let (mut model, mut state, _) = attached(faults);
    judge(&mut state, refusal(true));
    model.settle(&mut state, Duration::ZERO).unwrap();
    let told = &state.outcome("u1").links[0];
    assert!(matches!(told, LinkState::Detaching(Some(_))), "{told:?}");
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
    is_told(&state);
    assert_eq!(model.count("ADD"), 1);
}

/// The store would say that it is attached while it is deleted.
#[test]
fn what_cannot_be_announced_is_not_deleted() {
    let faults = Faults {
        disk_full: 3,
        ..Faults::default()
    };
    let (mut model, mut state, _) = attached(faults);
    judge(&mut state, refusal(true));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    assert_eq!(model.count("DEL"), 0);
    model.settle(&mut state, MINUTE).unwrap();
    model.attached(&[]);
    is_told(&state);
}

#[test]
fn another_configuration_is_attached_in_its_place_at_once() {
    let (mut model, mut state, pod) = attached(Faults::default());
    judge(&mut state, refusal(true));
    state.request(pod.request(vec![pod.link("net1", "b", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("b", "c1", "net1")]);
}

#[test]
fn a_changed_definition_ends_the_wait() {
    let (mut model, mut state, pod) = attached(Faults::default());
    judge(&mut state, refusal(true));
    model.settle(&mut state, Duration::ZERO).unwrap();
    state.request(pod.request(vec![pod.link("net1", "b", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("b", "c1", "net1")]);
}

/// Its definition is gone; its rule is not.
#[test]
fn what_is_only_kept_may_be_refused_as_well() {
    let (mut model, mut state, pod) = attached(Faults::default());
    let keep = LinkRequest {
        ifname: "net1".into(),
        target: Target::Keep,
    };
    state.request(pod.request(vec![keep]));
    judge(&mut state, refusal(true));
    model.settle(&mut state, HOUR).unwrap();
    model.attached(&[]);
    assert_eq!(model.count("ADD"), 1);
}

#[test]
fn what_is_made_on_it_goes_before_it() {
    let (mut model, mut state, pod) = attached(Faults::default());
    let links = vec![pod.link("net1", "a", &[]), pod.link("vlan", "v", &["net1"])];
    state.request(pod.request(links));
    model.settle(&mut state, Duration::ZERO).unwrap();
    judge(&mut state, refusal(true));
    model.settle(&mut state, 4 * MINUTE).unwrap();
    model.attached(&[]);
    let dels = model.log.iter().filter(|line| line.starts_with("DEL"));
    let dels: Vec<&String> = dels.collect();
    assert!(
        dels[0].contains("vlan") && dels[1].contains("net1"),
        "{dels:?}"
    );
    let told = &state.outcome("u1").links[1];
    assert_eq!(told, &LinkState::Pending("waits for the link net1".into()));
}

/// Without a pass after the start, nothing is judged, and nothing is detached.
#[test]
fn a_restart_goes_on_with_del_and_begins_none() {
    for steps in 0..40 {
        let (mut model, mut state, pod) = attached(Faults::default());
        judge(&mut state, refusal(true));
        model.fuel = Some(steps);
        let has_crashed = model.settle(&mut state, Duration::ZERO).is_err();
        model.fuel = None;
        if !has_crashed {
            assert!(steps > 3, "the crashes were before DEL");
            return;
        }
        let was_announced = model.disk.values().any(|entry| entry.deletion().is_some());
        let mut state = model.start();
        model.settle(&mut state, MINUTE).unwrap();
        let is_there = !model.disk.is_empty();
        assert!(!(is_there && was_announced), "{}", model.story());
        // The next pass finds the same.
        state.request(pod.request(vec![pod.link("net1", "a", &[])]));
        if is_there {
            judge(&mut state, refusal(true));
        }
        model.faults.refuse = u32::MAX;
        model.settle(&mut state, MINUTE).unwrap();
        model.mirrors(&state);
        model.attached(&[]);
    }
}
