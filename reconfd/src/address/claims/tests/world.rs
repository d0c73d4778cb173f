//! Nodes with their kernels and daemons, and the one place where claims are. What an API server promises is
//! kept, and nothing more.

use std::collections::HashMap;

use super::*;
use crate::address::claims::{errand::Told, paper::OWNER};

const REST: Duration = Duration::from_secs(5);
const LINK: &str = "data0";

#[derive(Clone, Debug)]
pub enum Deed {
    /// A pod comes to be on a node, with the name of an earlier one if that has ended.
    Start {
        node: usize,
        pod: usize,
        is_static: bool,
    },
    /// A pod ends, and its links with it; its daemon hears of it, if there is one.
    End(usize),
    /// The daemon looks at a pod.
    Pass {
        node: usize,
        pod: usize,
    },
    /// One request of the daemon.
    Step {
        node: usize,
        which: prop::sample::Index,
        fate: Fate,
    },
    /// One event of the daemon's watch.
    Hear(usize),
    Wait(u64),
    Sweep(usize),
    /// The daemon is killed, and another one started.
    Kill(usize),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// It is done, and nobody hears so.
    Lost,
    Undone,
}

pub struct World {
    store: Store,
    nodes: Vec<Node>,
    pods: HashMap<usize, Pod>,
    /// How often a pod of this number has begun.
    starts: u32,
    range: Range,
    barred: Vec<IpNetwork>,
    begun: Now,
    passed: Duration,
}

#[derive(Default)]
struct Store {
    claims: BTreeMap<Name, AddressClaim>,
    version: u64,
    alive: BTreeSet<String>,
    log: Vec<(Name, Option<AddressClaim>, Option<AddressClaim>)>,
    asked: usize,
}

struct Node {
    book: Book,
    running: Vec<(Ticket, Errand)>,
    heard: usize,
    /// The addresses on the links, by pod uid.
    kernel: BTreeMap<String, BTreeSet<IpAddr>>,
}

#[derive(Clone)]
struct Pod {
    node: usize,
    asker: Asker,
    demand: Demand,
}

impl World {
    pub fn new(nodes: usize, range: Range, barred: Vec<IpNetwork>) -> Self {
        let nodes = (0..nodes).map(|node| Node {
            book: book(node),
            running: Vec::new(),
            heard: 0,
            kernel: BTreeMap::new(),
        });
        let mut world = Self {
            store: Store::default(),
            nodes: nodes.collect(),
            pods: HashMap::new(),
            starts: 0,
            range,
            barred,
            begun: now(),
            passed: Duration::ZERO,
        };
        world
            .nodes
            .iter_mut()
            .for_each(|node| drop(node.book.are_known()));
        world
    }

    pub fn claims(&self) -> Vec<Name> {
        self.store.claims.keys().cloned().collect()
    }

    pub fn asked(&self) -> usize {
        self.store.asked
    }

    fn now(&self) -> Now {
        Now {
            instant: self.begun.instant + self.passed,
            time: Time(self.begun.time.0 + self.passed),
        }
    }

    pub fn suffer(&mut self, deed: &Deed) {
        match *deed {
            Deed::Start {
                node,
                pod,
                is_static,
            } => self.start(node, pod, is_static),
            Deed::End(pod) => self.end(pod),
            Deed::Pass { node, pod } => {
                if self.pods.get(&pod).is_some_and(|pod| pod.node == node) {
                    self.pass(node, pod);
                }
            }
            Deed::Step { node, which, fate } => self.step(node, Some(which), fate),
            Deed::Hear(node) => drop(self.hear(node)),
            Deed::Wait(seconds) => self.passed += Duration::from_secs(seconds),
            Deed::Sweep(node) => self.sweep(node),
            Deed::Kill(node) => self.kill(node),
        }
    }

    fn start(&mut self, node: usize, number: usize, is_static: bool) {
        let node = node % self.nodes.len();
        if self.pods.contains_key(&number) {
            return;
        }
        self.starts += 1;
        let uid = format!("uid-{number}-{}", self.starts);
        let mut demand = Demand {
            barred: self.barred.clone(),
            // Those of an even number are as those of a StatefulSet.
            may_return: number.is_multiple_of(2),
            ..of_range(&self.range)
        };
        if is_static {
            let at = number as u128 % self.range.count();
            demand.addresses = self.range.nth(at).into_iter().collect();
            demand.ranges.clear();
        }
        let pod = format!("p{number}");
        let asker = Asker {
            namespace: "t".into(),
            pod,
            uid: uid.clone(),
            link: LINK.into(),
        };
        self.store.alive.insert(uid);
        self.pods.insert(
            number,
            Pod {
                node,
                asker,
                demand,
            },
        );
        self.pass(node, number);
    }

    fn end(&mut self, number: usize) {
        let Some(pod) = self.pods.remove(&number) else {
            return;
        };
        let (uid, now) = (pod.asker.uid, self.now());
        let node = &mut self.nodes[pod.node];
        node.kernel.remove(&uid);
        node.book.let_go(&uid, &now);
        self.store.alive.remove(&uid);
    }

