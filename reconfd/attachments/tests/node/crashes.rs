//! The daemon ends at every step of ADD, DEL and change, once and twice. Afterwards there is exactly one truth, nothing
//! is left, nothing is there twice, and DEL ran with the configuration of its ADD.

use std::{collections::BTreeSet, time::Duration};

use attachments::state::PodRequest;
use cni::FrozenChain;

use crate::{
    model::{Faults, Model},
    samples::{Pod, chain},
};

const HOUR: Duration = Duration::from_secs(3600);

/// What is requested, and what is attached in the end.
struct Stage {
    request: PodRequest,
    attached: Vec<FrozenChain>,
}

/// What happens while no daemon runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Nothing,
    /// The request changes.
    NextStage,
    /// The request is again what it was before.
    Reverted,
    PodEnded,
    NamespaceGone,
    Reboot,
}

const ALL: [Meanwhile; 6] = [
    Meanwhile::Nothing,
    Meanwhile::NextStage,
    Meanwhile::Reverted,
    Meanwhile::PodEnded,
    Meanwhile::NamespaceGone,
    Meanwhile::Reboot,
];

/// Runs the stages with the daemon ending after so many steps. Returns the number of steps.
fn run(
    stages: &[Stage],
    faults: &Faults,
    crashes: [Option<usize>; 2],
    meanwhile: Meanwhile,
) -> usize {
    let mut model = Model::new(&["c1"]);
    model.faults = faults.clone();
    [model.fuel, model.next_fuel] = crashes;
    let mut state = model.start();
    let mut at = 0;
    while at < stages.len() {
        state.request(stages[at].request.clone());
        if model.settle(&mut state, HOUR).is_ok() {
            model.mirrors(&state);
            model.attached(&stages[at].attached);
            at += 1;
            continue;
        }
        state = model.start();
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Reverted => at = at.saturating_sub(1),
            Meanwhile::NextStage => at = (at + 1).min(stages.len() - 1),
            Meanwhile::PodEnded | Meanwhile::NamespaceGone | Meanwhile::Reboot => {
                return end(model, meanwhile);
            }
        }
    }
    model.steps
}

/// The pod ends while no daemon runs: everything goes.
fn end(mut model: Model, meanwhile: Meanwhile) -> usize {
    if meanwhile != Meanwhile::PodEnded {
        model.alive.clear();
    }
    if meanwhile == Meanwhile::Reboot {
        model.boot_id = "another".into();
    }
    loop {
        let mut state = model.start();
        match meanwhile {
            // The boot id alone says enough.
            Meanwhile::Reboot => {}
            _ => state.synced(&BTreeSet::new()),
        }
        if model.settle(&mut state, HOUR).is_ok() {
            model.mirrors(&state);
            model.attached(&[]);
            assert_eq!(model.counts_of(&state), 0);
            return model.steps;
        }
    }
}

/// Every crash, whatever happens meanwhile.
fn explore(stages: &[Stage], faults: &Faults) {
    let total = run(stages, faults, [None, None], Meanwhile::Nothing);
    assert!(total > 10, "{total} steps");
    for meanwhile in ALL {
        for first in 0..total {
            run(stages, faults, [Some(first), None], meanwhile);
        }
    }
}

/// Every crash, and every second crash after each.
fn explore_twice(stages: &[Stage], faults: &Faults) {
    let total = run(stages, faults, [None, None], Meanwhile::Nothing);
    for meanwhile in [
        Meanwhile::Nothing,
        Meanwhile::Reverted,
        Meanwhile::NamespaceGone,
    ] {
        for first in 0..total {
            for second in 0..total {
                run(stages, faults, [Some(first), Some(second)], meanwhile);
            }
        }
    }
}

fn stage(pod: &Pod, links: &[(&str, &str)]) -> Stage {
    let requests = links
        .iter()
        .map(|(ifname, network)| pod.link(ifname, network, &[]));
    let chains = links
        .iter()
        .map(|(ifname, network)| chain(network, &pod.container_id, ifname));
    Stage {
        request: pod.request(requests.collect()),
        attached: chains.collect(),
    }
}

fn pod() -> Pod {
    Pod::new("tenant", "u1", "c1")
}

#[test]
fn add_and_del() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[])];
    explore(&stages, &Faults::default());
    explore_twice(&stages, &Faults::default());
}

#[test]
fn change_to_another_configuration() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[("net1", "b")])];
    explore(&stages, &Faults::default());
    explore_twice(&stages, &Faults::default());
}

#[test]
fn change_of_the_name() {
    let pod = pod();
    let stages = [
        stage(&pod, &[("net1", "a")]),
        stage(&pod, &[("net2", "a")]),
        stage(&pod, &[]),
    ];
    explore(&stages, &Faults::default());
}

#[test]
fn add_that_fails_in_the_middle() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[])];
    let faults = Faults {
        add: Some((1, 2)),
        ..Faults::default()
    };
    explore(&stages, &faults);
}

#[test]
fn del_that_fails_three_times() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[("net1", "b")])];
    let faults = Faults {
        del: [(0, 1), (1, 2)].into(),
        ..Faults::default()
    };
    explore(&stages, &faults);
}

#[test]
fn a_result_that_is_refused_and_judged_late() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[])];
    let faults = Faults {
        refuse: 1,
        later: 1,
        ..Faults::default()
    };
    explore(&stages, &faults);
}

#[test]
fn a_default_route_that_the_kernel_refuses() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[])];
    let faults = Faults {
        routes: 1,
        ..Faults::default()
    };
    explore(&stages, &faults);
}

#[test]
fn a_runner_that_breaks_off_and_one_that_is_busy() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[])];
    for (broken, not_run) in [(2, 0), (0, 2), (1, 1)] {
        let faults = Faults {
            broken,
            not_run,
            ..Faults::default()
        };
        explore(&stages, &faults);
    }
}

#[test]
fn a_full_disk_for_any_number_of_writes() {
    let pod = pod();
    let stages = [stage(&pod, &[("net1", "a")]), stage(&pod, &[("net1", "b")])];
    for disk_full in 1..6 {
        let faults = Faults {
            disk_full,
            ..Faults::default()
        };
        explore(&stages, &faults);
    }
}

#[test]
fn change_of_a_link_that_another_is_made_on() {
    let pod = pod();
    let on = |network: &str| Stage {
        request: pod.request(vec![
            pod.link("net1", network, &[]),
            pod.link("vlan", "v", &["net1"]),
        ]),
        attached: vec![chain(network, "c1", "net1"), chain("v", "c1", "vlan")],
    };
    explore(&[on("a"), on("b"), stage(&pod, &[])], &Faults::default());
}
