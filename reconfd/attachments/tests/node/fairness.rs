//! Limits and shares.

use std::time::{Duration, Instant};

use attachments::{
    limits::Limits,
    state::{Attachments, Work},
};

use crate::{
    model::{Faults, Model},
    samples::Pod,
};

fn node(pods: &[(&str, usize)]) -> (Model, Attachments) {
    node_with(pods, Limits::default())
}

fn node_with(pods: &[(&str, usize)], limits: Limits) -> (Model, Attachments) {
    let ids: Vec<String> = pods
        .iter()
        .flat_map(|(namespace, count)| {
            (0..*count).map(move |number| format!("{namespace}{number}"))
        })
        .collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let model = Model::new(&names);
    let mut state = model.start_with(limits);
    for (namespace, count) in pods {
        for number in 0..*count {
            let id = format!("{namespace}{number}");
            let pod = Pod::new(namespace, &id, &id);
            state.request(pod.request(vec![pod.link("net1", "a", &[])]));
        }
    }
    (model, state)
}

fn all(state: &mut Attachments, now: Instant) -> Vec<Work> {
    std::iter::from_fn(|| state.next(now)).collect()
}

fn of(namespace: &str, works: &[Work]) -> usize {
    works
        .iter()
        .filter(|work| work.uid.starts_with(namespace))
        .count()
}

#[test]
fn four_chains_run_at_a_time_and_one_per_pod() {
    let (model, mut state) = node(&[("a", 20)]);
    let running = all(&mut state, model.now);
    assert_eq!(running.len(), 4);
    let pod = Pod::new("b", "b0", "b0");
    let (model, mut state) = node(&[]);
    let links = vec![pod.link("net1", "a", &[]), pod.link("net2", "a", &[])];
    state.request(pod.request(links));
    assert_eq!(all(&mut state, model.now).len(), 1);
}

#[test]
fn chains_of_one_namespace_that_hang_leave_one_to_the_others() {
    let (mut model, mut state) = node(&[("a", 50), ("b", 50)]);
    let running = all(&mut state, model.now);
    assert_eq!((of("a", &running), of("b", &running)), (2, 2));
    // Those of a hang. All of b goes on, one after the other.
    let (hanging, mut others): (Vec<Work>, Vec<Work>) = running
        .into_iter()
        .partition(|work| work.uid.starts_with('a'));
    let (mut done, mut hangs) = (0, hanging.len());
    while let Some(work) = others.pop() {
        model.run(&mut state, work).unwrap();
        done += 1;
        let more = all(&mut state, model.now);
        let (a, b): (Vec<Work>, Vec<Work>) =
            more.into_iter().partition(|work| work.uid.starts_with('a'));
        hangs += a.len();
        others.extend(b);
    }
    assert_eq!((done, hangs), (50, 3), "without any time passing");
}

#[test]
fn pods_that_ran_into_a_limit_wait_for_those_that_did_not_and_have_half() {
    let (mut model, mut state) = node(&[("a", 8)]);
    model.faults = Faults {
        add: Some((0, 8)),
        timeout: true,
        ..Faults::default()
    };
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(model.count("ADD"), 8);
    model.now += Duration::from_secs(2);
    let new = Pod::new("a", "new", "new");
    model.alive.insert("new".into());
    state.request(new.request(vec![new.link("net1", "a", &[])]));
    let running = all(&mut state, model.now);
    let names: Vec<&str> = running.iter().map(|work| work.uid.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "new", "{names:?}");
}

#[test]
fn a_namespace_starts_two_a_second_after_its_burst_and_deletions_are_free() {
    let (mut model, mut state) = node(&[("a", 100)]);
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(model.count("ADD"), 64);
    model.settle(&mut state, Duration::from_secs(10)).unwrap();
    assert_eq!(model.count("ADD"), 84);
    let now = model.now;
    for number in 0..64 {
        state.pod_ended(&format!("a{number}"));
    }
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(model.now, now);
    assert!(model.count("DEL") > 40, "{}", model.count("DEL"));
    model.settle(&mut state, Duration::from_secs(60)).unwrap();
    model.mirrors(&state);
    assert_eq!(model.disk.len(), 36);
}

#[test]
fn a_node_starts_ten_a_second_after_its_burst() {
    let names: Vec<String> = (0..300).map(|number| format!("ns{number}-")).collect();
    let pods: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let (mut model, mut state) = node(&pods);
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(model.count("ADD"), 128);
    model.settle(&mut state, Duration::from_secs(5)).unwrap();
    assert_eq!(model.count("ADD"), 178);
}

#[test]
fn one_chain_at_a_time_serves_all_namespaces_in_turn() {
    let limits = Limits {
        parallel: 1,
        ..Limits::default()
    };
    let (mut model, mut state) = node_with(&[("a", 30), ("b", 2)], limits);
    for _ in 0..4 {
        let work = state.next(model.now).unwrap();
        assert!(state.next(model.now).is_none());
        model.run(&mut state, work).unwrap();
    }
    assert_eq!(model.count("ADD a-b"), 2, "{}", model.story());
}

#[test]
fn thousand_pods_cost_no_more_each_than_ten() {
    let slow = Limits {
        node: attachments::limits::Rate::new(100_000, Duration::from_millis(1)),
        namespace: attachments::limits::Rate::new(100_000, Duration::from_millis(1)),
        ..Limits::default()
    };
    let (mut model, mut state) = node_with(&[("a", 1000)], slow);
    let mut looked = 0;
    while let Some(work) = state.next(model.now) {
        model.run(&mut state, work).unwrap();
        looked += 1;
    }
    assert_eq!(
        looked, 1000,
        "each pod has one operation, and no other is begun"
    );
}
