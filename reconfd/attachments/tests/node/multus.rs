//! What Multus attached at pod start is detached: the daemon ends at every step, the pod ends meanwhile, DEL fails.

use std::{collections::BTreeSet, time::Duration};

use attachments::{
    entry::{Entry, Phase},
    state::Attachments,
    status::{Change, FailureReason, LinkState},
};

use crate::{
    model::{Faults, Model},
    samples::{Pod, chain},
};

const HOUR: Duration = Duration::from_secs(3600);

fn pod() -> Pod {
    Pod::new("tenant", "u1", "c1")
}

/// A pod with `net1` and `net2` of Multus.
fn model(faults: &Faults) -> Model {
    let mut model = Model::new(&["c1"]);
    model.faults = faults.clone();
    model.start_by_multus(&chain("fast", "c1", "net1"));
    model.start_by_multus(&chain("slow", "c1", "net2"));
    model
}

/// Only what is taken over has gone, with its file, and the store says so.
fn is_detached(model: &Model) {
    let left: BTreeSet<_> = model
        .effects
        .keys()
        .map(|(slot, _)| slot.ifname.as_str())
        .collect();
    assert_eq!(left, ["net2"].into(), "{}", model.story());
    let files: Vec<_> = model
        .multus
        .keys()
        .map(|slot| slot.ifname.as_str())
        .collect();
    assert_eq!(files, ["net2"], "{}", model.story());
    let stored: Vec<&Phase> = model.disk.values().map(|entry| &entry.phase).collect();
    assert_eq!(stored, [&Phase::Detached], "{}", model.story());
}

/// Restarts until the request is settled.
fn settle(model: &mut Model, state: &mut Attachments, request: &attachments::state::PodRequest) {
    loop {
        state.request(request.clone());
        if model.settle(state, HOUR).is_ok() {
            return;
        }
        *state = model.start();
    }
}

fn state_of(state: &Attachments) -> LinkState {
    state.outcome("u1").links[0].clone()
}

/// Detached, then requested of podconfig. Returns the number of steps.
fn run(faults: &Faults, crashes: [Option<usize>; 2]) -> usize {
    let (pod, mut model) = (pod(), model(faults));
    [model.fuel, model.next_fuel] = crashes;
    let mut state = model.start();
    settle(
        &mut model,
        &mut state,
        &pod.request(vec![pod.take_over("net1")]),
    );
    is_detached(&model);
    assert_eq!(state_of(&state), LinkState::Detached);
    let wanted = chain("other", "c1", "net1");
    settle(
        &mut model,
        &mut state,
        &pod.request(vec![pod.link("net1", "other", &[])]),
    );
    model.mirrors(&state);
    let stored: Vec<&Entry> = model.disk.values().collect();
    assert_eq!(stored.len(), 1, "{}", model.story());
    assert_eq!(stored[0].chain, wanted);
    let of_net1 = |(slot, _): &&(attachments::entry::Slot, usize)| slot.ifname == "net1";
    assert_eq!(
        model.effects.keys().filter(of_net1).count(),
        wanted.plugins.len()
    );
    model.steps
}

#[test]
fn every_crash_ends_in_one_truth() {
    let failing = Faults {
        del: [(1, 2)].into(),
        remove_multus: 1,
        read_multus: 1,
        ..Faults::default()
    };
    for faults in [Faults::default(), failing] {
        let total = run(&faults, [None, None]);
        assert!(total > 20, "{total} steps");
        for first in 0..total {
            for second in [None, Some(0), Some(1), Some(3), Some(7)] {
                run(&faults, [Some(first), second]);
            }
        }
    }
}

/// Multus deletes what it has files of; podconfig what it has begun.
#[test]
fn a_pod_that_ends_meanwhile_leaves_nothing() {
    let pod = pod();
    let total = run(&Faults::default(), [None, None]);
    for first in 0..total {
        for (is_gone, is_rebooted) in [(false, false), (true, false), (true, true)] {
            let mut model = model(&Faults::default());
            model.fuel = Some(first);
            let mut state = model.start();
            state.request(pod.request(vec![pod.take_over("net1")]));
            let _ = model.settle(&mut state, HOUR);
            model.fuel = None;
            if is_gone {
                model.alive.clear();
            }
            if is_rebooted {
                model.boot_id = "another".into();
            }
            model.end_by_multus();
            state = model.start();
            state.synced(&BTreeSet::new());
            model.settle(&mut state, HOUR).unwrap();
            model.mirrors(&state);
            assert!(
                model.disk.is_empty() && model.effects.is_empty(),
                "{}",
                model.story()
            );
        }
    }
}

#[test]
fn a_link_without_a_file_of_multus_is_left_alone_and_reported() {
    let (pod, mut model) = (pod(), model(&Faults::default()));
    model.multus.clear();
    let mut state = model.start();
    state.request(pod.request(vec![pod.take_over("net1")]));
    model.settle(&mut state, HOUR).unwrap();
    let LinkState::Detaching(Some(failure)) = state_of(&state) else {
        unreachable!("{:?}", state_of(&state));
    };
    assert_eq!(failure.reason, FailureReason::DetachIncomplete);
    assert!(model.disk.is_empty() && model.count("DEL") == 0);
    // Gone with another program's help: nothing is left to do.
    model.effects.clear();
    model.settle(&mut state, HOUR).unwrap();
    assert_eq!(state_of(&state), LinkState::Detached);
    assert!(model.disk.is_empty());
}

#[test]
fn a_chain_that_the_node_does_not_run_stays_with_multus() {
    let (pod, mut model) = (
        pod(),
        model(&Faults {
            no_binary: true,
            ..Faults::default()
        }),
    );
    let mut state = model.start();
    state.request(pod.request(vec![pod.take_over("net1")]));
    model.settle(&mut state, HOUR).unwrap();
    let LinkState::Detaching(Some(failure)) = state_of(&state) else {
        unreachable!("{:?}", state_of(&state));
    };
    assert_eq!(failure.reason, FailureReason::PluginNotFound);
    assert!(model.disk.is_empty() && model.multus.len() == 2);
    // Requested again meanwhile: there is nothing to undo.
    state.request(pod.request(vec![]));
    model.settle(&mut state, HOUR).unwrap();
    assert!(model.multus.len() == 2 && state.is_empty());
}

#[test]
fn a_del_that_fails_is_repeated_and_reported() {
    let faults = Faults {
        del: [(0, 1)].into(),
        ..Faults::default()
    };
    let (pod, mut model) = (pod(), model(&faults));
    let mut state = model.start();
    state.request(pod.request(vec![pod.take_over("net1")]));
    model.settle(&mut state, HOUR).unwrap();
    is_detached(&model);
    let changes = model.changes();
    let failed = changes
        .iter()
        .filter(|change| matches!(change, Change::DetachFailed(_)));
    assert_eq!(failed.count(), 1);
    let detached = changes
        .iter()
        .filter(|change| matches!(change, Change::Detached(_)));
    assert_eq!(detached.count(), 1);
    // Once the pod's network-status has lost it, nothing is stored.
    state.request(pod.request(vec![]));
    model.settle(&mut state, HOUR).unwrap();
    assert!(model.disk.is_empty() && state.is_empty());
}
