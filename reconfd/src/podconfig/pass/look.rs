//! Fetch and decide: what one pod shall have, what it has, and the steps between the two. Nothing in
//! the kernel is changed here.

use std::time::Instant;

use crds::Reason;

use super::{
    Picture, are_pods_counted,
    work::{self, Work, verdict},
};
use crate::{
    node::{
        links::{Want, mark::host_end_name},
        netlink::Error,
        sandbox::{Depth, Sandbox, Unreachable},
    },
    podconfig::{
        Controller,
        outcome::Pod,
        plan::{Hindered, Plan, Situation, plan},
        pods::Known,
        wanted::{self, Granted},
    },
};

impl Controller {
    /// Fetch and decide: nothing is changed here.
    pub(super) fn look(&mut self, known: Known, picture: &mut Picture, keep_open: bool) -> Work {
        let mut work = Work::new(known);
        if work.known.is_replaced {
            // Proved gone: what it had must not stand beside what its successor gets.
            work.plan.steps = self
                .machine
                .ends_of(work.uid())
                .into_iter()
                .map(work::removal)
                .collect();
        }
        let mut judged = self.judge(&work.known.pod, &work.known, picture);
        if let Some(trouble) = work.known.trouble.clone() {
            work.judged(judged);
            return self.give_up(work, trouble);
        }
        self.claim_addresses(&work.known.pod, &mut judged);
        work.judged(judged);
        match self.machine.visit(&work.known.record) {
            Ok(mut sandbox) => {
                self.numbers.insert(sandbox.in_switch, work.uid().into());
                if let Err(error) = self.decide(&mut work, &mut sandbox) {
                    work.trouble = Some((Reason::KernelRefused, error.to_string()));
                }
                work.sandbox = keep_open.then_some(sandbox);
                work
            }
            // It may go through another time: what the pod holds, it keeps.
            Err(error @ Unreachable::Kernel(_)) => {
                work.trouble = Some(work::trouble(error));
                work
            }
            Err(error) => {
                let is_gone = matches!(error, Unreachable::Gone(_));
                if is_gone && self.pods.proved_gone(work.uid()) {
                    // Its record was the later one by a clock that was set back since.
                    let known = self.pods.known(work.uid(), &self.objects);
                    return known.map_or(work, |known| self.look(known, picture, keep_open));
                }
                self.give_up(work, work::trouble(error))
            }
        }
    }

    /// A pod that is not there, or not what its record says, holds nothing.
    fn give_up(&mut self, mut work: Work, trouble: (Reason, String)) -> Work {
        let freed = self.holders.keep(work.uid(), [].into_iter());
        self.dirty.extend(freed);
        work.trouble = Some(trouble);
        work
    }

    fn judge(&self, pod: &Pod, known: &Known, picture: &mut Picture) -> wanted::Wanted {
        let configs = picture
            .configs
            .entry(pod.namespace.clone())
            .or_insert_with(|| self.objects.podconfigs_of(&pod.namespace));
        let counts = |uid: &str| {
            let other = self.pods.known(uid, &self.objects);
            other.is_some_and(|other| {
                configs
                    .iter()
                    .any(|config| wanted::selects(config, &other.pod.labels))
            })
        };
        let rank = if are_pods_counted(&picture.policies) {
            self.pods.rank(known, counts)
        } else {
            0
        };
        let judged = wanted::wanted(
            pod,
            rank,
            configs,
            &picture.policies,
            &self.machine.installation,
        );
        for trouble in &judged.troubles {
            tracing::warn!(namespace = pod.namespace, pod = pod.name, "{trouble}");
        }
        judged
    }