    /// What the daemon does when it looks at a pod.
    pub fn pass(&mut self, node: usize, number: usize) -> Answer {
        let (pod, now) = (self.pods[&number].clone(), self.now());
        let daemon = &mut self.nodes[node];
        let answer = daemon.book.ask(&pod.asker, &pod.demand, &now);
        if let Answer::Held(given) = &answer {
            let all = given.iter().chain(&pod.demand.addresses).copied().collect();
            daemon.kernel.insert(pod.asker.uid.clone(), all);
        }
        let has = daemon
            .kernel
            .get(&pod.asker.uid)
            .cloned()
            .unwrap_or_default();
        let kept = BTreeMap::from([(LINK.to_owned(), has)]);
        daemon.book.keep(&pod.asker.uid, &kept, &now);
        self.check();
        answer
    }

    /// No address is on two links, and none where it must not be.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for (uid, addresses) in self.nodes.iter().flat_map(|node| &node.kernel) {
            for address in addresses {
                assert!(
                    seen.insert(*address),
                    "{address} is on two links, one of {uid}"
                );
                assert!(
                    self.range.contains(*address),
                    "{address} is not of {}",
                    self.range
                );
                let is_static = self
                    .pods
                    .values()
                    .any(|pod| pod.demand.addresses.contains(address));
                let is_barred = self.barred.iter().any(|network| network.contains(*address));
                assert!(is_static || !is_barred, "{address} is others'");
            }
        }
    }

    fn step(&mut self, node: usize, which: Option<prop::sample::Index>, fate: Fate) {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        let due = daemon.book.take(now.instant, 4);
        daemon.running.extend(due);
        if daemon.running.is_empty() {
            return;
        }
        let at = which.map_or(0, |which| which.index(daemon.running.len()));
        let ask = daemon.running[at].1.next();
        let told = match fate {
            Fate::Undone => Told::Failed("no answer".into()),
            Fate::Done => self.store.answer(&ask, &now),
            Fate::Lost => {
                self.store.answer(&ask, &now);
                Told::Failed("no answer".into())
            }
        };
        let daemon = &mut self.nodes[node];
        if let Some(end) = daemon.running[at].1.heard(told) {
            let (ticket, errand) = daemon.running.swap_remove(at);
            let concerned = daemon.book.end(ticket, errand, end, &now);
            self.concern(node, &concerned);
        }
    }

    fn concern(&mut self, node: usize, uids: &BTreeSet<String>) {
        let of = |pod: &Pod| pod.node == node && uids.contains(&pod.asker.uid);
        let numbers = self.pods.iter().filter(|(_, pod)| of(pod));
        let numbers: Vec<usize> = numbers.map(|(number, _)| *number).collect();
        for number in numbers {
            self.pass(node, number);
        }
    }

    /// Whether there was anything to hear.
    fn hear(&mut self, node: usize) -> bool {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        let Some((name, before, after)) = self.store.log.get(daemon.heard).cloned() else {
            return false;
        };
        daemon.heard += 1;
        let is_here = |claim: &AddressClaim| claim.spec.node == name_of(node);
        let concerned = match after.filter(is_here) {
            Some(claim) => daemon.book.came(claim, &now),
            None if before.is_some_and(|claim| is_here(&claim)) => daemon.book.went(&name, &now),
            None => BTreeSet::new(),
        };
        self.concern(node, &concerned);
        true
    }

    fn sweep(&mut self, node: usize) {
        let now = self.now();
        let here = self.pods.values().filter(|pod| pod.node == node);
        let mut known: BTreeSet<String> = here.map(|pod| pod.asker.uid.clone()).collect();
        known.extend(self.nodes[node].kernel.keys().cloned());
        self.nodes[node].book.sweep(&known, false, &now);
    }

    fn kill(&mut self, node: usize) {
        let now = self.now();
        let daemon = &mut self.nodes[node];
        daemon.running.clear();
        daemon.book = book(node);
        daemon.heard = self.store.log.len();
        for claim in self.store.claims.values() {
            if claim.spec.node == name_of(node) {
                daemon.book.came(claim.clone(), &now);
            }
        }
        daemon.book.are_known();
        for (uid, addresses) in &daemon.kernel {
            daemon.book.recall(uid, LINK, addresses);
        }
        let uids = self
            .pods
            .values()
            .map(|pod| pod.asker.uid.clone())
            .collect();
        self.concern(node, &uids);
    }

    /// Everything that is due now is done, and heard.
    pub fn work(&mut self) {
        for _ in 0..1000 {
            let now = self.now();
            for node in 0..self.nodes.len() {
                while self.hear(node) {}
                let is_due = |node: &Node| {
                    !node.running.is_empty()
                        || node.book.next_due().is_some_and(|due| due <= now.instant)
                };
                while is_due(&self.nodes[node]) {
                    self.step(node, None, Fate::Done);
                }
            }
            let is_quiet = |node: &Node| node.heard == self.store.log.len();
            if self.nodes.iter().all(is_quiet) {
                return;
            }
        }
        panic!("there is no end to it");
    }

    /// A minute goes by in which nothing happens.
    pub fn settle(&mut self) {
        for _ in 0..60 {
            self.work();
            for node in 0..self.nodes.len() {
                self.sweep(node);
            }
            self.passed += Duration::from_secs(1);
        }
        self.work();
    }

    pub fn check_all_that_can_have_some_do(&mut self) {
        let free = self.range.without(self.barred.iter().copied());
        let free = free.without(
            self.store
                .claims
                .keys()
                .map(|name| IpNetwork::from(name.address)),
        );
        let numbers: Vec<(usize, usize)> = self
            .pods
            .iter()
            .map(|(number, pod)| (pod.node, *number))
            .collect();
        for (node, number) in numbers {
            let is_static = !self.pods[&number].demand.addresses.is_empty();
            match self.pass(node, number) {
                Answer::Held(_) => (),
                Answer::Refused(Reason::AddressTaken, _) if is_static => (),
                Answer::Refused(Reason::RangeFull, words) => assert_eq!(free.count(), 0, "{words}"),
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn end_all(&mut self) {
        for number in self.pods.keys().copied().collect::<Vec<_>>() {
            self.end(number);
        }
        self.settle();
    }

    /// An administrator deletes a claim.
    pub fn delete(&mut self, name: &Name) {
        let claim = self.store.claims.remove(name);
        self.store.log.push((name.clone(), claim, None));
    }

    /// And another pod gets the address.
    pub fn steal(&mut self, name: &Name, pod: &str) {
        self.delete(name);
        self.claim_for(name, pod);
    }

    /// Somebody elsewhere has this address.
    pub fn fill(&mut self, address: IpAddr) {
        let domain = "cluster".to_owned();
        self.claim_for(&Name { domain, address }, &format!("of-{address}"));
    }

    fn claim_for(&mut self, name: &Name, pod: &str) {
        let asker = Asker {
            namespace: "t".into(),
            pod: pod.into(),
            uid: pod.into(),
            link: LINK.into(),
        };
        self.store.alive.insert(pod.into());
        let claimant = paper::Claimant {
            asker,
            node: "elsewhere".into(),
            installation: "default".into(),
        };
        let now = self.now();
        let claim = Box::new(claimant.claim(name));
        self.store.answer(&Ask::Create(claim), &now);
    }
}

impl Store {
    fn answer(&mut self, ask: &Ask, now: &Now) -> Told {
        self.asked += 1;
        match ask {
            Ask::Create(claim) => match self.claims.contains_key(&Name::of(claim)) {
                true => Told::Exists,
                false => {
                    let mut claim = (**claim).clone();
                    claim.metadata.uid = Some(format!("object-{}", self.version));
                    claim.metadata.creation_timestamp = Some(now.time.clone());
                    self.put(claim)
                }
            },
            Ask::Get(name) => {
                let found = self.claims.get(name);
                found.map_or(Told::Missing, |claim| Told::Claim(Box::new(claim.clone())))
            }
            Ask::OfOwner { owner, .. } => self.list(now, |claim| {
                claim.metadata.labels.as_ref().unwrap()[OWNER] == *owner
            }),
            Ask::OfBlock { block, .. } => {
                let (key, value) = block.label();
                self.list(now, |claim| {
                    claim.metadata.labels.as_ref().unwrap()[&key] == value
                })
            }
            Ask::Replace(claim) => self.if_same(claim, |store| store.put((**claim).clone())),
            Ask::Delete(claim) => self.if_same(claim, |store| {
                let name = Name::of(claim);
                let before = store.claims.remove(&name);
                store.version += 1;
                store.log.push((name, before, None));
                Told::Deleted
            }),
            Ask::LookUp(pod) => match self.alive.contains(&pod.uid) {
                true => Told::PodIsThere,
                false => Told::PodIsGone,
            },
        }
    }

    fn put(&mut self, mut claim: AddressClaim) -> Told {
        self.version += 1;
        claim.metadata.resource_version = Some(self.version.to_string());
        let name = Name::of(&claim);
        let before = self.claims.insert(name.clone(), claim.clone());
        self.log.push((name, before, Some(claim.clone())));
        Told::Claim(Box::new(claim))
    }

    fn if_same(&mut self, claim: &AddressClaim, deed: impl FnOnce(&mut Self) -> Told) -> Told {
        let edition = |claim: &AddressClaim| {
            (
                claim.metadata.uid.clone(),
                claim.metadata.resource_version.clone(),
            )
        };
        match self.claims.get(&Name::of(claim)) {
            None => Told::Missing,
            Some(now) if edition(now) != edition(claim) => Told::Overtaken,
            Some(_) => deed(self),
        }
    }

    fn list(&self, now: &Now, fits: impl Fn(&AddressClaim) -> bool) -> Told {
        let fitting = self.claims.values().filter(|claim| fits(claim));
        Told::Listed(fitting.cloned().collect(), now.time.clone())
    }
}

fn name_of(node: usize) -> String {
    format!("n{node}")
}

fn book(node: usize) -> Book {
    Book::new(&name_of(node), "default", REST)
}
