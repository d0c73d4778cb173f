//! Steps done: what must go in one set, then what is made and changed, pod by pod, and what the pods
//! look like afterwards. Nothing is decided here.

use std::{collections::HashSet, time::Instant};

use crds::Reason;

use super::work::{self, Work};
use crate::{
    metrics::Op,
    node::{
        Machine,
        links::{Place, VETH},
        sandbox::Sandbox,
    },
    podconfig::{Controller, plan::Step},
};

impl Controller {
    /// All that goes, in one set: links, and bridges that nobody is left on.
    pub(super) fn take_away(&mut self, works: &mut [Work], mut victims: Vec<(Place, u32)>) {
        let started = Instant::now();
        let of_pods: Vec<(usize, String, Place, u32)> = works
            .iter()
            .enumerate()
            .flat_map(|(at, work)| {
                work.removals()
                    .map(move |(place, index, link)| (at, link, place, index))
            })
            .collect();
        victims.extend(of_pods.iter().map(|(_, _, place, index)| (*place, *index)));
        // A pod in trouble gets no link now, and what it has keeps its bridge by itself.
        let served = works.iter().filter(|work| work.trouble.is_none());
        let needed: HashSet<&str> = served.flat_map(Work::bridges).collect();
        let going: HashSet<(Place, u32)> = victims.iter().copied().collect();
        let idle = self.machine.idle_bridges(&going);
        victims.extend(
            idle.iter()
                .filter(|(name, _)| !needed.contains(name.as_str()))
                .map(|(_, index)| (Place::Switch, *index)),
        );
        if victims.is_empty() {
            return;
        }
        let removed = self.machine.remove(&victims);
        for (at, link, ..) in of_pods {
            self.metrics
                .operated(Op::Remove, VETH, removed.is_ok(), started.elapsed());
            works[at].removed(&link, &removed);
        }
        if let Err(error) = removed {
            tracing::error!("remove links: {error}");
        }
    }

    pub(super) fn act(&mut self, work: &mut Work) {
        if work.has_nothing_to_do() || work.trouble.is_some() {
            return;
        }
        let kept = work
            .sandbox
            .take()
            .map_or_else(|| self.machine.visit(&work.known.record), Ok);
        let mut sandbox = match kept {
            Ok(sandbox) => sandbox,
            Err(error) => {
                work.trouble = Some(work::trouble(error));
                return;
            }
        };
        self.act_on_rules(work, &mut sandbox);
        for step in std::mem::take(&mut work.plan.steps) {
            self.act_on_link(work, &mut sandbox, step);
        }
    }

    fn act_on_link(&mut self, work: &mut Work, sandbox: &mut Sandbox, step: Step) {
        let started = Instant::now();
        match step {
            Step::Create(want) if work.may_create(&want.link.name) => {
                let pod = work.known.pod.clone();
                let owner = (pod.namespace.as_str(), pod.name.as_str());
                let made = self.machine.create(sandbox, &want, owner, work.next_index);
                self.metrics.operated(
                    Op::Make,
                    want.link.kind.name(),
                    made.is_ok(),
                    started.elapsed(),
                );
                work.next_index += 1;
                work.made(&want, made);
            }
            Step::Change {
                present,
                want,
                edits,
            } => {
                let changed = self.machine.change(sandbox, &present, &want, &edits);
                self.metrics.operated(
                    Op::Change,
                    want.link.kind.name(),
                    changed.is_ok(),
                    started.elapsed(),
                );
                work.changed(&want, changed);
            }
            Step::Create(_) | Step::Remove { .. } | Step::AddRule(_) | Step::DeleteRule(_) => (),
        }
    }

    fn act_on_rules(&mut self, work: &mut Work, sandbox: &mut Sandbox) {
        let requests: Vec<_> = work
            .plan
            .steps
            .iter()
            .filter_map(work::rule_request)
            .collect();
        if requests.is_empty() {
            return;
        }
        if let Err(error) = Machine::act_on_rules(sandbox, &requests) {
            work.trouble = Some((Reason::KernelRefused, error.to_string()));
        }
    }

    /// Remembers what the pod looks like now, before the echo of it is heard.
    pub(super) fn settle(&mut self, work: &Work) {
        let now = Instant::now();
        let uid = work.uid().to_owned();
        let settled = self.settled.entry(uid.clone()).or_default();
        for end in settled.host_ends.keys() {
            self.host_ends.remove(end);
        }
        self.host_ends.extend(
            work.standing
                .values()
                .map(|s| ((s.place, s.host_index), uid.clone())),
        );
        work.settle(settled, now);
        for (link, kind) in &work.mended {
            self.metrics.drift_repaired(kind);
            tracing::info!(
                namespace = work.known.pod.namespace,
                pod = work.known.pod.name,
                link,
                "somebody undid this link; it was mended"
            );
        }
    }
}