    /// Of pods that ask for the same address on a segment, the first gets it.
    fn claim_addresses(&mut self, pod: &Pod, judged: &mut wanted::Wanted) {
        let kept: Vec<_> = judged.granted.iter().map(|granted| &granted.link).collect();
        let freed = self.holders.keep(&pod.uid, kept.into_iter());
        self.dirty
            .extend(freed.into_iter().filter(|uid| *uid != pod.uid));
        let mut refused = Vec::new();
        judged
            .granted
            .retain(|granted| match self.holders.take(&pod.uid, &granted.link) {
                Ok(()) => true,
                Err((holder, ip)) => {
                    let name = self
                        .pods
                        .known(&holder, &self.objects)
                        .map_or(holder, |known| known.pod.name.clone());
                    refused.push((
                        granted.order,
                        verdict::refused(
                            granted,
                            Reason::AddressTaken,
                            format!("{ip} is held by pod {name}"),
                        ),
                    ));
                    false
                }
            });
        let earlier = std::mem::take(&mut judged.refused);
        judged.refused = verdict::merge(earlier, refused, &judged.granted);
    }

    fn decide(&mut self, work: &mut Work, sandbox: &mut Sandbox) -> Result<(), Error> {
        let uid = work.uid().to_owned();
        let depth = self.depth(work);
        let inside = sandbox.look(depth)?;
        work.has_rules = !inside.rules.is_empty() || work.asks_for_tables();
        let (present, stale) =
            self.machine
                .present(sandbox, &work.known.pod.sandbox, &uid, &inside)?;
        work.next_index = inside.links.keys().max().copied().unwrap_or_default() + 1;
        work.stand(&present);
        let granted = work
            .granted
            .iter()
            .map(|granted| want(granted, &work.known.pod))
            .collect();
        let situation = Situation {
            granted,
            present,
            stale,
            inside: &inside.links,
            rules: &inside.rules,
            bridges: &self.machine,
        };
        let plan = plan(situation);
        self.hold_back(work, plan);
        Ok(())
    }

    /// What was there when the pod was last seen, and has not been reported undone since, is as it was:
    /// where there were no routes of ours none are looked for.
    fn depth(&self, work: &Work) -> Depth {
        let has_ends = !self.machine.ends_of(work.uid()).is_empty();
        let settled = self.settled.get(work.uid()).filter(|settled| settled.seen);
        Depth {
            addresses: has_ends,
            routes: has_ends && (work.asks_for_routes() || settled.is_none_or(|s| s.has_routes)),
            rules: work.asks_for_tables() || settled.is_none_or(|s| s.has_rules),
        }
    }

    /// Takes over the plan. What was undone too often waits, and nothing else does: a pod that undoes
    /// one link must not keep another that was taken from it.
    fn hold_back(&mut self, work: &mut Work, mut plan: Plan) {
        let now = Instant::now();
        let settled = self.settled.entry(work.uid().into()).or_default();
        work.repairs = work::repairs(&plan, &settled.hashes);
        if !work.repairs.is_empty() && settled.must_wait(now) {
            work.waiting = std::mem::take(&mut work.repairs);
            let why =
                "the pod undoes this link faster than it may be repaired; it is repaired later";
            back_off(&mut plan, &work.waiting, why);
        }
        let made = plan.steps.iter().filter_map(work::made_by);
        let too_many: Vec<String> = made
            .filter(|_| !settled.may_make(now))
            .map(str::to_owned)
            .collect();
        let why = "the links of this pod come and go faster than they may be made; it follows soon";
        back_off(&mut plan, &too_many, why);
        work.plan = plan;
    }
}

fn back_off(plan: &mut Plan, links: &[String], why: &str) {
    plan.steps.retain(|step| !work::is_of(step, links));
    let later = |link: &String| Hindered {
        link: link.clone(),
        reason: Reason::BackingOff,
        message: why.into(),
    };
    plan.hindered.extend(links.iter().map(later));
}

/// What the machine shall make of a granted link.
fn want(granted: &Granted, pod: &Pod) -> Want {
    Want {
        host_name: host_end_name(&pod.sandbox, &granted.link.name),
        host_mtu: granted.link.mtu,
        link: granted.link.clone(),
        mark: granted.mark.clone(),
    }
}
