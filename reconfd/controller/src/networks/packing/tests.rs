#![allow(clippy::unwrap_used)]

use crds::reserved::{Source, Usage};
use k8s_openapi::jiff::Timestamp;
use proptest::{collection::btree_set, prelude::*};
use store::scope::{Scope, precedence};

use super::*;

fn network(n: u32) -> ReservedNetwork {
    ReservedNetwork {
        prefix: format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap(),
        usage: Usage::Pods,
        source: Source::Nodes,
        kind: "Node".into(),
        object: n.to_string(),
        field: String::new(),
        since: None,
    }
}

fn wanted(numbers: impl IntoIterator<Item = u32>) -> DatedNetworks {
    let since = Time(Timestamp::from_second(7).unwrap());
    let dated = numbers.into_iter().map(|n| (network(n), since.clone()));
    dated.collect()
}

fn sizes(lists: &NetworkLists) -> Vec<(usize, usize)> {
    lists.iter().map(|(n, list)| (*n, list.len())).collect()
}

#[test]
fn an_object_holds_five_hundred() {
    let lists = pack(&NetworkLists::new(), wanted(0..1100));
    assert_eq!(sizes(&lists), [(0, 500), (1, 500), (2, 100)]);
    let fewer = pack(&lists, wanted(500..1100));
    assert_eq!(sizes(&fewer), [(1, 500), (2, 100)]);
}

#[test]
fn a_name_says_its_number_and_no_other_installation_has_it() {
    assert_eq!(name("default", 2), "default.2");
    assert_eq!(number("default", "default.2"), Some(2));
    for other in [
        "default",
        "default.02",
        "default-2",
        "default2.2",
        "other.2",
        "default.2.2",
    ] {
        assert_eq!(number("default", other), None, "{other}");
    }
}

#[test]
fn the_head_names_what_is_unknown() {
    let source = |asked: &str, state| SourceState {
        source: Source::Calico,
        asked: asked.into(),
        state,
        message: String::new(),
    };
    let sources = vec![
        source("a", ReadState::Unknown),
        source("b", ReadState::Read),
        source("c", ReadState::Unknown),
    ];
    let now = Time(Timestamp::from_second(7).unwrap());
    let serves = precedence::serves(&Scope::default(), None, &now);
    let head = head("default", serves, 7, sources, now);
    assert_eq!(
        (head.summary.networks, head.summary.unknown.as_str()),
        (7, "a, c")
    );
}

fn numbers() -> impl Strategy<Value = std::collections::BTreeSet<u32>> {
    btree_set(0u32..2000, 0..1600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_network_is_in_exactly_one_object_and_none_is_too_large(first in numbers(), then in numbers()) {
        let lists = pack(&pack(&NetworkLists::new(), wanted(first)), wanted(then.clone()));
        let all: Vec<&ReservedNetwork> = lists.values().flatten().collect();
        prop_assert_eq!(all.len(), then.len());
        prop_assert!(lists.values().all(|list| (1..=MOST_NETWORKS).contains(&list.len())));
        prop_assert_eq!(&pack(&lists, wanted(then)), &lists);
    }

    #[test]
    fn a_network_that_comes_or_goes_changes_one_object(first in numbers(), then in numbers(), n in 0u32..2000) {
        let lists = pack(&pack(&NetworkLists::new(), wanted(first)), wanted(then.clone()));
        let mut other = then;
        if !other.remove(&n) {
            other.insert(n);
        }
        let after = pack(&lists, wanted(other));
        let all = lists.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
        let changed = all.into_iter().filter(|n| lists.get(n) != after.get(n));
        prop_assert_eq!(changed.count(), 1);
    }
}
