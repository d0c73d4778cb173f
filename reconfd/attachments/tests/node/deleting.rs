//! DEL that fails: what runs again, when, and how it ends.

use std::{collections::BTreeSet, time::Duration};

use attachments::{
    entry::{Phase, Why},
    state::{Attachments, LinkRequest, Target},
    status::Change,
};

use crate::{
    model::{Faults, Model},
    samples::{Pod, chain},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn attached(faults: Faults) -> (Model, Attachments, Pod) {
    let pod = Pod::new("tenant", "u1", "c1");
    let mut model = Model::new(&["c1"]);
    let mut state = model.start();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
    model.faults = faults;
    model.log.clear();
    (model, state, pod)
}

fn fails(place: usize, times: u32) -> Faults {
    Faults {
        del: [(place, times)].into(),
        ..Faults::default()
    }
}

fn dels(model: &Model) -> Vec<&str> {
    let lines = model.log.iter().filter(|line| line.starts_with("DEL"));
    lines
        .map(|line| line.strip_prefix("DEL a-c1-net1 ").unwrap())
        .collect()
}

#[test]
fn the_first_try_halts_and_the_second_repeats_what_is_left() {
    // From the last plugin to the first: 2 succeeds, 1 fails, 0 does not run.
    let (mut model, mut state, pod) = attached(fails(1, 2));
    state.request(pod.request(vec![]));
    model.settle(&mut state, HOUR).unwrap();
    // The second try fails at 1 and runs 0 all the same; the third has only 1 left.
    assert_eq!(dels(&model), ["{0, 1, 2}", "{0, 1}", "{1}"]);
    model.attached(&[]);
}

#[test]
fn a_restart_knows_what_is_left() {
    let (mut model, mut state, pod) = attached(fails(1, 1));
    state.request(pod.request(vec![]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    let mut state = model.start();
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(dels(&model), ["{0, 1, 2}", "{0, 1}"]);
    model.attached(&[]);
}

#[test]
fn tries_follow_each_other_after_one_second_to_five_minutes() {
    let (mut model, mut state, pod) = attached(fails(2, u32::MAX));
    state.request(pod.request(vec![]));
    let mut tries = Vec::new();
    let start = model.now;
    while tries.len() < 14 {
        model.settle(&mut state, Duration::ZERO).unwrap();
        tries.push((model.now - start).as_secs());
        model.now = state.next_due().unwrap();
    }
    let gaps: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
}

#[test]
fn with_the_namespace_alive_there_is_no_end() {
    let (mut model, mut state, pod) = attached(fails(2, u32::MAX));
    state.request(pod.request(vec![]));
    model.settle(&mut state, 3 * DAY).unwrap();
    assert!(model.lost.is_empty());
    let entry = model.disk.values().next().unwrap();
    let deletion = entry.deletion().unwrap();
    assert_eq!(
        (deletion.why, deletion.failing_seconds),
        (Why::NotRequested, 0)
    );
    assert!(deletion.failures > 800, "{deletion:?}");
    assert_eq!(deletion.remaining, Some(BTreeSet::from([2])));
}

#[test]
fn without_the_namespace_it_is_lost_after_a_day() {
    let (mut model, mut state, _) = attached(fails(2, u32::MAX));
    model.alive.clear();
    state.pod_ended("u1");
    model.settle(&mut state, DAY - HOUR).unwrap();
    assert!(model.lost.is_empty(), "not before the day is over");
    model.settle(&mut state, 2 * HOUR).unwrap();
    assert_eq!(model.lost.len(), 1);
    assert!(model.disk.is_empty());
    assert!(
        matches!(model.changes().last(), Some(Change::Lost(failure)) if failure.message == "DEL")
    );
    assert_eq!(state.counts().lost, 1);
    assert_eq!(state.next_due(), None, "nothing is tried again");
    let entry = model.lost.values().next().unwrap();
    assert_eq!(entry.deletion().unwrap().error, "DEL");
}

#[test]
fn the_day_goes_on_over_restarts_and_stands_still_without_a_daemon() {
    let (mut model, mut state, _) = attached(fails(2, u32::MAX));
    model.alive.clear();
    state.pod_ended("u1");
    model.settle(&mut state, DAY / 2).unwrap();
    model.now += 10 * DAY;
    let mut state = model.start();
    model.settle(&mut state, DAY / 3).unwrap();
    assert!(model.lost.is_empty(), "nothing was tried for ten days");
    model.settle(&mut state, DAY / 4).unwrap();
    assert_eq!(model.lost.len(), 1);
}

#[test]
fn a_namespace_that_comes_back_begins_the_day_anew() {
    let (mut model, mut state, _) = attached(fails(2, u32::MAX));
    model.alive.clear();
    state.pod_ended("u1");
    model.settle(&mut state, DAY - HOUR).unwrap();
    model.alive.insert("c1".into());
    model.settle(&mut state, HOUR / 2).unwrap();
    model.alive.clear();
    model.settle(&mut state, DAY / 2).unwrap();
    assert!(model.lost.is_empty());
}

#[test]
fn a_runner_that_is_not_there_makes_nothing_lost() {
    let (mut model, mut state, _) = attached(Faults {
        not_run: 1000,
        ..Faults::default()
    });
    model.alive.clear();
    state.pod_ended("u1");
    model.settle(&mut state, 3 * DAY).unwrap();
    assert!(model.lost.is_empty());
    model.settle(&mut state, DAY).unwrap();
    model.attached(&[]);
}

#[test]
fn without_its_binary_it_is_lost_after_a_day() {
    let (mut model, mut state, _) = attached(Faults {
        no_binary: true,
        ..Faults::default()
    });
    model.alive.clear();
    state.pod_ended("u1");
    model.settle(&mut state, DAY - HOUR).unwrap();
    assert!(model.lost.is_empty());
    let left = model
        .disk
        .values()
        .next()
        .unwrap()
        .deletion()
        .unwrap()
        .remaining
        .clone();
    assert_eq!(left, Some([0, 1, 2].into()));
    model.settle(&mut state, 2 * HOUR).unwrap();
    assert_eq!(model.lost.len(), 1);
}

#[test]
fn another_boot_deletes_all_without_a_namespace_and_without_a_request() {
    let (mut model, _, _) = attached(Faults::default());
    model.boot_id = "another".into();
    // A namespace of this boot has the same path, and even the same cookie.
    assert!(model.alive.contains("c1"));
    let mut state = model.start();
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(dels(&model), ["{0, 1, 2} without namespace"]);
    model.attached(&[]);
}

#[test]
fn del_uses_what_was_stored_whatever_is_requested() {
    let (mut model, mut state, pod) = attached(Faults::default());
    // The definition was edited under the same name: the model compares the chain of each effect with that of its DEL.
    let mut link = pod.link("net1", "a", &[]);
    let Target::Attach(wanted) = &mut link.target else {
        unreachable!();
    };
    wanted.spec_hash = "edited".into();
    wanted.chain.plugins[0]
        .object
        .insert("mode".into(), "private".into());
    let edited = wanted.chain.clone();
    state.request(pod.request(vec![link]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[edited]);
}

#[test]
fn an_ended_sandbox_is_deleted_at_once_whatever_the_backoff() {
    let (mut model, mut state, pod) = attached(fails(2, 8));
    state.request(pod.request(vec![]));
    model.settle(&mut state, Duration::from_secs(200)).unwrap();
    assert!(
        model
            .disk
            .values()
            .all(|entry| matches!(entry.phase, Phase::Deleting(_)))
    );
    let (before, now) = (model.count("DEL"), model.now);
    state.sandbox_ended("c1");
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!((model.count("DEL"), model.now), (before + 1, now));
    model.attached(&[]);
}

#[test]
fn a_request_that_says_nothing_new_tries_nothing_earlier() {
    let (mut model, mut state, pod) = attached(fails(2, u32::MAX));
    state.request(pod.request(vec![]));
    model.settle(&mut state, Duration::from_secs(100)).unwrap();
    let tries = model.count("DEL");
    let keep = LinkRequest {
        ifname: "net1".into(),
        target: Target::Keep,
    };
    for links in [vec![], vec![keep.clone()], vec![keep]] {
        state.request(pod.request(links));
        model.settle(&mut state, Duration::ZERO).unwrap();
    }
    assert_eq!(model.count("DEL"), tries);
}

#[test]
fn a_full_disk_keeps_no_ended_pod_from_being_deleted() {
    let (mut model, mut state, _) = attached(Faults {
        disk_full: 1000,
        ..Faults::default()
    });
    state.sandbox_ended("c1");
    model.settle(&mut state, Duration::ZERO).unwrap();
    model.attached(&[]);
}

#[test]
fn a_change_that_cannot_be_written_leaves_the_link() {
    let (mut model, mut state, pod) = attached(Faults {
        disk_full: 3,
        ..Faults::default()
    });
    state.request(pod.request(vec![pod.link("net1", "b", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert_eq!(model.count("DEL"), 0);
    model.attached(&[chain("a", "c1", "net1")]);
    model.settle(&mut state, HOUR).unwrap();
    model.attached(&[chain("b", "c1", "net1")]);
}

#[test]
fn del_has_the_result_of_an_add_that_is_known_and_none_of_another() {
    let (mut model, mut state, pod) = attached(Faults::default());
    state.request(pod.request(vec![]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert!(model.del_had_result);
    model.faults.add = Some((0, 1));
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert!(!model.del_had_result);
}

/// Some plugins know by it alone what they have made.
#[test]
fn del_after_a_failed_add_has_the_result_of_the_plugins_before() {
    let pod = Pod::new("tenant", "u1", "c1");
    let mut model = Model::new(&["c1"]);
    model.faults.add = Some((2, 1));
    let mut state = model.start();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    model.settle(&mut state, Duration::ZERO).unwrap();
    assert!(model.del_had_result);
    model.attached(&[]);
}

#[test]
fn a_result_that_cannot_be_written_is_undone_with_it_at_once() {
    let pod = Pod::new("tenant", "u1", "c1");
    let mut model = Model::new(&["c1"]);
    let mut state = model.start();
    state.request(pod.request(vec![pod.link("net1", "a", &[])]));
    let work = state.next(model.now).unwrap();
    model.faults.fail_write = Some(Phase::Added);
    model.run(&mut state, work).unwrap();
    assert!(model.del_had_result);
    model.attached(&[]);
    model.settle(&mut state, HOUR).unwrap();
    model.attached(&[chain("a", "c1", "net1")]);
}
