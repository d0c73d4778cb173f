//! Fetch and decide: what one pod shall have, what it has, and the steps between the two. Nothing in
//! the kernel is changed here.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Instant,
};

use cni_plugin::record::Record;
use crds::{Reason, claim::DEFAULT_DOMAIN};

use super::{
    Picture,
    claims::grants,
    probing::{self, Probing},
    work::{self, Work},
};
use crate::{
    node::{
        Machine,
        links::{Ground, Kind, Segment, Want, mac::Derived, mark::host_end_name},
        netlink::Error,
        sandbox::{Depth, Inside, Sandbox, Unreachable},
    },
    podconfig::{
        Controller,
        outcome::Pod,
        plan::{self, Hindered, Plan, Situation, Step, plan},
        pods::Known,
        settled::Carrier,
        wanted::{self, Granted},
    },
};

impl Controller {
    /// Fetch and decide: nothing is changed here.
    pub(super) fn look(&mut self, known: Known, picture: &mut Picture, keep_open: bool) -> Work {
        let mut work = Work::new(known);
        if work.known.is_replaced || work.known.is_unsupported() {
            // Proved gone: what it had must not stand beside what its successor gets. Or of no use to it.
            work.plan.steps = self
                .machine
                .ends_of(work.uid())
                .into_iter()
                .map(work::removal)
                .collect();
        }
        self.prove_net_admin(&mut work.known, &picture.policies);
        let mut judged = self.judge(&work.known.pod, picture);
        if let Some(trouble) = work.known.trouble.clone() {
            work.judged(judged);
            return self.give_up(work, trouble);
        }
        self.claim(&work.known.pod, &mut judged);
        work.judged(judged);
        if let Err(error) = self.find_own_ends(&mut work) {
            work.trouble = Some((Reason::KernelRefused, error.to_string()));
            return work;
        }
        match self.machine.visit(&work.known.record) {
            Ok(mut sandbox) => {
                self.pods.was_visited(work.uid());
                self.has_netns_id(work.uid(), sandbox.in_switch);
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
                if is_gone {
                    self.seek_in(&work.known.pod.namespace);
                }
                if is_gone && self.pods.proved_gone(work.uid()) {
                    // Its record was the later one by a clock that was set back since.
                    let known = self.pods.known(work.uid(), &self.stores);
                    return known.map_or(work, |known| self.look(known, picture, keep_open));
                }
                self.give_up(work, work::trouble(error))
            }
        }
    }

    /// An id that was another pod's: its namespace has ended, and what tells so will name this pod.
    fn has_netns_id(&mut self, uid: &str, id: i32) {
        let before = self.netns_ids.owner(id).filter(|before| *before != uid);
        self.dirty.extend(before.cloned());
        self.netns_ids.insert(id, uid);
    }

    /// A pod that is not there, or not what its record says, holds nothing.
    fn give_up(&mut self, mut work: Work, trouble: (Reason, String)) -> Work {
        self.let_go(work.uid());
        work.trouble = Some(trouble);
        work
    }

    fn judge(&self, pod: &Pod, picture: &mut Picture) -> wanted::Wanted {
        let configs = picture
            .configs
            .entry(pod.namespace.clone())
            .or_insert_with(|| self.stores.podconfigs_of(&pod.namespace));
        let judged = wanted::wanted(
            pod,
            self.quota.place(&pod.namespace, &pod.uid),
            configs,
            &picture.policies,
            &self.machine.installation,
        );
        for trouble in &judged.troubles {
            tracing::warn!(namespace = pod.namespace, pod = pod.name, "{trouble}");
        }
        self.leave_to_others(&pod.namespace, judged)
    }

