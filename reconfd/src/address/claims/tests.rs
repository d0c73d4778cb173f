//! Several nodes, one place for claims, and everything that can come between: late watches, lost answers,
//! daemons that are killed at any step.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

mod world;
use world::{Deed, Fate, World};

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

fn any_deed() -> impl Strategy<Value = Deed> {
    let fate = prop_oneof![
        8 => Just(Fate::Done),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Undone),
    ];
    let node = 0usize..3;
    prop_oneof![
        6 => (node.clone(), 0usize..24).prop_map(|(node, pod)| Deed::Pass { node, pod }),
        3 => (node.clone(), 0usize..24, any::<bool>()).prop_map(|(node, pod, is_static)| Deed::Start { node, pod, is_static }),
        2 => (0usize..24, any::<bool>()).prop_map(|(pod, is_missed)| Deed::End { pod, is_missed }),
        4 => (0usize..24, prop::option::of(0usize..world::LINKS.len())).prop_map(|(pod, link)| Deed::Ask { pod, link }),
        12 => (node.clone(), any::<prop::sample::Index>(), fate).prop_map(|(node, which, fate)| Deed::Step { node, which, fate }),
        2 => (0usize..24).prop_map(Deed::Terminate),
        2 => (0usize..24).prop_map(Deed::LacksLink),
        4 => node.clone().prop_map(Deed::Hear),
        2 => (1u64..8).prop_map(Deed::Wait),
        1 => node.clone().prop_map(Deed::Sweep),
        1 => node.prop_map(Deed::Kill),
    ]
}

proptest! {
    #[test]
    fn no_address_is_ever_held_twice_and_none_is_lost_for_good(
        (range, excluded) in any_range(),
        deeds in prop::collection::vec(any_deed(), 1..300),
    ) {
        let mut world = World::new(3, range, excluded);
        for deed in deeds {
            world.suffer(&deed);
        }
        world.settle();
        world.check_all_that_can_have_some_do();
        world.end_all();
        prop_assert!(world.claims().is_empty(), "left for good: {:?}", world.claims());
    }
}

fn start(pod: usize, is_static: bool) -> Deed {
    Deed::Start {
        node: 0,
        pod,
        is_static,
    }
}

/// A label, a policy or a PodConfig goes and comes back: the claim is the pod's all the time.
#[test]
fn a_claim_that_the_pod_took_again_while_it_rested_is_never_deleted() {
    for is_static in [true, false] {
        let mut world = World::new(1, small(), Vec::new());
        world.suffer(&start(0, is_static));
        world.settle();
        let before = world.claims();
        world.suffer(&Deed::Ask { pod: 0, link: None });
        world.work();
        assert_eq!(world.claims(), before, "it rests");
        let link = Some(0);
        world.suffer(&Deed::Ask { pod: 0, link });
        world.work();
        assert!(matches!(world.pass(0, 0), Allocation::Held(_)));
        world.settle();
        assert_eq!((world.claims(), world.deletions()), (before, 0));
    }
}

#[test]
fn a_link_that_is_called_otherwise_has_the_pods_address_at_once() {
    for is_static in [true, false] {
        let mut world = World::new(1, small(), Vec::new());
        world.suffer(&start(0, is_static));
        world.settle();
        let before = world.claims();
        let link = Some(1);
        world.suffer(&Deed::Ask { pod: 0, link });
        world.work();
        assert!(matches!(world.pass(0, 0), Allocation::Held(_)));
        world.settle();
        assert_eq!(world.claims().len(), 1);
        if is_static {
            assert_eq!((world.claims(), world.deletions()), (before, 0));
        }
    }
}

/// Pods 1 and 3 are of one Deployment, on a node each; the second waits for the address of the first.
fn rollout() -> (World, Vec<ClaimName>) {
    let mut world = World::new(2, small(), Vec::new());
    world.suffer(&start(1, true));
    world.settle();
    let before = world.claims();
    world.suffer(&Deed::Start {
        node: 1,
        pod: 3,
        is_static: true,
    });
    world.work();
    let Allocation::Refused(Reason::AddressTaken, words) = world.pass(1, 3) else {
        panic!("the first has it");
    };
    let said = "10.99.0.2 is held by pod p1, which hands it over to this pod when it ends";
    assert!(words.starts_with(said), "{words}");
    (world, before)
}

fn is_handed_over(mut world: World, before: &[ClaimName]) {
    world.work();
    assert!(matches!(world.pass(1, 3), Allocation::Held(_)));
    let first = world.pass(0, 1);
    assert!(
        matches!(first, Allocation::Refused(Reason::AddressTaken, _)),
        "{first:?}"
    );
    world.settle();
    assert!(
        matches!(world.pass(1, 3), Allocation::Held(_)),
        "and it stays so"
    );
    assert_eq!((&world.claims()[..], world.deletions()), (before, 0));
}

#[test]
fn a_pod_that_ends_hands_its_address_over_to_its_successor_at_once() {
    let (mut world, before) = rollout();
    world.suffer(&Deed::Terminate(1));
    is_handed_over(world, &before);
}

/// A rollout keeps the old pod until the new one is ready: neither may wait for the other for ever.
#[test]
fn a_successor_that_lacks_nothing_but_its_link_has_the_address_before_the_old_pod_ends() {
    let (mut world, before) = rollout();
    world.settle();
    assert!(
        matches!(world.pass(0, 1), Allocation::Held(_)),
        "it is not ready yet"
    );
    world.suffer(&Deed::LacksLink(3));
    world.suffer(&Deed::LacksLink(1));
    is_handed_over(world, &before);
}

