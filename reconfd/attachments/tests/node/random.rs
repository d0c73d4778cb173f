//! Random orders of requests, ends, restarts and failures. Whatever happens, the end is what is requested.

use std::{collections::BTreeSet, time::Duration};

use attachments::{
    entry::Slot,
    state::Refusal,
    status::{Failure, FailureReason},
};
use cni::FrozenChain;
use proptest::prelude::*;
use serde_json::json;

use crate::{
    model::{Faults, Model},
    samples::{Pod, chain},
};

#[derive(Clone, Debug)]
enum Act {
    /// Links of a pod: for each of three names a network, or none.
    Request(usize, [Option<u8>; 3]),
    /// Some operations run.
    Run(usize),
    /// The daemon ends after so many steps.
    Crash(usize),
    SandboxEnded(usize),
    NamespaceGone(usize),
    /// The pod has another sandbox.
    NewSandbox(usize),
    /// What is attached may not stay; the next result may.
    Refuse(usize, usize, bool),
    Fault(u8, u32),
    Wait(u64),
}

const PODS: usize = 3;
const NAMES: [&str; 3] = ["net1", "net2", "net3"];

fn act() -> impl Strategy<Value = Act> {
    let links = prop::array::uniform3(prop::option::weighted(0.7, 0..3_u8));
    prop_oneof![
        4 => (0..PODS, links).prop_map(|(pod, links)| Act::Request(pod, links)),
        3 => (1..4_usize).prop_map(Act::Run),
        2 => (0..40_usize).prop_map(Act::Crash),
        1 => (0..PODS).prop_map(Act::SandboxEnded),
        1 => (0..PODS).prop_map(Act::NamespaceGone),
        1 => (0..PODS).prop_map(Act::NewSandbox),
        2 => (0..PODS, 0..3_usize, any::<bool>()).prop_map(|(pod, link, is_lasting)| Act::Refuse(pod, link, is_lasting)),
        3 => (0..9_u8, 1..4_u32).prop_map(|(which, times)| Act::Fault(which, times)),
        2 => (0..700_u64).prop_map(Act::Wait),
    ]
}

struct Node {
    model: Model,
    state: attachments::state::Attachments,
    pods: Vec<Pod>,
    requested: Vec<Option<[Option<u8>; 3]>>,
    has_ended: Vec<bool>,
    ended: BTreeSet<String>,
    sandboxes: usize,
}

impl Node {
    fn new() -> Self {
        let pods: Vec<Pod> = (0..PODS)
            .map(|number| {
                Pod::new(
                    &format!("ns{}", number % 2),
                    &format!("u{number}"),
                    &format!("c{number}"),
                )
            })
            .collect();
        let ids: Vec<&str> = pods.iter().map(|pod| pod.container_id.as_str()).collect();
        let model = Model::new(&ids);
        Self {
            state: model.start(),
            model,
            requested: vec![None; PODS],
            has_ended: vec![false; PODS],
            ended: BTreeSet::new(),
            sandboxes: 0,
            pods,
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Request(pod, links) => {
                self.requested[*pod] = Some(*links);
                self.request(*pod);
            }
            Act::Run(count) => self.run(*count),
            Act::Crash(steps) => {
                self.model.fuel = Some(*steps);
                self.run(3);
                self.model.fuel = None;
            }
            Act::SandboxEnded(pod) => {
                let id = self.pods[*pod].container_id.clone();
                self.end(*pod, &id);
            }
            Act::NamespaceGone(pod) => {
                let id = self.pods[*pod].container_id.clone();
                self.model.alive.remove(&id);
                self.end(*pod, &id);
            }
            Act::NewSandbox(pod) => {
                self.sandboxes += 1;
                let id = format!("s{}", self.sandboxes);
                self.model.alive.insert(id.clone());
                // The daemon finds the record of the old one gone.
                let old = std::mem::replace(&mut self.pods[*pod].container_id, id);
                self.end(*pod, &old);
                self.has_ended[*pod] = false;
                self.request(*pod);
            }
            Act::Refuse(pod, link, is_lasting) => self.refuse(*pod, NAMES[*link], *is_lasting),
            Act::Fault(which, times) => fault(&mut self.model.faults, *which, *times),
            Act::Wait(seconds) => self.model.now += Duration::from_secs(*seconds),
        }
    }

