use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// An event of one of a few pods, or of the PodConfig.
#[derive(Clone, Debug)]
enum Event {
    Pod(usize, Option<PodInfo>),
    Report(usize, Option<ReportInfo>),
    Config(Option<i64>),
}

fn name(n: usize) -> String {
    format!("web-{n}")
}

fn event() -> impl Strategy<Value = Event> {
    let seen = (
        select(vec![None, Some("n0"), Some("n1")]),
        select(vec!["cnf", "web"]),
        any::<bool>(),
    );
    let pod = (0usize..4, proptest::option::weighted(0.8, seen)).prop_map(|(n, seen)| {
        let seen = seen.map(|(node, app, is_active)| PodInfo {
            uid: format!("uid-{}", name(n)),
            node: node.map(str::to_owned),
            labels: labels("app", app),
            is_active,
            has_ended: false,
            unreachable_since: None,
        });
        Event::Pod(n, seen)
    });
    let states = select(vec![
        (LinkState::Ready, Reason::LinkReady),
        (LinkState::Pending, Reason::ParentDown),
        (LinkState::Failed, Reason::NotAllowed),
    ]);
    let said = (states, 1i64..4, select(vec!["n0", "n1"]));
    let report = (0usize..4, proptest::option::weighted(0.8, said)).prop_map(|(n, said)| {
        let report = said.map(|((state, reason), generation, node)| {
            let link = ReportedLink {
                generation,
                ..link(state, reason)
            };
            ReportInfo {
                node: node.into(),
                ..report(&name(n), link)
            }
        });
        Event::Report(n, report)
    });
    let config = proptest::option::weighted(0.9, 1i64..4);
    prop_oneof![4 => pod, 4 => report, 1 => config.prop_map(Event::Config)]
}

fn observe(fixture: &mut Fixture, event: Event) {
    match event {
        Event::Pod(n, pod) => fixture.pod(&name(n), pod),
        Event::Report(n, report) => fixture.report(&name(n), report),
        Event::Config(None) => fixture.observe("t", "data", ObjectChange::PodConfig(None)),
        Event::Config(Some(generation)) => {
            let mut object = config(generation);
            // Each edit selects others.
            let app = ["web", "cnf"][generation as usize % 2];
            object["spec"]["podSelector"]["matchLabels"]["app"] = app.into();
            fixture.config(object)
        }
    };
}

/// Only the last event of each object.
fn last_events(events: &[Event]) -> Vec<Event> {
    let key = |event: &Event| match event {
        Event::Config(_) => (0, 0),
        Event::Pod(n, _) => (1, *n),
        Event::Report(n, _) => (2, *n),
    };
    let last: BTreeMap<_, _> = events
        .iter()
        .map(|event| (key(event), event.clone()))
        .collect();
    last.into_values().collect()
}

proptest! {
    #[test]
    fn what_was_heard_on_the_way_leaves_no_trace(events in vec(event(), 0..40)) {
        let (mut whole, mut last) = (Fixture::with_namespace(), Fixture::with_namespace());
        for event in events.clone() {
            observe(&mut whole, event);
        }
        for event in last_events(&events) {
            observe(&mut last, event);
        }
        prop_assert_eq!(whole.status(), last.status());
    }

    #[test]
    fn nothing_that_changes_a_status_goes_without_a_mark(events in vec(event(), 0..40)) {
        let mut fixture = Fixture::with_namespace();
        let key = ReconcileKey::status("t", "data");
        for event in events {
            let before = fixture.status();
            observe(&mut fixture, event.clone());
            let after = fixture.status();
            let is_marked = fixture.requeues.iter().any(|requeue| requeue.key == key);
            prop_assert!(is_marked || before == after || after.is_none(), "{:?}", event);
        }
    }
}