#[test]
fn a_successor_that_comes_when_the_old_pod_is_gone_waits_for_no_rest() {
    let mut world = World::new(2, small(), Vec::new());
    world.suffer(&start(1, true));
    world.settle();
    world.suffer(&Deed::End {
        pod: 1,
        is_missed: false,
    });
    world.work();
    world.suffer(&Deed::Start {
        node: 1,
        pod: 3,
        is_static: true,
    });
    world.work();
    assert!(matches!(world.pass(1, 3), Allocation::Held(_)));
    world.suffer(&Deed::Start {
        node: 1,
        pod: 0,
        is_static: true,
    });
    world.work();
    let other = world.pass(1, 0);
    assert!(
        matches!(other, Allocation::Refused(Reason::AddressTaken, _)),
        "of no controller: {other:?}"
    );
}

#[test]
fn a_full_range_is_told_at_the_price_of_one_list_and_is_had_when_something_is_free() {
    let range = small();
    let count = usize::try_from(range.count()).unwrap();
    let mut world = World::new(1, range, Vec::new());
    for pod in 0..count + 3 {
        world.suffer(&Deed::Start {
            node: 0,
            pod,
            is_static: false,
        });
    }
    world.settle();
    assert_eq!(world.claims().len(), count);
    let before = world.asked();
    world.settle();
    assert!(
        world.asked() - before <= 3 * 60,
        "{}",
        world.asked() - before
    );
    world.suffer(&Deed::End {
        pod: 0,
        is_missed: false,
    });
    world.settle();
    assert_eq!(world.claims().len(), count);
}

#[test]
fn a_claim_that_somebody_deletes_under_a_link_is_made_again_under_the_same_name() {
    let mut world = World::new(1, small(), Vec::new());
    world.suffer(&Deed::Start {
        node: 0,
        pod: 0,
        is_static: false,
    });
    world.settle();
    let before = world.claims();
    world.delete(&before[0]);
    world.settle();
    assert_eq!(world.claims(), before);
}

#[test]
fn what_another_has_got_meanwhile_is_refused_to_the_link_that_stands() {
    let mut world = World::new(2, small(), Vec::new());
    world.suffer(&start(0, true));
    world.settle();
    let name = world.claims().remove(0);
    world.steal(&name, "other");
    world.suffer(&Deed::Hear(0));
    world.settle();
    let allocation = world.pass(0, 0);
    let Allocation::Refused(Reason::AddressTaken, words) = allocation else {
        panic!("{allocation:?}");
    };
    assert!(words.contains("is held by pod other"), "{words}");
}

#[test]
fn an_address_rests_for_all_but_the_pod_that_had_it() {
    let range = range(json!({"cidr": "10.99.0.0/31"}));
    let mut world = World::new(1, range.clone(), Vec::new());
    world.suffer(&Deed::Start {
        node: 0,
        pod: 0,
        is_static: false,
    });
    world.suffer(&Deed::Start {
        node: 0,
        pod: 1,
        is_static: false,
    });
    world.settle();
    world.suffer(&Deed::End {
        pod: 0,
        is_missed: false,
    });
    world.suffer(&Deed::Start {
        node: 0,
        pod: 2,
        is_static: false,
    });
    world.work();
    let allocation = world.pass(0, 2);
    let Allocation::Refused(Reason::RangeFull, words) = allocation else {
        panic!("{allocation:?}");
    };
    assert!(words.contains("2 of 2 in use, 1 resting"), "{words}");
    world.suffer(&Deed::Start {
        node: 0,
        pod: 0,
        is_static: false,
    });
    world.work();
    assert!(matches!(world.pass(0, 0), Allocation::Held(_)));
    world.suffer(&Deed::End {
        pod: 1,
        is_missed: false,
    });
    world.settle();
    assert!(matches!(world.pass(0, 2), Allocation::Held(_)));
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
fn a_wide_range_is_searched_around_the_first_tries_and_told_full_only_when_all_of_it_was_listed() {
    let wide = range(json!({"cidr": "10.99.0.0/22"}));
    let mut world = World::new(1, wide.clone(), Vec::new());
    for number in 0..wide.count() {
        world.fill(wide.nth(number).unwrap());
    }
    world.suffer(&Deed::Start {
        node: 0,
        pod: 1,
        is_static: false,
    });
    let before = world.asked();
    world.work();
    let Allocation::Refused(Reason::RangeFull, words) = world.pass(0, 1) else {
        panic!("there is no room");
    };
    assert!(words.contains("1022 of 1022 in use"), "{words}");
    // Five tries, the small block around the last, and the block that has all of it.
    assert_eq!(world.asked() - before, 7);
    world.delete(&ClaimName::parse("cluster.10.99.2.7").unwrap());
    world.settle();
    assert_eq!(
        world.pass(0, 1),
        Allocation::Held(vec!["10.99.2.7".parse().unwrap()])
    );
}

#[test]
fn a_successor_whose_end_was_missed_keeps_no_address_in_motion() {
    let others = ["10.99.0.7/32", "10.99.0.8/32"].map(|network| network.parse().unwrap());
    let whole = range(json!({"cidr": "10.99.0.0/28"}));
    let mut world = World::new(3, whole, others.to_vec());
    let start = |node, pod, is_static| Deed::Start {
        node,
        pod,
        is_static,
    };
    for deed in [
        start(2, 7, true),
        Deed::Pass { node: 0, pod: 0 },
        start(2, 0, false),
        start(0, 8, false),
        start(2, 9, true),
        start(0, 12, false),
        start(0, 10, true),
        start(0, 13, false),
        start(2, 5, true),
        Deed::Terminate(7),
        Deed::End {
            pod: 5,
            is_missed: true,
        },
    ] {
        world.suffer(&deed);
    }
    world.settle();
    world.check_all_that_can_have_some_do();
    world.end_all();
    assert!(world.claims().is_empty(), "{:?}", world.claims());
}