    fn decide(&mut self, work: &mut Work, sandbox: &mut Sandbox) -> Result<(), Error> {
        let uid = work.uid().to_owned();
        self.fetch_back(&uid, sandbox)?;
        let depth = self.depth(work);
        let inside = sandbox.look(depth)?;
        work.has_rules = !inside.rules.is_empty() || work.asks_for_tables();
        let (present, stale) =
            self.machine
                .present(sandbox, &work.known.pod.sandbox, &uid, &inside)?;
        let primary = primary(&work.known.record);
        let candidates = self.machine.candidates(sandbox, &uid, &inside, &primary)?;
        work.carriers = carriers(work, &inside);
        work.next_index = inside.links.keys().max().copied().unwrap_or_default() + 1;
        work.stand(&present, &candidates);
        let ours = present
            .iter()
            .filter_map(|link| Some(link.pod.as_ref()?.index));
        let ours = ours.chain(candidates.iter().map(|candidate| candidate.info.index));
        let is_there = |index: &u32| inside.links.contains_key(index);
        let settled = self.settled.get_mut(&uid);
        let numbers = settled.map(|settled| settled.numbers(&work.known.pod.sandbox, is_there));
        let (known, veth_ends) = numbers.unwrap_or_default();
        let found = (&inside, present.as_slice());
        let stranded = self.machine.stranded(sandbox, &uid, found, &veth_ends);
        let ours = ours.chain(stranded.iter().map(|stranded| stranded.index));
        self.withhold(work, sandbox, (&inside, &ours.collect()))?;
        let (granted, probing) = self.wants(work, &inside)?;
        work.probing = probing;
        let mut of_pod = plan::Inside::new(&inside.links, candidates, &known, &granted);
        (of_pod.stranded, of_pod.has_ipv6) = (stranded, inside.has_ipv6);
        let situation = Situation {
            inside: of_pod,
            granted,
            present,
            stale,
            rules: &inside.rules,
            around: &self.machine,
        };
        let mut plan = plan(situation);
        leave_withheld(&work.granted, &mut plan);
        probing::tell(&work.probing, &mut plan);
        self.hold_back(work, plan);
        Ok(())
    }

    /// A device that the pod has hidden in a namespace of its own would outlive everything that allowed it.
    fn fetch_back(&mut self, uid: &str, sandbox: &mut Sandbox) -> Result<(), Error> {
        let settled = self.settled.get_mut(uid);
        let escaped = settled.map(|settled| std::mem::take(&mut settled.escaped));
        Machine::remove_hidden(sandbox, &escaped.unwrap_or_default())
    }

    /// What the machine shall make of the granted links.
    fn wants(&mut self, work: &Work, inside: &Inside) -> Result<(Vec<Want>, Vec<Probing>), Error> {
        let pod = &work.known.pod;
        let mut wants = Vec::with_capacity(work.granted.len());
        let mut probing = Vec::new();
        for granted in &work.granted {
            let mut link = granted.link.clone();
            let standing = work.standing.get(&link.name);
            if let (Some(_), Some(standing)) = (&granted.withheld, standing) {
                // What it has is what its rules are for.
                link.addresses.clone_from(&standing.addresses);
            }
            link.kind.starts_at(work.ends.get(&link.name).copied());
            let mtu = link.mtu.unwrap_or_default();
            let domain = Some(granted.domain.as_str()).filter(|name| *name != DEFAULT_DOMAIN);
            let owner = (pod.namespace.as_str(), pod.name.as_str());
            let mut want = Want {
                derived: Derived::of(&link, owner, domain),
                host_name: host_end_name(&work.known.pod.sandbox, &link.name),
                host_mtu: mtu,
                mtu,
                ground: self.ground(work.uid(), granted, (&link.kind, inside))?,
                device: None,
                link,
                mark: granted.mark.clone(),
            };
            if granted.withheld.is_none() {
                probing.extend(self.probe_first(work, &mut want));
            }
            wants.push(want);
        }
        Ok((wants, probing))
    }

