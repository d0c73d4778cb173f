//! Model test of several nodes and one store of claims, with late watches, lost responses, and daemons that are
//! killed at any step.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

mod model;
use model::{Action, Delivery, Model};

fn range(value: serde_json::Value) -> Range {
    Range::new(&serde_json::from_value(value).unwrap()).unwrap()
}

fn of_range(range: &Range) -> AddressRequest {
    AddressRequest {
        domain: "cluster".into(),
        ranges: vec![range.clone()],
        ..AddressRequest::default()
    }
}

fn small() -> Range {
    range(json!({"cidr": "10.99.0.0/28", "gateway": "10.99.0.1"}))
}

/// A range with some of it left out, and what of it others have.
fn any_range() -> impl Strategy<Value = (Range, Vec<IpNetwork>)> {
    let cidrs = prop_oneof![
        Just("10.99.0.0/28"),
        Just("fd99::/124"),
        Just("10.99.255.0/27")
    ];
    (cidrs, 0u8..3, 0u8..3).prop_filter_map("nothing is left", |(cidr, excluded, foreign)| {
        let network: IpNetwork = cidr.parse().unwrap();
        let alone = |at: u8| {
            let address = network.iter().nth(usize::from(at) + 2).unwrap();
            IpNetwork::from(address)
        };
        let exclude: Vec<String> = (0..excluded).map(|at| alone(at).to_string()).collect();
        let value = json!({"cidr": cidr, "exclude": exclude});
        let range = Range::new(&serde_json::from_value(value).unwrap()).ok()?;
        let foreign = (0..foreign).map(|at| alone(at + 5)).collect();
        Some((range, foreign))
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    let delivery = prop_oneof![
        8 => Just(Delivery::Done),
        1 => Just(Delivery::Lost),
        1 => Just(Delivery::Undone),
    ];
    let node = 0usize..3;
    prop_oneof![
        6 => (node.clone(), 0usize..24).prop_map(|(node, pod)| Action::Pass { node, pod }),
        3 => (node.clone(), 0usize..24, any::<bool>()).prop_map(|(node, pod, is_static)| Action::Start { node, pod, is_static }),
        2 => (0usize..24, any::<bool>()).prop_map(|(pod, is_missed)| Action::End { pod, is_missed }),
        4 => (0usize..24, prop::option::of(0usize..model::LINKS.len())).prop_map(|(pod, link)| Action::Select { pod, link }),
        12 => (node.clone(), any::<prop::sample::Index>(), delivery).prop_map(|(node, which, delivery)| Action::Step { node, which, delivery }),
        2 => (0usize..24).prop_map(Action::Terminate),
        2 => (0usize..24).prop_map(Action::LacksLink),
        4 => node.clone().prop_map(Action::Watch),
        2 => (1u64..8).prop_map(Action::Wait),
        1 => node.clone().prop_map(Action::Sweep),
        1 => node.prop_map(Action::Kill),
    ]
}

proptest! {
    #[test]
    fn no_address_is_ever_held_twice_and_none_is_lost_for_good(
        (range, excluded) in any_range(),
        actions in prop::collection::vec(any_action(), 1..300),
    ) {
        let mut model = Model::new(3, range, excluded);
        for action in actions {
            model.apply(&action);
        }
        model.settle();
        model.check_all_that_can_have_some_do();
        model.end_all();
        prop_assert!(model.claims().is_empty(), "left for good: {:?}", model.claims());
    }
}

fn start(pod: usize, is_static: bool) -> Action {
    Action::Start {
        node: 0,
        pod,
        is_static,
    }
}

/// A label, a policy or a PodConfig goes and comes back: the claim is the pod's all the time.
#[test]
fn a_claim_that_the_pod_took_again_while_it_rested_is_never_deleted() {
    for is_static in [true, false] {
        let mut model = Model::new(1, small(), Vec::new());
        model.apply(&start(0, is_static));
        model.settle();
        let before = model.claims();
        model.apply(&Action::Select { pod: 0, link: None });
        model.work();
        assert_eq!(model.claims(), before, "it rests");
        let link = Some(0);
        model.apply(&Action::Select { pod: 0, link });
        model.work();
        assert!(matches!(model.pass(0, 0), Allocation::Held(_)));
        model.settle();
        assert_eq!((model.claims(), model.deletions()), (before, 0));
    }
}

#[test]
fn a_link_that_is_called_otherwise_has_the_pods_address_at_once() {
    for is_static in [true, false] {
        let mut model = Model::new(1, small(), Vec::new());
        model.apply(&start(0, is_static));
        model.settle();
        let before = model.claims();
        let link = Some(1);
        model.apply(&Action::Select { pod: 0, link });
        model.work();
        assert!(matches!(model.pass(0, 0), Allocation::Held(_)));
        model.settle();
        assert_eq!(model.claims().len(), 1);
        if is_static {
            assert_eq!((model.claims(), model.deletions()), (before, 0));
        }
    }
}

/// Pods 1 and 3 are of one Deployment, on a node each; the second waits for the address of the first.
fn rollout() -> (Model, Vec<ClaimName>) {
    let mut model = Model::new(2, small(), Vec::new());
    model.apply(&start(1, true));
    model.settle();
    let before = model.claims();
    model.apply(&Action::Start {
        node: 1,
        pod: 3,
        is_static: true,
    });
    model.work();
    let Allocation::Refused(Reason::AddressTaken, words) = model.pass(1, 3) else {
        panic!("the first has it");
    };
    let said = "10.99.0.2 is held by pod p1, which hands it over to this pod when it ends";
    assert!(words.starts_with(said), "{words}");
    (model, before)
}

fn is_handed_over(mut model: Model, before: &[ClaimName]) {
    model.work();
    assert!(matches!(model.pass(1, 3), Allocation::Held(_)));
    let first = model.pass(0, 1);
    assert!(
        matches!(first, Allocation::Refused(Reason::AddressTaken, _)),
        "{first:?}"
    );
    model.settle();
    assert!(
        matches!(model.pass(1, 3), Allocation::Held(_)),
        "and it stays so"
    );
    assert_eq!((&model.claims()[..], model.deletions()), (before, 0));
}

#[test]
fn a_pod_that_ends_hands_its_address_over_to_its_successor_at_once() {
    let (mut model, before) = rollout();
    model.apply(&Action::Terminate(1));
    is_handed_over(model, &before);
}

/// A rollout keeps the old pod until the new one is ready: neither may wait for the other for ever.
#[test]
fn a_successor_that_lacks_nothing_but_its_link_has_the_address_before_the_old_pod_ends() {
    let (mut model, before) = rollout();
    model.settle();
    assert!(
        matches!(model.pass(0, 1), Allocation::Held(_)),
        "it is not ready yet"
    );
    model.apply(&Action::LacksLink(3));
    model.apply(&Action::LacksLink(1));
    is_handed_over(model, &before);
}

#[test]
fn a_successor_that_comes_when_the_old_pod_is_gone_waits_for_no_rest() {
    let mut model = Model::new(2, small(), Vec::new());
    model.apply(&start(1, true));
    model.settle();
    model.apply(&Action::End {
        pod: 1,
        is_missed: false,
    });
    model.work();
    model.apply(&Action::Start {
        node: 1,
        pod: 3,
        is_static: true,
    });
    model.work();
    assert!(matches!(model.pass(1, 3), Allocation::Held(_)));
    model.apply(&Action::Start {
        node: 1,
        pod: 0,
        is_static: true,
    });
    model.work();
    let other = model.pass(1, 0);
    assert!(
        matches!(other, Allocation::Refused(Reason::AddressTaken, _)),
        "of no controller: {other:?}"
    );
}

#[test]
fn a_full_range_costs_one_list_and_is_retried_when_an_address_is_free() {
    let range = small();
    let count = usize::try_from(range.count()).unwrap();
    let mut model = Model::new(1, range, Vec::new());
    for pod in 0..count + 3 {
        model.apply(&Action::Start {
            node: 0,
            pod,
            is_static: false,
        });
    }
    model.settle();
    assert_eq!(model.claims().len(), count);
    let before = model.asked();
    model.settle();
    assert!(
        model.asked() - before <= 3 * 60,
        "{}",
        model.asked() - before
    );
    model.apply(&Action::End {
        pod: 0,
        is_missed: false,
    });
    model.settle();
    assert_eq!(model.claims().len(), count);
}

#[test]
fn a_deleted_claim_of_a_present_link_is_created_again() {
    let mut model = Model::new(1, small(), Vec::new());
    model.apply(&Action::Start {
        node: 0,
        pod: 0,
        is_static: false,
    });
    model.settle();
    let before = model.claims();
    model.delete(&before[0]);
    model.settle();
    assert_eq!(model.claims(), before);
}

#[test]
fn what_another_has_got_meanwhile_is_refused_to_the_link_that_stands() {
    let mut model = Model::new(2, small(), Vec::new());
    model.apply(&start(0, true));
    model.settle();
    let name = model.claims().remove(0);
    model.steal(&name, "other");
    model.apply(&Action::Watch(0));
    model.settle();
    let allocation = model.pass(0, 0);
    let Allocation::Refused(Reason::AddressTaken, words) = allocation else {
        panic!("{allocation:?}");
    };
    assert!(words.contains("is held by pod other"), "{words}");
}

#[test]
fn an_address_rests_for_all_but_the_pod_that_had_it() {
    let range = range(json!({"cidr": "10.99.0.0/31"}));
    let mut model = Model::new(1, range.clone(), Vec::new());
    model.apply(&Action::Start {
        node: 0,
        pod: 0,
        is_static: false,
    });
    model.apply(&Action::Start {
        node: 0,
        pod: 1,
        is_static: false,
    });
    model.settle();
    model.apply(&Action::End {
        pod: 0,
        is_missed: false,
    });
    model.apply(&Action::Start {
        node: 0,
        pod: 2,
        is_static: false,
    });
    model.work();
    let allocation = model.pass(0, 2);
    let Allocation::Refused(Reason::RangeFull, words) = allocation else {
        panic!("{allocation:?}");
    };
    assert!(words.contains("2 of 2 in use, 1 resting"), "{words}");
    model.apply(&Action::Start {
        node: 0,
        pod: 0,
        is_static: false,
    });
    model.work();
    assert!(matches!(model.pass(0, 0), Allocation::Held(_)));
    model.apply(&Action::End {
        pod: 1,
        is_missed: false,
    });
    model.settle();
    assert!(matches!(model.pass(0, 2), Allocation::Held(_)));
}

#[test]
fn before_the_claims_of_the_node_are_known_nothing_new_is_asked_for() {
    let mut state = AllocatorState::new("n0", "default", Duration::from_secs(30));
    let key = LinkKey {
        namespace: "t".into(),
        pod: "a".into(),
        uid: "uid-a".into(),
        link: "data0".into(),
    };
    let allocation = state.allocate(&key, &of_range(&small()), &now());
    assert!(
        matches!(allocation, Allocation::Pending(_)),
        "{allocation:?}"
    );
    assert!(state.take_due(Instant::now(), 9).is_empty());
    assert_eq!(state.set_synced(), BTreeSet::from(["uid-a".to_owned()]));
    state.allocate(&key, &of_range(&small()), &now());
    assert_eq!(state.take_due(Instant::now(), 9).len(), 1);
}

#[test]
fn a_wide_range_is_searched_around_the_first_tries_and_full_only_when_all_of_it_was_listed() {
    let wide = range(json!({"cidr": "10.99.0.0/22"}));
    let mut model = Model::new(1, wide.clone(), Vec::new());
    for number in 0..wide.count() {
        model.fill(wide.nth(number).unwrap());
    }
    model.apply(&Action::Start {
        node: 0,
        pod: 1,
        is_static: false,
    });
    let before = model.asked();
    model.work();
    let Allocation::Refused(Reason::RangeFull, words) = model.pass(0, 1) else {
        panic!("there is no room");
    };
    assert!(words.contains("1022 of 1022 in use"), "{words}");
    // Five tries, the small block around the last, and the block that has all of it.
    assert_eq!(model.asked() - before, 7);
    model.delete(&ClaimName::parse("cluster.10.99.2.7").unwrap());
    model.settle();
    assert_eq!(
        model.pass(0, 1),
        Allocation::Held(vec!["10.99.2.7".parse().unwrap()])
    );
}

#[test]
fn a_successor_whose_end_was_missed_keeps_no_address_in_motion() {
    let others = ["10.99.0.7/32", "10.99.0.8/32"].map(|network| network.parse().unwrap());
    let whole = range(json!({"cidr": "10.99.0.0/28"}));
    let mut model = Model::new(3, whole, others.to_vec());
    let start = |node, pod, is_static| Action::Start {
        node,
        pod,
        is_static,
    };
    for action in [
        start(2, 7, true),
        Action::Pass { node: 0, pod: 0 },
        start(2, 0, false),
        start(0, 8, false),
        start(2, 9, true),
        start(0, 12, false),
        start(0, 10, true),
        start(0, 13, false),
        start(2, 5, true),
        Action::Terminate(7),
        Action::End {
            pod: 5,
            is_missed: true,
        },
    ] {
        model.apply(&action);
    }
    model.settle();
    model.check_all_that_can_have_some_do();
    model.end_all();
    assert!(model.claims().is_empty(), "{:?}", model.claims());
}