    fn refuse(&mut self, pod: usize, ifname: &str, is_lasting: bool) {
        let Pod {
            uid, container_id, ..
        } = &self.pods[pod];
        let refusal = Refusal {
            result: Some(json!({"cniVersion": "1.0.0"})),
            failure: Failure::new(FailureReason::Judged("NotAllowed"), "not allowed"),
            is_lasting,
        };
        let slot = Slot::new(container_id, ifname);
        self.state.judge_attached(uid, &slot, Some(refusal));
    }

    fn end(&mut self, pod: usize, container_id: &str) {
        self.has_ended[pod] = true;
        self.ended.insert(container_id.to_owned());
        self.state.sandbox_ended(container_id);
    }

    /// What a daemon states for a pod: an ended sandbox is none.
    fn request(&mut self, pod: usize) {
        let Some(links) = self.requested[pod] else {
            return;
        };
        let of = &self.pods[pod];
        let links = links.iter().zip(NAMES).filter_map(|(network, name)| {
            let after: &[&str] = if name == "net3" { &["net1"] } else { &[] };
            Some(of.link(name, &format!("n{}", (*network)?), after))
        });
        let mut request = of.request(links.collect());
        if self.has_ended[pod] {
            request.sandbox = None;
        }
        self.state.request(request);
    }

    fn run(&mut self, count: usize) {
        for _ in 0..count {
            let Some(work) = self.state.next(self.model.now) else {
                return;
            };
            if self.model.run(&mut self.state, work).is_err() {
                self.restart();
            }
        }
    }

    fn restart(&mut self) {
        self.state = self.model.start();
        for pod in 0..PODS {
            self.request(pod);
        }
        for container_id in &self.ended {
            self.state.sandbox_ended(container_id);
        }
    }

    fn expected(&self) -> Vec<FrozenChain> {
        let pods = self.pods.iter().zip(&self.requested).zip(&self.has_ended);
        pods.filter(|(_, has_ended)| !**has_ended)
            .flat_map(|((pod, links), _)| {
                let links = links.unwrap_or_default().into_iter().zip(NAMES);
                links.filter_map(|(network, name)| {
                    Some(chain(&format!("n{}", network?), &pod.container_id, name))
                })
            })
            .collect()
    }
}

fn fault(faults: &mut Faults, which: u8, times: u32) {
    match which {
        0 => faults.add = Some((times as usize % 3, times)),
        1 => faults.del = [(times as usize % 3, times)].into(),
        2 => faults.refuse = times,
        3 => faults.later = times,
        4 => faults.disk_full = times,
        5 => faults.broken = times,
        6 => faults.not_run = times,
        7 => faults.routes = times,
        _ => faults.unavailable = times,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_end_is_what_is_requested(acts in prop::collection::vec(act(), 1..40)) {
        let mut node = Node::new();
        for act in &acts {
            node.act(act);
        }
        node.model.faults = Faults::default();
        node.model.settle(&mut node.state, Duration::from_secs(3600)).unwrap();
        node.model.mirrors(&node.state);
        node.model.attached(&node.expected());
        // A restart agrees, and does nothing.
        let log = node.model.log.len();
        node.restart();
        node.model.settle(&mut node.state, Duration::from_secs(3600)).unwrap();
        prop_assert_eq!(node.model.log.len(), log);
        // And all of it goes when the pods have ended.
        node.state.synced(&BTreeSet::new());
        node.model.settle(&mut node.state, Duration::from_secs(3600)).unwrap();
        node.model.mirrors(&node.state);
        node.model.attached(&[]);
        prop_assert!(node.model.lost.is_empty());
    }
}