    /// What is decided about the device of a link, if it has one.
    fn ground(
        &mut self,
        uid: &str,
        granted: &Granted,
        (kind, inside): (&Kind, &Inside),
    ) -> Result<Option<Ground>, Error> {
        let Some(data) = kind.data() else {
            return Ok(None);
        };
        let (owner, sources, own) = match kind.segment() {
            Some(Segment { name, .. }) => (
                self.segments.owner(name).unwrap_or_default().to_owned(),
                self.segments.sources(name).to_vec(),
                self.machine.own_addresses()?.iter().map(|a| a.1).collect(),
            ),
            None => (
                granted.asker.namespace.clone(),
                Vec::new(),
                inside.addresses.iter().map(|a| a.network.ip()).collect(),
            ),
        };
        let own: BTreeSet<IpAddr> = own;
        let peers = match kind.segment().filter(|_| data.found().is_some()) {
            Some(segment) => self.found_ends(segment, &own),
            None => data.peers(&own),
        };
        let (on_port, unfiltered) = grants(granted, &owner);
        Ok(Some(Ground {
            on_port,
            unfiltered,
            is_shared: kind
                .segment()
                .is_some_and(|segment| self.segments.has_others(&segment.name, uid)),
            peers,
            sources,
            owner,
        }))
    }

    /// What was there when the pod was last seen, and has not been reported undone since, is as it was:
    /// where there were no routes of ours none are looked for.
    fn depth(&self, work: &Work) -> Depth {
        let settled = self.settled.get(work.uid()).filter(|settled| settled.seen);
        // A device that is in the pod as a whole has no end that would tell of it.
        let has_ends = !self.machine.ends_of(work.uid()).is_empty()
            || work.asks_for_devices()
            || settled.is_none_or(|settled| settled.has_devices);
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
        let (paces, namespace) = (&mut self.paces, &work.known.pod.namespace);
        let settled = self.settled.entry(work.known.pod.uid.clone()).or_default();
        if settled.sandbox == work.known.pod.sandbox {
            // In another sandbox nothing was there that somebody could have undone.
            work.repairs = work::repairs(&plan, &settled.hashes);
            work.rule_repairs = work::rule_repairs(&plan, &work.granted, &settled.hashes);
            work.undone_parts = work::undone_parts(&plan, &work.repairs);
        }
        if !work.repairs.is_empty() && settled.must_wait(now) {
            work.waiting = std::mem::take(&mut work.repairs);
            let why =
                "the pod undoes this link faster than it may be repaired; it is repaired later";
            back_off(&mut plan, &work.waiting, why);
        }
        work.refused_again = settled.refusals.hold_back(&mut plan, now);
        let made = plan.steps.iter().filter_map(Step::made);
        let too_many: Vec<String> = made
            .filter(|_| !settled.may_make(now, || paces.take(namespace, now)))
            .map(str::to_owned)
            .collect();
        let why = "the links of this pod come and go faster than they may be made; it follows soon";
        back_off(&mut plan, &too_many, why);
        work.plan = plan;
    }
}

/// Links that wait for something else than the machine stay as they are, there or not.
fn leave_withheld(granted: &[Granted], plan: &mut Plan) {
    for granted in granted {
        let Some((reason, message)) = &granted.withheld else {
            continue;
        };
        let link = granted.link.name.clone();
        plan.steps
            .retain(|step| !step.is_of(std::slice::from_ref(&link)));
        plan.hindered.retain(|hindered| hindered.link != link);
        plan.hindered.push(Hindered {
            link,
            reason: *reason,
            message: message.clone(),
        });
    }
}

fn back_off(plan: &mut Plan, links: &[String], why: &str) {
    plan.steps.retain(|step| !step.is_of(links));
    let later = |link: &String| Hindered {
        link: link.clone(),
        reason: Reason::BackingOff,
        message: why.into(),
    };
    plan.hindered.extend(links.iter().map(later));
}

/// Links of the pod that others of its links are on, as they are.
fn carriers(work: &Work, inside: &Inside) -> HashMap<u32, Carrier> {
    let names = work
        .granted
        .iter()
        .filter_map(|granted| granted.link.kind.carrier());
    let rows = names.filter_map(|name| inside.links.values().find(|row| row.is_called(name)));
    rows.map(|row| (row.index, Carrier::from(row))).collect()
}

/// The addresses that the runtime gave to the pod.
pub(super) fn primary(record: &Record) -> BTreeSet<IpAddr> {
    let addresses = record.addresses.iter();
    let alone = |address: &String| address.split('/').next().and_then(|ip| ip.parse().ok());
    addresses.filter_map(alone).collect()
}
